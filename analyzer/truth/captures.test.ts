import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { unpatchedEstimate } from '../../collector/clock-estimates.ts';
import { importCapture } from '../../collector/import.ts';
import { captureArchive, withCapture } from '../../fixtures/captures.ts';
import { openTrace } from '../../trace/open.ts';
import type { SplitReport, TruthReport } from './document.ts';
import { truthReport } from './truth.ts';
import { withClock, withoutTracePoints } from './unpatched-view.ts';

async function truthOf(capture: string): Promise<TruthReport> {
  const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-truth-'));
  try {
    return await withCapture(capture, async (dir) => {
      await importCapture([dir], join(work, 'trace'), { tool: { name: 'test', version: '0' } });
      const trace = openTrace(join(work, 'trace'));
      const bare = withoutTracePoints(trace);
      const clocks = [unpatchedEstimate(bare)];
      return truthReport(trace, withClock(bare, clocks[0]?.relation), { path: capture, clocks });
    });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

const us = (ns: number | null | undefined): number => Math.round((ns ?? NaN) / 100) / 10;
const unseen = (split: SplitReport, name: string): number =>
  us(split.unseen.find((u) => u.name === name)?.p50_ns);
const rulesOf = (report: TruthReport): string[] =>
  report.rules.map((r) => `${r.certain ? 'certain' : 'typical'} ${r.id} ${r.held}/${r.checked}`);

describe('P1, one vCPU and one disk on a patched Xen', () => {
  it('shows what is known of it: 275 us of 4516 us are not in the wait', async () => {
    const report = await truthOf('P1');
    const [all, undisturbed, preempted] = report.mmio.splits;
    expect([us(all!.total.exact.p50_ns), us(all!.total.error.p50_ns)]).toEqual([4516.2, -274.6]);
    expect(all!.total.error.share_of_exact).toBeCloseTo(-0.0645, 3);
    expect([undisturbed!.total.count, preempted!.total.count]).toEqual([371, 0]);
    const parts = ['trap→send', 'send→offline', 'running→done', 'done→resume'].map((name) =>
      unseen(all!, name),
    );
    expect(parts).toEqual([22.6, 105, 105.8, 19.2]);
    const [interrupts] = report.interrupts.splits;
    expect(us(report.injection.exact.p50_ns)).toBe(298);
    expect(unseen(interrupts!, 'lr→status_read')).toBe(181.1);
    expect(report.interrupts.pairing).toMatchObject({ exact: 101, estimate: 101, paired: 101 });
    expect(rulesOf(report)).toEqual([
      'certain wait-inside-trap 371/371',
      'certain trap-inside-surroundings 371/371',
      'certain dom0-inside-trap 371/371',
      'certain descheduled-after-send 371/371',
      'certain within-clock-error 371/371',
      'typical own-ioreq 371/371',
      'typical read-after-injection 101/101',
      'certain notify-after-trap 101/101',
    ]);
    // The device model's own stages are the same records in both.
    for (const { name, error } of all!.stages.slice(1, 4))
      expect([name, error.min_ns, error.max_ns]).toEqual([name, 0, 0]);
  });
});

describe('P3, two vCPUs and three devices on a busy host', () => {
  const there = captureArchive('P3') !== undefined;
  if (!there) console.warn('SKIPPED: capture P3 is not on this machine');

  it.skipIf(!there)('splits by preemption, and counts the ioreq that was answered early', async () => {
    const report = await truthOf('P3');
    const { pairing, splits, joined_otherwise } = report.mmio;
    expect(pairing).toMatchObject({ exact: 1175, estimate: 1175, paired: 1175 });
    expect(pairing.not_compared.map((n) => [n.count, n.why.split(':')[0]])).toEqual([
      [1, 'map-cache INVALIDATE, not an access of the guest'],
      [1, 'not timed unpatched'],
    ]);
    expect(joined_otherwise).toBe(0);
    expect(splits.map((s) => [s.spans, s.total.count])).toEqual([
      ['all', 1173],
      ['undisturbed', 1053],
      ['preempted', 120],
    ]);
    expect(us(splits[2]!.total.error.p50_ns)).toBe(-53724.7);
    for (const { id, certain, checked, held } of report.rules)
      if (certain) expect([id, held]).toEqual([id, checked]);
  });
});
