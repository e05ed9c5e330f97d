import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importCapture } from '../../collector/import.ts';
import { captureArchive, withCapture } from '../../fixtures/captures.ts';
import { buildForChild, removeBuild } from '../../fixtures/child-build.ts';
import { writeLargeTrace } from '../../fixtures/scale/large-trace.ts';
import type { ScenarioOptions } from '../../fixtures/scenario/index.ts';
import { generateScenario } from '../../fixtures/scenario/index.ts';
import { eventFileName } from '../../trace/arrow/event-schema.ts';
import type { OpenTrace } from '../../trace/open.ts';
import { openTrace } from '../../trace/open.ts';
import { refreshFacts } from '../refresh-facts.ts';
import { analyzeTrace } from '../report/build.ts';
import { Dom0Thread } from './dom0-thread.ts';

const NAMES = ['A1', 'A2', 'B1', 'C', 'D', 'F1', 'P1', 'P2', 'P3'].filter(
  (name) => captureArchive(name) !== undefined,
);
const tool = { name: 'test', version: '0' };
let built: string;
let script: URL;
let work: string;

beforeAll(() => {
  built = buildForChild(['trace', 'analyzer']);
  const file = join(built, 'thread.js');
  writeFileSync(
    file,
    "import { serveDom0Thread } from './analyzer/threads/serve-dom0.js';\nserveDom0Thread();\n",
  );
  script = pathToFileURL(file);
  work = mkdtempSync(join(tmpdir(), 'ioreq-trace-thread-'));
});
afterAll(() => {
  removeBuild(built);
  rmSync(work, { recursive: true, force: true });
});

/** The report and every batch of spans as text, or how it failed. */
function analyzed(trace: OpenTrace, thread?: Dom0Thread): string {
  const spans: unknown[] = [];
  try {
    const report = analyzeTrace(trace, {
      path: 'trace',
      by: ['device', 'register'],
      warnings: trace.warnings,
      dom0Thread: thread?.of(trace),
      onSpans({ family }, { length, start, total, flags, group, at }) {
        for (let i = 0; i < length; i++) {
          spans.push([family, start[i], total[i], flags[i], group[i], ...at.map((column) => column[i])]);
        }
      },
    });
    return JSON.stringify({ report, spans });
  } catch (error) {
    return String(error);
  }
}

/** By one thread and by two. */
function both(dir: string): { one: string; two: string } {
  const texts = [1, 2].map((threads) => {
    const trace = openTrace(dir);
    refreshFacts(trace);
    const thread = threads === 2 ? new Dom0Thread(script) : undefined;
    try {
      return analyzed(trace, thread);
    } finally {
      thread?.close();
    }
  });
  return { one: texts[0]!, two: texts[1]! };
}

function expectSame({ one, two }: { one: string; two: string }): void {
  // Not toBe: a difference between megabytes of text would be looked for a long time.
  expect(one === two, firstDifference(one, two)).toBe(true);
}

function firstDifference(one: string, two: string): string {
  let at = 0;
  while (at < one.length && one[at] === two[at]) at++;
  return `one thread: …${one.slice(at - 60, at + 60)}…, two: …${two.slice(at - 60, at + 60)}…`;
}

const SCENARIOS: Record<string, ScenarioOptions> = {
  'unpatched, 4 vCPUs': { seed: 7, ioreqs: 900, vcpus: 4 },
  'patched, losses': {
    seed: 8,
    ioreqs: 900,
    vcpus: 3,
    patched: true,
    xenLoss: [{ cpu: 1, atIoreq: 500, records: 40 }],
    ftraceLoss: [{ cpu: 0, atIoreq: 300, records: 60 }],
  },
};

describe('Dom0 on a thread of its own', () => {
  it.each(NAMES)('gives the same report and spans of capture %s', async (name) => {
    await withCapture(name, async (dir) => {
      const trace = join(work, name);
      await importCapture([dir], trace, { tool });
      const texts = both(trace);
      expect(texts.one.length).toBeGreaterThan(1000);
      expectSame(texts);
    });
  });

  it.each(Object.entries(SCENARIOS))('and of a generated host: %s', async (name, options) => {
    const raw = join(work, `${name}.raw`);
    generateScenario(options, raw);
    const trace = join(work, name);
    await importCapture([raw], trace, { tool });
    const texts = both(trace);
    expect(texts.one.length).toBeGreaterThan(1000);
    expectSame(texts);
  });

  it('and of a trace that goes many times around the ring', async () => {
    const trace = join(work, 'long');
    await writeLargeTrace(trace, { events: 2e6, patched: false, seed: 3, vcpus: 3 });
    expectSame(both(trace));
  });

  it('fails as one thread does if a file cannot be read any more', async () => {
    const trace = join(work, 'gone');
    const failures: string[] = [];
    for (const threads of [1, 2]) {
      await writeLargeTrace(trace, { events: 1e5, patched: false, seed: 4 });
      const opened = openTrace(trace);
      const { id } = opened.manifest.sources.find((s) => s.format !== 'xentrace')!;
      rmSync(join(trace, eventFileName(id)));
      mkdirSync(join(trace, eventFileName(id)));
      const thread = threads === 2 ? new Dom0Thread(script) : undefined;
      failures.push(analyzed(opened, thread));
      thread?.close();
      rmSync(trace, { recursive: true });
    }
    expect(failures[0]).toContain('TraceError');
    expect(failures[1]).toBe(failures[0]);
  });

  it('gives the whole batches of a damaged file, as one thread does', async () => {
    const trace = join(work, 'damaged');
    await writeLargeTrace(trace, { events: 3e5, patched: true, seed: 5 });
    const { id } = openTrace(trace).manifest.sources.find((s) => s.format !== 'xentrace')!;
    truncateSync(join(trace, eventFileName(id)), 5e6);
    const texts = both(trace);
    expect(texts.one).toContain('E_TRACE_DAMAGED');
    expectSame(texts);
  });

  it('does with one thread if the other never begins, and says so if it ends without a word', async () => {
    const trace = join(work, 'dead');
    await writeLargeTrace(trace, { events: 1e5, patched: false, seed: 6 });
    const withScript = (text: string): string => {
      const file = join(built, 'dead.js');
      writeFileSync(file, text);
      const thread = new Dom0Thread(pathToFileURL(file), { beginMs: 3000, silentMs: 300 });
      try {
        return analyzed(openTrace(trace), thread);
      } finally {
        thread.close();
      }
    };
    expect(withScript('process.exit(1);\n')).toBe(analyzed(openTrace(trace)));
    const begins = `import { workerData } from 'node:worker_threads';
import { RingWriter } from './analyzer/threads/ring-tape.js';
workerData.port.once('message', ({ ring }) => {
  new RingWriter(ring);
  process.exit(1);
});
`;
    expect(withScript(begins)).toContain('ended without a word');
  });

  it('lets the analysis stop in the middle', () => {
    const trace = openTrace(join(work, 'long'));
    const thread = new Dom0Thread(script);
    const stop = (): never => {
      throw new Error('enough');
    };
    expect(() => analyzeTrace(trace, { path: 'trace', dom0Thread: thread.of(trace), onSpans: stop })).toThrow(
      'enough',
    );
    thread.close();
  });
});
