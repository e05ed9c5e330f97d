import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Analyzed } from '../fixtures/analyzed.ts';
import { importAndAnalyze } from '../fixtures/analyzed.ts';
import { captureArchive, withCapture } from '../fixtures/captures.ts';
import { analyzeTrace } from './report/build.ts';

/** What is known to be true of each capture (fixtures/captures/README.md and the shared captures' README). */
interface Known {
  ioreqs: number;
  interrupts: number;
  reads: number;
  writes: number;
  notifies: number;
  raises: number;
  requests: number;
  /** Sources that must each have counted every ioreq. */
  sources: string[];
  devices: string[];
}

const HYPERVISOR = 'hypervisor: running→offline';
const TRACE_POINTS = ['hypervisor: sent', 'hypervisor: done'];
const DOM0 = ['Dom0: event-channel interrupts', 'Dom0: answers'];
const DM = "device model's trace in Dom0's buffer";
const LOG = "device model's log";
const PAGE = 'Dom0: ioreq page at the answer';

const CAPTURES: Record<string, Known> = {
  A1: {
    ioreqs: 1272,
    interrupts: 401,
    reads: 454,
    writes: 817,
    notifies: 401,
    raises: 401,
    requests: 401,
    sources: [HYPERVISOR, ...DOM0, DM, LOG],
    devices: ['blk0 33'],
  },
  A2: {
    ioreqs: 372,
    interrupts: 101,
    reads: 154,
    writes: 217,
    notifies: 101,
    raises: 101,
    requests: 101,
    sources: [HYPERVISOR, ...DOM0, DM, LOG],
    devices: ['blk0 33'],
  },
  C: {
    ioreqs: 372,
    interrupts: 101,
    reads: 154,
    writes: 217,
    notifies: 101,
    raises: 101,
    requests: 0,
    sources: [...DOM0, DM],
    devices: ['unknown0 33'],
  },
  D: {
    ioreqs: 372,
    interrupts: 101,
    reads: 154,
    writes: 217,
    notifies: 101,
    raises: 0,
    requests: 0,
    sources: ['Dom0: answers', PAGE],
    devices: ['blk0 33'],
  },
  P1: {
    ioreqs: 372,
    interrupts: 101,
    reads: 154,
    writes: 217,
    notifies: 101,
    raises: 101,
    requests: 101,
    sources: [...TRACE_POINTS, ...DOM0, PAGE, DM, LOG],
    devices: ['blk0 33'],
  },
  P3: {
    ioreqs: 1175,
    interrupts: 224,
    reads: 443,
    writes: 731,
    notifies: 202,
    raises: 256,
    requests: 278,
    sources: [...TRACE_POINTS, ...DOM0, PAGE, DM, LOG],
    devices: ['blk0 33', 'net0 34', 'console0 35'],
  },
};

describe.each(Object.entries(CAPTURES))('capture %s', (name, known) => {
  const there = captureArchive(name) !== undefined;
  if (!there) console.warn(`SKIPPED: capture ${name} is not on this machine`);

  it.skipIf(!there)(
    'gives the numbers that are known to be true of it, by every source that holds them',
    async () => {
      const { report, spans } = await withCapture(name, (dir) => importAndAnalyze([dir]));
      const { counts } = report;
      expect({
        ioreqs: counts.ioreqs,
        interrupts: counts.interrupts,
        reads: counts.reads,
        writes: counts.writes,
        notifies: counts.notifies,
        raises: counts.raises,
        requests: spans.filter((s) => s.family === 'request').length,
        sources: counts.by_source.map((s) => s.what).sort(),
        devices: report.devices.map((d) => `${d.name} ${d.spi}`),
      }).toEqual({ ...known, sources: [...known.sources].sort() });
      expect(counts.by_source.every((s) => s.ioreqs === known.ioreqs)).toBe(true);
      expect(counts.invalidates).toBe(1);
      expect(counts.lost).toBe(0);
      // The INVALIDATE is no access of the guest; every other ioreq has its latency.
      expect(report.mmio.total.count).toBe(known.ioreqs - 1);
      checkSums({ report, spans } as Analyzed);
    },
  );
});

/** Stage means add up to the mean of the spans that have every stage, and spans' own stages to their totals. */
function checkSums({ report, spans }: Analyzed): void {
  for (const family of [report.mmio, report.interrupts, report.requests]) {
    if (family.plan === null) continue;
    const sum = family.stages.filter((s) => s.in_total).reduce((total, s) => total + (s.mean_ns ?? 0), 0);
    expect(Math.abs(sum - (family.staged.mean_ns ?? 0))).toBeLessThanOrEqual(1e-6 * Math.max(1, sum));
    const { plan } = family;
    for (const span of spans.filter((s) => s.family === plan.family)) {
      let total = 0;
      for (let k = plan.totalFrom; k < plan.totalTo; k++) {
        total += span.at[plan.boundaries[k + 1]!.name]! - span.at[plan.boundaries[k]!.name]!;
      }
      if (!Number.isNaN(total)) expect(Math.abs(total - span.total)).toBeLessThan(0.01);
    }
  }
}

describe('capture P1, patched hypervisor', () => {
  it('shows injection proper with the identities of the vGIC', async () => {
    const { report } = await withCapture('P1', (dir) => importAndAnalyze([dir]));
    const { injection } = report.interrupts;
    expect(injection?.by_spi).toEqual([
      {
        spi: 33,
        injected: 101,
        lr: 101,
        repended: 0,
        merged: 0,
        alreadyQueued: 0,
        lowered: 102,
        retired: 101,
      },
    ]);
    expect(injection?.stages.map((s) => [s.name, s.bound])).toEqual([
      ['inject→lr', 'exact'],
      ['lr→active', 'no-later-than'],
      ['active→retired', 'no-later-than'],
    ]);
    expect(report.slowest.mmio[0]?.events.length).toBeGreaterThan(8);
  });

  it('is grouped without losing a span', async () => {
    const { report } = await withCapture('P1', (dir) => importAndAnalyze([dir], ['register']));
    const mmio = report.groups.filter((g) => g.family === 'mmio');
    expect(mmio.reduce((sum, g) => sum + g.total.count, 0)).toBe(371);
    const notify = mmio.find((g) => g.by['register'] === 'QueueNotify');
    expect(notify?.total.count).toBe(101);
    expect(notify?.by['direction']).toBe('write');
  });
});

describe('the device model’s log alone', () => {
  it('gives the same counts as everything together, and no times', async () => {
    const { report } = await withCapture('P1', (dir) => importAndAnalyze([join(dir, 'qemu-trace.log')]));
    const { ioreqs, reads, writes, invalidates, notifies, interrupts } = report.counts;
    expect([ioreqs, reads, writes, invalidates, notifies, interrupts]).toEqual([372, 154, 217, 1, 101, 101]);
    expect(report.mmio.plan).toBeNull();
  });
});

describe('an empty trace', () => {
  it('is analyzed without numbers', () => {
    const report = analyzeTrace(
      {
        manifest: {
          format: 'ioreq-trace',
          version: 1,
          tool: { name: 'test', version: '0' },
          created: '',
          complete: true,
          ended: 'complete',
          host: {},
          devices: [],
          deviceModels: [],
          tasks: {},
          sources: [],
          unknownFiles: [],
          warnings: [],
        },
        source: () => ({ batches: () => [] }),
      },
      { path: 'nothing' },
    );
    expect(report.counts.ioreqs).toBe(0);
    expect(report.mmio.total.p50_ns).toBeNull();
    expect(report.clock.offset_ns).toBeNull();
  });
});
