import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Analyzed, SpanRow } from '../fixtures/analyzed.ts';
import { importAndAnalyze } from '../fixtures/analyzed.ts';
import type { ScenarioOptions, ScenarioTruth, TruthInterrupt } from '../fixtures/scenario/index.ts';
import { generateScenario } from '../fixtures/scenario/index.ts';
import { importCapture } from '../collector/import.ts';
import type { EventColumns } from '../trace/columns.ts';
import { K, RUNSTATE } from '../trace/events.ts';
import { openTrace } from '../trace/open.ts';
import { SPAN_FLAG } from '../trace/spans.ts';
import type { Report } from './report/document.ts';
import { analyzeTrace } from './report/build.ts';

/** What only a hypervisor with the trace points shows, against the generator's truth. */
async function run(options: ScenarioOptions): Promise<{ truth: ScenarioTruth; got: Analyzed }> {
  const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-exact-'));
  try {
    const truth = generateScenario({ ioreqs: 1500, patched: true, ...options }, work);
    return { truth, got: await importAndAnalyze([work]) };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Two instants of Xen's clock lie `true` ns apart; ticks, and the rate of Dom0's clock, make this of it. */
function expectNear(truth: ScenarioTruth, found: number, real: number, what: string): void {
  const allowed = 2 * (1e9 / truth.clock.counterHz) + 2 + Math.abs(1 - truth.clock.dom0Rate) * Math.abs(real);
  if (!(Math.abs(found - real) <= allowed)) throw new Error(`${what}: ${found} ns, truly ${real} ns`);
}

/** In-total stages, preemption among them, add up to the total, span by span. */
function checkSums(got: Analyzed): void {
  const { mmio, interrupts, requests } = got.report;
  for (const { plan } of [mmio, interrupts, requests, interrupts.injection!]) {
    const inTotal = plan!.stages.filter((s) => s.inTotal).map((s) => s.name);
    let summed = 0;
    for (const span of got.spans.filter((s) => s.family === plan!.family)) {
      const sum = inTotal.reduce((all, name) => all + span.stages[name]!, 0);
      if (Number.isNaN(sum)) continue;
      expect(Math.abs(sum - span.total)).toBeLessThan(0.01);
      summed++;
    }
    expect(summed).toBeGreaterThan(100);
  }
}

/** The number of spans whose vCPU was preempted. */
function checkPreemption(got: Analyzed, truth: ScenarioTruth): number {
  let preempted = 0;
  for (let v = 0; v < truth.vcpus; v++) {
    const spans = got.spans.filter((s) => s.family === 'mmio' && s.vcpu === v);
    const ioreqs = truth.ioreqs.filter((t) => t.vcpu === v);
    expect(spans.length).toBe(ioreqs.length);
    for (const [n, span] of spans.entries()) {
      const t = ioreqs[n]!;
      if ((span.flags & SPAN_FLAG.INVALIDATE) !== 0) continue;
      expectNear(truth, span.preempted['trap']!, t.preemptedTrap, `ioreq ${t.index} trap`);
      expectNear(truth, span.preempted['running']!, t.preemptedRunning, `ioreq ${t.index} running`);
      expectNear(truth, span.preempted['done']!, t.preemptedDone, `ioreq ${t.index} done`);
      const all = t.preemptedTrap + t.preemptedRunning + t.preemptedDone;
      expectNear(truth, span.stages['preempted']!, all, `ioreq ${t.index} in all`);
      if (!Number.isNaN(t.running))
        expectNear(truth, span.stages['running→done']!, t.done - t.running - t.preemptedRunning, 'net stage');
      // The model counts its own decisions to preempt; the history is what it wrote.
      if (t.preemptions > 0) expect(all).toBeGreaterThan(0);
      if (all > 0) preempted++;
    }
  }
  const told = got.report.mmio.preempted!;
  expect(told.count).toBe(truthStaged(got).filter((s) => s.stages['preempted']! > 0).length);
  return preempted;
}

const truthStaged = (got: Analyzed): SpanRow[] =>
  got.spans.filter(
    (s) => s.family === 'mmio' && (s.flags & (SPAN_FLAG.INVALIDATE | SPAN_FLAG.INCOMPLETE)) === 0,
  );

/** Every handler run against the truth; how many of each kind of target there were. */
function checkInterrupts(got: Analyzed, truth: ScenarioTruth): number[] {
  const targets = [0, 0, 0, 0];
  for (const d of truth.devices.keys()) {
    const spans = got.spans.filter((s) => s.family === 'interrupt' && s.device === d);
    const runs = truth.interrupts.filter((t) => t.device === d && t.statusRead >= 0);
    expect(spans.length).toBe(runs.length);
    for (const [n, span] of spans.entries()) {
      const t = runs[n]!;
      checkInterrupt(truth, span, t);
      targets[t.target]!++;
    }
  }
  const { by_target: told } = got.report.interrupts;
  const names = ['running', 'runnable', 'blocked', 'offline'];
  expect(Object.fromEntries(told.map((r) => [r.target, r.count]))).toEqual(
    Object.fromEntries(names.flatMap((name, k) => (targets[k]! > 0 ? [[name, targets[k]!]] : []))),
  );
  // A target that ran has no wake-up.
  const busy = told.find((r) => r.target === 'running');
  if (busy !== undefined) expect(busy.stages.find((s) => s.name === 'inject→runs')!.max_ns).toBe(0);
  return targets;
}

function checkInterrupt(truth: ScenarioTruth, span: SpanRow, t: TruthInterrupt): void {
  const what = `interrupt ${t.index}`;
  const taken = Number.isNaN(t.lr) ? t.repended : t.lr;
  const read = truth.ioreqs[t.statusRead]!.trap;
  const ack = truth.ioreqs[t.ack]!.trap;
  const { stages, preempted, at } = span;
  expect([span.type, span.vcpu, what]).toEqual([t.target, t.vcpu, what]);
  expectNear(truth, stages['inject→runs']!, t.runs - t.inject, `${what} wake-up`);
  expectNear(truth, stages['runs→lr']!, taken - t.runs - t.preemptedRuns, `${what} list register`);
  expectNear(truth, stages['lr→status_read']!, read - taken - t.preemptedLr, `${what} guest's entry`);
  expectNear(truth, stages['status_read→ack']!, ack - read - t.preemptedRead, `${what} acknowledge`);
  expectNear(truth, preempted['runs']!, t.preemptedRuns, `${what} preempted before`);
  expectNear(truth, preempted['lr']!, t.preemptedLr, `${what} preempted in the guest`);
  for (const [name, real] of [
    ['active', t.active],
    ['retired', t.retired],
  ] as const) {
    if (Number.isNaN(real)) expect([name, at[name], what]).toEqual([name, NaN, what]);
    else expectNear(truth, at[name]! - at['lr']!, real - taken, `${what} ${name}`);
  }
}

/** Counts of every line, and the sums that must hold. */
function checkLines(got: Analyzed, truth: ScenarioTruth): void {
  const raisesOf = (d: number): number =>
    truth.interrupts.filter((t) => t.device === d).reduce((sum, t) => sum + t.raises, 0);
  const { lines } = got.report.interrupts;
  expect(
    lines.map((l) => [
      l.spi,
      l.raised,
      l.injected,
      l.lr,
      l.repended,
      l.merged,
      l.already_queued,
      l.retired,
      l.lowered,
      l.taken,
    ]),
  ).toEqual(
    truth.lines.map((l, d) => [
      l.spi,
      raisesOf(d),
      l.injected,
      l.lr,
      l.repended,
      l.merged,
      l.alreadyQueued,
      l.retired,
      l.lowered,
      truth.interrupts.filter((t) => t.device === d).length,
    ]),
  );
  for (const line of lines) {
    expect(line.identities.map((i) => i.what)).toEqual([
      'raised = injected',
      'injected = lr + repended + merged + already_queued',
      'lr = retired',
      'lr <= taken <= lr + repended',
    ]);
    expect(line.identities.filter((i) => !i.holds)).toEqual([]);
  }
}

const SCENARIOS: ScenarioOptions[] = [
  { seed: 61, cntvoff: true },
  { seed: 62, vcpus: 4, pcpus: 2, hogs: 2, counterHz: 24_000_000, earlyAnswerEvery: 40 },
  { seed: 63, vcpus: 4, pcpus: 3, hogs: 3, eventIdx: false, serviceNs: 5000, invalidates: 5 },
  { seed: 64, vcpus: 1, pcpus: 1, dom0Vcpus: 1, hogs: 1, dom0Clock: 'mono', driftPpm: -120 },
  {
    seed: 65,
    vcpus: 3,
    pcpus: 4,
    eventIdx: false,
    devices: ['blk', 'net'],
    counterHz: 1_000_000_000,
    cntvoff: true,
  },
  { seed: 66, vcpus: 2, kernelKicks: true, ioreqFetch: true, eventIdx: false, hogs: 2 },
];

describe('preemption, wake-ups and coalescing with trace points', () => {
  const met = { preempted: 0, targets: [0, 0, 0, 0], repended: 0, merged: 0, queued: 0 };

  it.each(SCENARIOS)('are exactly the truth: %j', async (options) => {
    const { truth, got } = await run(options);
    checkSums(got);
    met.preempted += checkPreemption(got, truth);
    checkInterrupts(got, truth).forEach((n, k) => (met.targets[k]! += n));
    checkLines(got, truth);
    for (const line of truth.lines) {
      met.repended += line.repended;
      met.merged += line.merged;
      met.queued += line.alreadyQueued;
    }
  });

  it('were all met in these scenarios', () => {
    expect(met.preempted).toBeGreaterThan(50);
    for (const state of Object.values(RUNSTATE)) expect(met.targets[state]).toBeGreaterThan(5);
    for (const n of [met.repended, met.merged, met.queued]) expect(n).toBeGreaterThan(5);
  });
});

describe('the sums of every line', () => {
  it('hold where the trace ends in the middle of the load', async () => {
    let open = 0;
    for (const seed of [71, 72, 73]) {
      const { got } = await run({
        seed,
        drain: false,
        eventIdx: false,
        serviceNs: 5000,
        hogs: 2,
        ioreqs: 500,
      });
      const { lines } = got.report.interrupts;
      expect(lines.flatMap((l) => l.identities).filter((i) => !i.holds)).toEqual([]);
      for (const l of lines) open += l.queued_at_end! + l.in_lr_at_end!;
    }
    expect(open).toBeGreaterThan(0);
  });

  it('are said not to hold where records are lost', async () => {
    const { got } = await run({
      seed: 74,
      xenLoss: [0, 1].map((cpu) => ({ cpu, atIoreq: 700, records: 2000 })),
    });
    const broken = got.report.interrupts.lines.flatMap((l) => l.identities).filter((i) => !i.holds);
    expect(broken.length).toBeGreaterThan(0);
    expect(broken.every((i) => i.left !== i.right)).toBe(true);
  });
});

/** The stages of interrupts as the report has them: name, or why it was not seen. */
const endToEnd = (report: Report): string[] =>
  report.interrupts.end_to_end.stages.map((s) => {
    if (!s.seen) return `${s.name}: ${s.why!}`;
    expect(s.count).toBeGreaterThan(100);
    return s.sum_of.length === 0 ? s.name : `${s.name} = ${s.sum_of.join(' + ')}`;
  });

describe('interrupts end to end', () => {
  it('have every stage with the trace points', async () => {
    const { got } = await run({ seed: 67 });
    expect(endToEnd(got.report)).toEqual([
      'raise→inject',
      'inject→runs',
      'runs→lr',
      'lr→active',
      'lr→status_read',
      'preempted',
      'status_read→ack',
      'ack→retired',
    ]);
    expect(got.report.interrupts.end_to_end.before).toMatchObject({
      name: 'used→interrupt',
      family: 'requests',
    });
    const staged = got.report.interrupts.end_to_end.stages.filter((s) => s.in_total);
    const sum = staged.reduce((all, s) => all + s.mean_ns!, 0);
    expect(sum / got.report.interrupts.staged.mean_ns!).toBeCloseTo(1, 9);
  });

  it('name what an unpatched hypervisor cannot show, and the sum that it shows by its own name', async () => {
    const { got, truth } = await run({ seed: 67, patched: false });
    const unseen = (name: string): string => `${name}: not seen without Xen's trace points`;
    expect(endToEnd(got.report)).toEqual([
      unseen('raise→inject'),
      unseen('inject→runs'),
      unseen('runs→lr'),
      unseen('lr→active'),
      unseen('lr→status_read'),
      unseen('preempted'),
      'raise→status_read = raise→inject + inject→runs + runs→lr + lr→status_read + preempted',
      'status_read→ack',
      unseen('ack→retired'),
    ]);
    const { interrupts, mmio } = got.report;
    expect([interrupts.title, mmio.preempted, interrupts.by_target, interrupts.injection]).toEqual([
      'device model raises the line → guest reads InterruptStatus',
      null,
      [],
      null,
    ]);
    const taken = interrupts.lines.reduce((sum, l) => sum + l.taken, 0);
    const raised = interrupts.lines.reduce((sum, l) => sum + l.raised!, 0);
    expect([taken, raised]).toEqual([truth.counts.interrupts, truth.counts.raises]);
    expect(interrupts.lines.every((l) => l.injected === null && l.identities.length === 0)).toBe(true);
  });

  it('say which records are missing when only the trace points were recorded', async () => {
    const report = await withoutRunstates({ seed: 68 });
    const unseen = (name: string): string => `${name}: not seen without the scheduler's runstates`;
    expect(endToEnd(report)).toEqual([
      'raise→inject',
      unseen('inject→runs'),
      unseen('runs→lr'),
      'inject→lr = inject→runs + runs→lr',
      'lr→active',
      'lr→status_read',
      unseen('preempted'),
      'status_read→ack',
      'ack→retired',
    ]);
    expect([report.mmio.preempted, report.interrupts.by_target]).toEqual([null, []]);
    expect(report.interrupts.lines.flatMap((l) => l.identities).every((i) => i.holds)).toBe(true);
  });
});

/** A recording of the trace points alone: the scheduler's rows go by another kind. */
async function withoutRunstates(options: ScenarioOptions): Promise<Report> {
  const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-exact-'));
  try {
    generateScenario({ ioreqs: 1500, patched: true, ...options }, join(work, 'raw'));
    await importCapture([join(work, 'raw')], join(work, 'trace'), { tool: { name: 'test', version: '0' } });
    const trace = openTrace(join(work, 'trace'));
    const manifest = structuredClone(trace.manifest);
    for (const s of manifest.sources) delete s.kinds['xen.runstate'];
    const source = (id: string): { batches(): Iterable<EventColumns> } => ({
      batches: () => masked(trace.source(id)),
    });
    return analyzeTrace({ manifest, source }, { path: 'trace' });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function* masked(source: { batches(): Iterable<EventColumns> }): Generator<EventColumns> {
  for (const batch of source.batches()) {
    const kind = batch.kind.map((k) => (k === K.XEN_RUNSTATE || k === K.XEN_WAKE ? K.XEN_OTHER : k));
    yield Object.assign(Object.create(batch) as EventColumns, { kind });
  }
}
