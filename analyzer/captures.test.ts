import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Analyzed } from '../fixtures/analyzed.ts';
import { importAndAnalyze } from '../fixtures/analyzed.ts';
import { captureArchive, withCapture } from '../fixtures/captures.ts';
import { SPAN_FLAG } from '../trace/spans.ts';
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
      ['inject→runs', 'exact'],
      ['runs→lr', 'exact'],
      ['lr→active', 'no-later-than'],
      ['active→retired', 'no-later-than'],
      ['preempted', 'exact'],
    ]);
    // The guest sleeps while its one request is served: its vCPU had to be woken for every interrupt but one.
    expect(injection?.by_target.map((t) => [t.target, t.count])).toEqual([
      ['running', 1],
      ['blocked', 100],
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

describe('capture F1, a front-end beside QEMU, with ioeventfd and irqfd', () => {
  /** How far the front-end's counters and the guest's of its two lines moved while the trace was on. */
  function truthOf(dir: string): { frontend: Record<string, number>; guest: number[] } {
    const [before, after] = readFileSync(join(dir, 'truth.txt'), 'utf8')
      .split('after\n')
      .map((part) => ({
        frontend: JSON.parse(/^\{.*\}$/m.exec(part)![0]) as Record<string, number>,
        guest: [...part.matchAll(/^ *\d+: +(\d+) .*virtio/gm)].map((m) => Number(m[1])),
      }));
    const moved = Object.entries(after!.frontend).map(
      ([key, n]) => [key, n - before!.frontend[key]!] as const,
    );
    return {
      frontend: Object.fromEntries(moved),
      guest: after!.guest.map((n, line) => n - before!.guest[line]!),
    };
  }

  it("counts what the front-end, the guest's interrupts and the hypervisor counted", async () => {
    const { truth, got } = await withCapture('F1', async (dir) => ({
      truth: truthOf(dir),
      got: await importAndAnalyze([dir]),
    }));
    const { report, spans, manifest } = got;
    const { counts } = report;
    const { frontend } = truth;
    expect(truth.guest).toEqual([12, 41]);
    expect(manifest.deviceModels.map((m) => m.name)).toEqual(['qemu-xen', 'rng-frontend']);
    expect([counts.answered_by_ioeventfd, counts.raised_by_irqfd]).toEqual([
      frontend['kicks_kernel'],
      frontend['irqs_kernel'],
    ]);
    expect([counts.ioreqs, counts.lost, counts.sources_agree]).toEqual([159, 0, true]);
    const ofDevice = (d: number): typeof spans => spans.filter((s) => s.family === 'mmio' && s.device === d);
    const rng = ofDevice(1);
    const inKernel = rng.filter((s) => (s.flags & SPAN_FLAG.KERNEL) !== 0);
    const byUser = rng.filter((s) => (s.flags & SPAN_FLAG.KERNEL) === 0);
    expect(byUser.filter((s) => s.dir === 1).length).toBe(frontend['reads']);
    expect(byUser.filter((s) => s.dir === 0).length).toBe(frontend['writes']);
    expect(inKernel.length).toBe(frontend['kicks_kernel']);
    expect(inKernel.every((s) => s.key === 0x50 && Number.isNaN(s.at['dm_read']))).toBe(true);
    expect(inKernel.every((s) => s.at['answer']! > s.at['dom0_irq']!)).toBe(true);
    expect(byUser.every((s) => s.at['answer']! > s.at['dm_read']!)).toBe(true);
    // QEMU's device beside it: a kick, a read and an acknowledge for each of its interrupts.
    expect(
      ofDevice(0)
        .map((s) => s.key.toString(16))
        .sort(),
    ).toEqual(['50', '60', '64'].flatMap((register) => Array<string>(12).fill(register)));
    expect(ofDevice(0).some((s) => (s.flags & SPAN_FLAG.KERNEL) !== 0)).toBe(false);
    const runs = spans.filter((s) => s.family === 'interrupt');
    expect(runs.map((s) => [s.device, (s.flags & SPAN_FLAG.KERNEL) !== 0].join()).sort()).toEqual([
      ...Array<string>(12).fill('0,false'),
      ...Array<string>(41).fill('1,true'),
    ]);
    // Two kicks were answered before their vCPU was descheduled: they have no wait, all others have.
    expect(report.mmio.total.count).toBe(157);
    expect(report.mmio.in_kernel.count).toBe(39);
    checkSums(got);
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
