import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { SpanRow } from '../../../fixtures/analyzed.ts';
import { importAndAnalyze } from '../../../fixtures/analyzed.ts';
import { captureArchive, withCapture } from '../../../fixtures/captures.ts';
import type { Cut, Given, LiveRun } from '../../../fixtures/live-run.ts';
import { runLive } from '../../../fixtures/live-run.ts';
import type { ScenarioOptions, ScenarioTruth } from '../../../fixtures/scenario/index.ts';
import { dom0Reading, generateScenario } from '../../../fixtures/scenario/index.ts';
import type { LiveDevice } from './latency.ts';
import { MEASURE } from './latency.ts';
import { SERIES_ERROR } from './series.ts';
import type { SeriesSummary } from './series.ts';
import { parseTrigger } from './trigger.ts';
import { TriggerWatch } from './trigger-watch.ts';

/** Ways to cut a recording: drains one after the other, the other way round, nearly a round late, in tiny rounds. */
const CUTS: Cut[] = [
  { rounds: 1, skew: 0, order: 'up', seed: 1 },
  { rounds: 12, skew: 0.05, order: 'up', seed: 2 },
  { rounds: 12, skew: 0.99, order: 'down', seed: 3 },
  { rounds: 31, skew: 0.99, order: 'any', seed: 4 },
  { rounds: 160, skew: 0.9, order: 'any', seed: 5 },
];

const BLK0: LiveDevice = { name: 'blk0', kind: 'blk', base: 0x2000000, spi: 33 };

function ascending(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}

function nsOf(given: readonly Given[], measure: number): number[] {
  return ascending(given.filter((g) => g.measure === measure).map((g) => g.ns));
}

/** The same values, to what a float64 of axis time loses. */
function expectSame(got: readonly number[], want: readonly number[]): void {
  expect(got.length).toBe(want.length);
  got.forEach((value, i) => {
    expect(Math.abs(value - want[i]!)).toBeLessThan(0.01);
  });
}

/** Percentiles as nearest rank gives them of `want`, within the stated error of a series. */
function expectPercentiles(got: SeriesSummary, want: readonly number[]): void {
  const sorted = ascending(want);
  const rank = (q: number): number => sorted[Math.max(1, Math.ceil(q * sorted.length - 1e-9)) - 1]!;
  expect(got.count).toBe(sorted.length);
  for (const [value, exact] of [
    [got.p50, rank(0.5)],
    [got.p99, rank(0.99)],
  ] as const) {
    expect(Math.abs(value - exact)).toBeLessThanOrEqual(exact * SERIES_ERROR + 0.01);
  }
  expect(Math.abs(got.max - sorted.at(-1)!)).toBeLessThan(0.01);
}

function between(spans: readonly SpanRow[], family: string, from: string, to: string): number[] {
  const values = spans.filter((s) => s.family === family).map((s) => s.at[to]! - s.at[from]!);
  return ascending(values.filter((v) => !Number.isNaN(v)));
}

function expectInOrder(run: LiveRun): void {
  expect(run.disorder).toBe(0);
  expect(run.feed.dom0).toMatchObject({ late: 0, damaged: 0, skipped: 0 });
  expect(run.feed.xen).toMatchObject({ late: 0, damaged: 0, skipped: 0 });
}

const hasP1 = captureArchive('P1') !== undefined;
const hasA2 = captureArchive('A2') !== undefined;

