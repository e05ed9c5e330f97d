import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { run } from '../../cli/run.ts';
import { traceDirectory } from '../../trace/open.ts';
import { storedReplay } from './replay-summary.ts';

const dir = mkdtempSync(join(tmpdir(), 'ioreq-trace-summary-'));
const file = join(dir, 'replay.json');
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

describe('the stored result of a replay', () => {
  it('is what trace replay wrote', async () => {
    const recording = new URL('../../fixtures/recordings/blk-modern.jsonl.xz', import.meta.url).pathname;
    const disk = join(dir, 'zeros.img');
    writeFileSync(disk, new Uint8Array(8 << 20));
    const streams = { stdout: () => undefined, stderr: () => undefined };
    const rest = { stdoutIsTerminal: false, stderrIsTerminal: false, env: {} };
    expect(await run(['replay', recording, '--disk', disk, '-o', file], { ...streams, ...rest })).toBe(1);
    const stored = storedReplay(traceDirectory(dir), (text) => expect.fail(text));
    expect(stored).toMatchObject({
      target: 'built-in',
      level: 'rings and memory',
      equal: false,
      proven: false,
    });
    expect(stored!.count).toBeGreaterThan(5);
    expect(stored!.divergences[0]).toMatchObject({ got: '0x00' });
    expect(stored!.divergences[0]!.where).toMatch(/^blk 0 queue 0 element \d+$/);
  });

  it.each(['{', '[]', '{"format":"other"}', '{"format":"ioreq-trace-replay","divergences":7}'])(
    'is left out with a warning if damaged: %s',
    (text) => {
      writeFileSync(file, text);
      const warnings: string[] = [];
      expect(storedReplay(traceDirectory(dir), (warning) => warnings.push(warning))).toBeUndefined();
      expect(warnings.length).toBe(1);
      expect(warnings[0]).toMatch(/^the stored replay is left out: .*replay\.json/);
    },
  );

  it('is nothing where there is none', () => {
    rmSync(file);
    expect(storedReplay(traceDirectory(dir), (text) => expect.fail(text))).toBeUndefined();
  });
});
