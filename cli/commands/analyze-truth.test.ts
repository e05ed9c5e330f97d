import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Report } from '../../analyzer/report/document.ts';
import type { TruthReport } from '../../analyzer/truth/document.ts';
import { trace } from '../testing/command-line.ts';

const ROOT = join(import.meta.dirname, '..', '..');
let scratch: string;

/** P1: with trace points in Xen; A2: without. */
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-truth-'));
  for (const name of ['P1', 'A2']) {
    execFileSync('tar', ['xf', join(ROOT, `fixtures/captures/${name}.tar.gz`), '-C', scratch]);
    const imported = await trace('import', join(scratch, name), '-o', join(scratch, `${name}.trace`));
    expect([imported.code, imported.err]).toEqual([0, '']);
  }
}, 60_000);
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

/** Names of a document's fields, but those of `by`, which are values. */
function keys(value: unknown, into: Set<string>): void {
  if (Array.isArray(value)) for (const item of value) keys(item, into);
  else if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      into.add(key);
      if (key !== 'by') keys(inner, into);
    }
  }
}

function undocumented(document: unknown): string[] {
  const text = readFileSync(join(ROOT, 'docs', 'REPORT.md'), 'utf8');
  const found = new Set<string>();
  keys(document, found);
  expect(found.size).toBeGreaterThan(5);
  return [...found].filter((key) => !new RegExp(`\\b${key}\\b`).test(text));
}

describe('trace analyze --truth', () => {
  it('compares both analyses as text', async () => {
    const { code, out, err } = await trace('analyze', join(scratch, 'P1.trace'), '--truth');
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(
      /^all: vCPU traps → guest resumes, by vCPU descheduled → vCPU runs +371 +4\.516 ms +4\.163 ms /m,
    );
    expect(out).toMatch(/^ {2}vCPU runs → Xen takes the answer +371 .* no number: after the wait ends$/m);
    expect(out).toMatch(/^compared: 371 of 372 exact and 372 estimated$/m);
    expect(out).toMatch(/^mmio\.total +certain +371 of 371 +never too long/m);
    expect(out).toMatch(/^unpatched, all of it +yes +± /m);
    expect(out).not.toContain('BROKEN');
  });

  it('prints one document with --json, every field of which docs/REPORT.md names', async () => {
    const { code, out } = await trace(
      'analyze',
      join(scratch, 'P1.trace'),
      '--truth',
      '--json',
      '--by',
      'vcpu',
    );
    expect(code).toBe(0);
    const report = JSON.parse(out) as TruthReport;
    expect([report.format, report.version]).toEqual(['ioreq-trace-truth', 1]);
    expect(undocumented(report)).toEqual([]);
    expect(report.mmio.groups.map((g) => [g.by, g.total.count])).toEqual([[{ vcpu: 0 }, 371]]);
  });

  it('refuses a trace without trace points, with a stable code', async () => {
    for (const words of [['--truth'], ['--truth', '--json']]) {
      const { code, out, err } = await trace('analyze', join(scratch, 'A2.trace'), ...words);
      expect([code, out]).toEqual([3, '']);
      expect(err).toMatch(
        /^trace: E_NO_DATA: .*A2\.trace: the trace has no exact times .* got 0 ioreqs by trace points, \d+ runstates$/m,
      );
    }
  });
});

describe('trace analyze of an unpatched Xen', () => {
  it('states by which rules its numbers are wrong', async () => {
    const { out } = await trace('analyze', join(scratch, 'A2.trace'), '--json', '--slowest', '0');
    const { estimates, clock } = JSON.parse(out) as Report;
    expect(undocumented(estimates)).toEqual([]);
    expect(estimates.map((e) => [e.id, e.error, e.certain, e.clock_error_ns, e.at_most?.count ?? 0])).toEqual(
      [
        ['wait-inside-trap', 'too short', true, null, 0],
        ['trap-inside-surroundings', 'too short', true, null, 371],
        ['descheduled-after-send', 'too short', true, clock.max_error_ns, 0],
        ['within-clock-error', 'either way', true, clock.max_error_ns, 0],
        ['own-ioreq', 'either way', false, null, 0],
        ['read-after-injection', 'too long', false, clock.max_error_ns, 0],
        ['notify-after-trap', 'too short', true, clock.max_error_ns, 0],
      ],
    );
    const text = await trace('analyze', join(scratch, 'A2.trace'), '--slowest', '0');
    expect(text.out).toMatch(/^What the numbers of an unpatched Xen leave out$/m);
    expect(text.out).toMatch(
      /^ {2}mmio\.total, for vCPU traps → guest resumes: too short\. By no more than .* more at the median/m,
    );
  });

  it('says nothing of the kind where the times are exact', async () => {
    const { out } = await trace('analyze', join(scratch, 'P1.trace'), '--slowest', '0');
    expect(out).not.toContain('unpatched Xen leave out');
    const json = await trace('analyze', join(scratch, 'P1.trace'), '--json', '--slowest', '0');
    expect((JSON.parse(json.out) as Report).estimates).toEqual([]);
  });
});