describe('a real recording, fed as if it came live', () => {
  it.skipIf(!hasP1)('gives the latencies that the analyzer finds in P1, however it is cut', async () => {
    await withCapture('P1', async (dir) => {
      const { spans } = await importAndAnalyze([dir]);
      const dom0Want = between(spans, 'mmio', 'dom0_irq', 'answer');
      expect(dom0Want.length).toBe(372);
      rmSync(join(dir, 'qemu-trace.log'));
      for (const cut of CUTS.slice(2)) {
        const run = runLive(dir, cut, { domid: 1, devices: [BLK0], flight: true });
        expectInOrder(run);
        // A row a record of Xen but the windows' own; two rows for each slot fetch of Dom0.
        expect(run.rows.xen).toBe(192414);
        expect(run.feed.dom0.records).toBe(88397);
        expect(run.dom0.counts).toMatchObject({ ioreqs: 372, unpaired: 0, raises: 101, losses: 0 });
        expectSame(nsOf(run.given, MEASURE.DOM0), dom0Want);
        expect(run.waits.counts.waits).toBe(372);
        expect(run.given.filter((g) => g.measure === MEASURE.DOM0 && g.device === 0).length).toBe(371);
        // Xen's trace points tell the device of a wait.
        expect(run.given.filter((g) => g.measure === MEASURE.WAIT && g.device === 0).length).toBe(371);
        const { measures, byPort, byVcpu, requests } = run.stats.snapshot();
        expectPercentiles(measures[MEASURE.DOM0]!.total, dom0Want);
        expect(byPort.map((p) => [p.port, p.vcpu, p.total.count])).toEqual([[8, 0, 372]]);
        expect(byVcpu.map((v) => [v.vcpu, v.total.count])).toEqual([[0, 372]]);
        // The device model's own trace is among Dom0's events.
        expect(requests).toBe('pop→fill');
        expect(measures[MEASURE.REQUEST]!.total.count).toBe(101);
      }
      rmSync(join(dir, 'xentrace.bin'));
      const alone = await importAndAnalyze([dir]);
      const irqWant = between(alone.spans, 'interrupt', 'raise', 'status_read');
      expect(irqWant.length).toBe(101);
      for (const cut of CUTS.slice(2, 4)) {
        const run = runLive(dir, cut, { domid: 1, devices: [BLK0], flight: true });
        expectSame(nsOf(run.given, MEASURE.IRQ), irqWant);
        expectPercentiles(run.stats.snapshot().measures[MEASURE.IRQ]!.total, irqWant);
      }
    });
  });

  it.skipIf(!hasA2)('gives the waits that the analyzer finds in A2, an unpatched Xen', async () => {
    await withCapture('A2', async (dir) => {
      const { spans } = await importAndAnalyze([dir]);
      const waitWant = between(spans, 'mmio', 'offline', 'running');
      const dom0Want = between(spans, 'mmio', 'dom0_irq', 'answer');
      expect(waitWant.length).toBeGreaterThan(360);
      for (const cut of CUTS.slice(2)) {
        const run = runLive(dir, cut, { domid: 7, devices: [BLK0], flight: true });
        expectInOrder(run);
        expectSame(nsOf(run.given, MEASURE.WAIT), waitWant);
        const { measures, byPort } = run.stats.snapshot();
        expectPercentiles(measures[MEASURE.WAIT]!.total, waitWant);
        // No slot is fetched here, so ports of others show as well: the domain's is the busy one.
        const port = byPort.find((p) => p.total.count === dom0Want.length);
        expectPercentiles(port!.total, dom0Want);
      }
    });
  });

  it.skipIf(!hasP1)(
    'sees a request that hangs, by the host’s own time where nothing happens any more',
    async () => {
      await withCapture('P1', (dir) => {
        const cut: Cut = { rounds: 10, skew: 0, order: 'up', seed: 1 };
        const whole = runLive(dir, CUTS[0]!, { domid: 1, devices: [BLK0], flight: true });
        const of = whole.given.filter((g) => g.measure === MEASURE.DOM0 && g.device === 0);
        const slow = of.reduce((a, b) => (a.ns > b.ns ? a : b));
        const watch = new TriggerWatch(parseTrigger('mmio(blk0) > 500ms'), [BLK0]);
        const options = { domid: 1, devices: [BLK0], sinks: [watch] };
        runLive(dir, cut, { ...options, stopAt: (first) => first + BigInt(slow.end - 1000) });
        expect(watch.hit).toBeUndefined();
        const run = runLive(dir, cut, {
          ...options,
          stopAt: (first) => first + BigInt(slow.end - 1000),
          idleRounds: 3,
        });
        expect(watch.hit).toMatchObject({
          open: true,
          start: slow.start,
          deviceName: 'blk0',
          vcpu: 0,
          clock: 'dom0',
        });
        expect(watch.hit!.ns).toBeGreaterThan(5e8);
        // It is told with the first round at whose begin it has been open for so long, not rounds later.
        expect(watch.hit!.ns).toBeLessThan(2e9);
        expect(run.given.length).toBeGreaterThan(100);
        return Promise.resolve();
      });
    },
  );

  it.skipIf(!hasP1)(
    'decodes the newest of a round alone if there is too much, and never joins over the gap',
    async () => {
      await withCapture('P1', (dir) => {
        const whole = runLive(dir, CUTS[0]!, { domid: 1, devices: [BLK0], flight: true });
        const key = (g: Given): string => `${g.measure} ${g.start} ${g.end}`;
        for (const cut of CUTS.slice(2)) {
          const options = { domid: 1, devices: [BLK0] };
          // Every latency is one that truly was; sampled runs count time from another epoch.
          const run = runLive(dir, cut, { ...options, maxBytesPerRound: 64 * 1024 });
          const shift = Number(run.feed.dom0Epoch! - whole.feed.dom0Epoch!);
          const xenShift = Number(run.feed.xenEpoch! - whole.feed.xenEpoch!);
          const known = new Set(
            whole.given.map((g) => {
              const by = g.measure === MEASURE.WAIT ? xenShift : shift;
              return key({ ...g, start: g.start - by, end: g.end - by });
            }),
          );
          expect(run.disorder).toBe(0);
          expect(run.feed.dom0.late).toBe(0);
          const wrong = run.given.filter((g) => g.measure !== MEASURE.IRQ && !known.has(key(g)));
          expect(wrong).toEqual([]);
          const { ioreqs } = run.dom0.counts;
          if (cut.rounds < 100) {
            expect(run.feed.dom0.skipped).toBeGreaterThan(100);
            expect(run.feed.xen!.skipped).toBeGreaterThan(1e6);
            expect(run.dom0.counts.skippedNs).toBeGreaterThan(1e9);
            expect(ioreqs).toBeLessThan(300);
          }
          expect(run.dom0.counts.losses).toBe(0);
          expect(run.given.length).toBeGreaterThan(10);
          const all = runLive(dir, cut, { ...options, maxBytesPerRound: 64 * 1024, flight: true });
          expect(all.given.length).toBe(whole.given.length);
        }
        return Promise.resolve();
      });
    },
  );
});

/** Truth of a scenario by measure, as Dom0's clock shows it. */
function truths(truth: ScenarioTruth): { dom0: number[]; wait: number[] } {
  const at = (ns: number): number => dom0Reading(truth.clock, ns);
  const dom0 = truth.ioreqs.map((i) => at(i.answer) - at(i.dom0Irq));
  const wait = truth.ioreqs.map((i) => i.running - i.offline);
  return {
    dom0: ascending(dom0.filter((v) => !Number.isNaN(v))),
    wait: ascending(wait.filter((v) => !Number.isNaN(v))),
  };
}

function withScenario(options: ScenarioOptions, use: (dir: string, truth: ScenarioTruth) => void): void {
  const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-live-'));
  try {
    use(work, generateScenario(options, work));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function devicesOf(truth: ScenarioTruth): LiveDevice[] {
  return truth.devices.map((d, n) => ({ name: `${d.kind}${n}`, kind: d.kind, base: d.base, spi: d.spi }));
}

describe('a modelled host, of which the truth is known', () => {
  const options: ScenarioOptions = {
    ioreqs: 2000,
    ioreqFetch: true,
    markers: false,
    qemuLog: 'none',
    vcpus: 2,
  };

  it.each(CUTS)('gives the true latencies of $rounds rounds, skew $skew, CPUs $order', (cut) => {
    withScenario(options, (dir, truth) => {
      const run = runLive(dir, cut, { domid: truth.domid, devices: devicesOf(truth) });
      expectInOrder(run);
      const want = truths(truth);
      const dom0 = nsOf(run.given, MEASURE.DOM0);
      expectSame(dom0, want.dom0);
      expectSame(nsOf(run.given, MEASURE.WAIT), want.wait);
      const { measures, byVcpu, byPort, requests, ioreqs } = run.stats.snapshot();
      expect(ioreqs).toBe(truth.counts.ioreqs);
      expectPercentiles(measures[MEASURE.DOM0]!.total, want.dom0);
      expectPercentiles(measures[MEASURE.WAIT]!.total, want.wait);
      expect(byVcpu.map((v) => v.vcpu)).toEqual([0, 1]);
      expect(ascending(byPort.map((p) => p.vcpu))).toEqual([0, 1]);
      expect(requests).toBe('QueueNotify answered→interrupt raised');
      checkDevices(run, truth);
      checkRequests(run, truth);
    });
  });

  it('gives each request of the device model’s trace, popped to filled', () => {
    withScenario({ ...options, markers: true, ioreqs: 1500 }, (dir, truth) => {
      const run = runLive(dir, CUTS[3]!, { domid: truth.domid, devices: devicesOf(truth) });
      expectInOrder(run);
      const at = (ns: number): number => dom0Reading(truth.clock, ns);
      const want = truth.requests.map((r) => at(r.used) - at(r.pop)).filter((v) => !Number.isNaN(v));
      expectSame(nsOf(run.given, MEASURE.REQUEST), ascending(want));
      const blk = truth.devices.findIndex((d) => d.kind === 'blk');
      const ofBlk = truth.requests.filter((r) => r.device === blk && !Number.isNaN(r.used)).length;
      const given = run.given.filter((g) => g.measure === MEASURE.REQUEST && g.device === blk).length;
      // The first notifies of several devices at once tell nothing yet.
      expect(given).toBeGreaterThan(ofBlk * 0.95);
      expect(given).toBeLessThanOrEqual(ofBlk);
    });
  });

  it('forgets what was open when events were lost', () => {
    const lossy = { ...options, ftraceLoss: [{ cpu: 0, atIoreq: 900, records: 400 }] };
    withScenario(lossy, (dir, truth) => {
      const run = runLive(dir, CUTS[1]!, { domid: truth.domid, devices: devicesOf(truth) });
      expect(run.dom0.counts).toMatchObject({ losses: 1, lost: 400 });
      expect(run.stats.snapshot()).toMatchObject({ losses: 1, lost: 400 });
      const want = truths(truth).dom0;
      const dom0 = nsOf(run.given, MEASURE.DOM0);
      expect(dom0.length).toBeLessThan(want.length);
      expect(dom0.length).toBeGreaterThan(want.length - 200);
      expect(dom0.at(-1)).toBeLessThanOrEqual(want.at(-1)!);
    });
  });
});

/** Each Dom0 latency is attributed to the device whose register the ioreq is of. */
function checkDevices(run: LiveRun, truth: ScenarioTruth): void {
  const at = (ns: number): number => dom0Reading(truth.clock, ns) - Number(run.feed.dom0Epoch!);
  const known = new Map(truth.ioreqs.map((i) => [`${at(i.dom0Irq)} ${at(i.answer)}`, i]));
  let wrong = 0;
  for (const g of run.given) {
    if (g.measure !== MEASURE.DOM0) continue;
    const ioreq = known.get(`${g.start} ${g.end}`);
    if (
      ioreq === undefined ||
      g.device !== (ioreq.device < 0 ? 0xffff : ioreq.device) ||
      g.vcpu !== ioreq.vcpu
    )
      wrong++;
  }
  // Until both slots have been voted for, a port's vCPU is a guess.
  expect(wrong).toBeLessThanOrEqual(3);
}

/** The stand-in never says more than the request that it stands for took to its interrupt. */
function checkRequests(run: LiveRun, truth: ScenarioTruth): void {
  const at = (ns: number): number => dom0Reading(truth.clock, ns) - Number(run.feed.dom0Epoch!);
  const given = run.given.filter((g) => g.measure === MEASURE.REQUEST);
  expect(given.length).toBeGreaterThan(20);
  const notifies = new Map(
    truth.ioreqs.filter((i) => i.register === 0x50).map((i) => [at(i.answer), i.index]),
  );
  let standIns = 0;
  let tooLong = 0;
  for (const g of given) {
    const notify = notifies.get(g.start);
    expect(notify).toBeDefined();
    expect(truth.devices[g.device]!.kind).toBe('blk');
    const requests = truth.requests.filter((r) => r.notifyIoreq === notify && r.interrupt >= 0);
    for (const r of requests) {
      standIns++;
      // Its interrupt's own record begins with the first raise that it stands for: an earlier one may have been merged.
      if (r.used <= truth.ioreqs[notify!]!.answer) continue;
      if (g.end > at(truth.interrupts[r.interrupt]!.guestAck)) tooLong++;
    }
  }
  expect(standIns).toBeGreaterThan(100);
  expect(tooLong).toBe(0);
}
