import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Analyzed, SpanRow } from '../fixtures/analyzed.ts';
import { importAndAnalyze } from '../fixtures/analyzed.ts';
import type { ScenarioOptions, ScenarioTruth, TruthIoreq } from '../fixtures/scenario/index.ts';
import { generateScenario, trueOffsetNs } from '../fixtures/scenario/index.ts';
import { NO_KEY, SPAN_FLAG } from '../trace/spans.ts';

/** Instants of an MMIO span by boundary name, as the model's truth names them. */
const TRUE_INSTANT: Readonly<Record<string, keyof TruthIoreq>> = {
  trap: 'trap',
  send: 'send',
  offline: 'offline',
  dom0_irq: 'dom0Irq',
  dm_read: 'dmRead',
  service: 'service',
  answer: 'answer',
  wake: 'wake',
  running: 'running',
  done: 'done',
  resume: 'resume',
};

async function run(
  options: ScenarioOptions,
  alter?: (dir: string) => void,
): Promise<{ truth: ScenarioTruth; got: Analyzed }> {
  const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-scenario-'));
  try {
    const truth = generateScenario(options, work);
    alter?.(work);
    return { truth, got: await importAndAnalyze([work]) };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** A span's stage may be off by the clock error if it lies between two clocks, and by what drift and ticks make of it. */
function allowance(
  got: Analyzed,
  stage: { crossesClocks: boolean; from: string; to: string },
  truth: ScenarioTruth,
  length: number,
): number {
  const tick = 1e9 / truth.clock.counterHz;
  const drift = Math.abs(1 - truth.clock.dom0Rate) * length;
  const { boundaries } = got.report.mmio.plan!;
  const clocks = [stage.from, stage.to].map((name) => boundaries.find((b) => b.name === name)?.clock);
  const ofXen = stage.crossesClocks && clocks.includes('xen') ? got.report.clock.max_error_ns! : 0;
  const ofLog = clocks.includes('dm') ? got.report.clock.log_max_error_ns! : 0;
  return ofXen + ofLog + 2 * tick + 2 + drift;
}

function checkMmio(got: Analyzed, truth: ScenarioTruth): number {
  const plan = got.report.mmio.plan!;
  let compared = 0;
  for (let v = 0; v < truth.vcpus; v++) {
    const spans = got.spans.filter((s) => s.family === 'mmio' && s.vcpu === v);
    const ioreqs = truth.ioreqs.filter((t) => t.vcpu === v);
    expect(spans.length).toBe(ioreqs.length);
    for (const [n, span] of spans.entries()) {
      const t = ioreqs[n]!;
      if ((span.flags & (SPAN_FLAG.LOSS | SPAN_FLAG.ONE_SIDED)) !== 0) continue;
      if (t.type === 8) expect(span.flags & SPAN_FLAG.INVALIDATE).toBe(SPAN_FLAG.INVALIDATE);
      else
        expect([span.device, span.key, span.dir, span.amount]).toEqual([t.device, t.register, t.dir, t.size]);
      for (const stage of plan.stages) {
        const length = span.at[stage.to]! - span.at[stage.from]!;
        const trueLength = (t[TRUE_INSTANT[stage.to]!] as number) - (t[TRUE_INSTANT[stage.from]!] as number);
        if (Number.isNaN(trueLength)) {
          expect(length).toBeNaN();
          continue;
        }
        expect(Math.abs(length - trueLength)).toBeLessThanOrEqual(allowance(got, stage, truth, trueLength));
        compared++;
      }
    }
  }
  return compared;
}

/** Interrupts of the patched hypervisor: each handler run's raise, injection and list register. */
function checkInterrupts(got: Analyzed, truth: ScenarioTruth): number {
  let compared = 0;
  for (const [d] of truth.devices.entries()) {
    const spans = got.spans.filter((s) => s.family === 'interrupt' && s.device === d);
    const runs = truth.interrupts.filter((t) => t.device === d && t.statusRead >= 0);
    expect(spans.length).toBe(runs.length);
    for (const [n, span] of spans.entries()) {
      if ((span.flags & SPAN_FLAG.LOSS) !== 0) continue;
      const t = runs[n]!;
      const read = truth.ioreqs[t.statusRead]!.trap;
      const delivered = Number.isNaN(t.lr) ? t.repended : t.lr;
      const slack =
        got.report.clock.max_error_ns! + 50 + (read - t.raise) * Math.abs(1 - truth.clock.dom0Rate);
      expect(Math.abs(span.total - (read - t.raise))).toBeLessThanOrEqual(slack);
      expect(Math.abs(span.at['lr']! - span.at['inject']! - (delivered - t.inject))).toBeLessThanOrEqual(
        slack,
      );
      compared++;
    }
  }
  return compared;
}

function checkRequests(got: Analyzed, truth: ScenarioTruth): number {
  let compared = 0;
  const byQueue = (list: SpanRow[], d: number, q: number): SpanRow[] =>
    list
      .filter((s) => s.family === 'request' && s.device === d && s.key === q)
      .sort((a, b) => a.at['popped']! - b.at['popped']!);
  const first = 'trap' in (got.spans.find((s) => s.family === 'mmio')?.at ?? {}) ? 'trap' : 'offline';
  for (const d of truth.devices.keys()) {
    for (const q of new Set(truth.requests.filter((t) => t.device === d).map((t) => t.queue))) {
      const spans = byQueue(got.spans, d, q);
      const requests = truth.requests
        .filter((t) => t.device === d && t.queue === q && !Number.isNaN(t.pop))
        .sort((a, b) => a.pop - b.pop);
      expect(spans.length).toBe(requests.length);
      for (const [n, span] of spans.entries()) {
        const t = requests[n]!;
        expect(span.value).toBe(t.depth);
        // The used index is published by the flush, a little after the fill that the truth holds.
        const late = span.at['used']! - span.at['popped']! - (t.used - t.pop);
        if (!Number.isNaN(late)) expect(late).toBeGreaterThanOrEqual(-3);
        if (truth.devices[d]!.kind === 'blk' && t.type !== 4)
          expect([span.type, span.amount]).toEqual([t.type, t.bytes]);
        const notify = span.at['notify']!;
        if (Number.isNaN(notify)) continue;
        // A stated notify is the one whose kick the device model was handling.
        const trueWait = t.pop - truth.ioreqs[t.kickIoreq]![first];
        const slack = got.report.clock.max_error_ns! + 50 + trueWait * Math.abs(1 - truth.clock.dom0Rate);
        expect(Math.abs(span.at['popped']! - notify - trueWait)).toBeLessThanOrEqual(slack);
        compared++;
      }
    }
  }
  return compared;
}

function checkCounts(got: Analyzed, truth: ScenarioTruth): void {
  const { counts } = got.report;
  expect(counts.lost).toBe(0);
  expect([
    counts.ioreqs,
    counts.reads,
    counts.writes,
    counts.invalidates,
    counts.notifies,
    counts.interrupts,
  ]).toEqual([
    truth.counts.ioreqs,
    truth.counts.reads,
    truth.counts.writes,
    truth.counts.invalidates,
    truth.counts.notifies,
    truth.counts.interrupts,
  ]);
}

/** The stated interval of the clock relation holds the truth. */
function checkClock(got: Analyzed, truth: ScenarioTruth): void {
  const { clock } = got.report;
  const firstNs = Math.min(truth.firstXenNs, truth.firstDom0Ns);
  const off = Math.abs(clock.offset_ns! - trueOffsetNs(truth.clock, firstNs));
  // Dom0's reading is cut to whole ns and Xen's to ticks.
  expect(off).toBeLessThanOrEqual(clock.error_ns! + 1 + 1e9 / truth.clock.counterHz);
}

function checkStageSums(got: Analyzed): void {
  for (const family of [got.report.mmio, got.report.interrupts, got.report.requests]) {
    const sum = family.stages.filter((s) => s.in_total).reduce((total, s) => total + (s.mean_ns ?? 0), 0);
    expect(Math.abs(sum - (family.staged.mean_ns ?? 0))).toBeLessThanOrEqual(1e-6 * Math.max(1, sum));
  }
}

const PATCHED: ScenarioOptions[] = [
  { seed: 1, patched: true },
  { seed: 2, patched: true, vcpus: 4, counterHz: 24_000_000, earlyAnswerEvery: 40 },
  { seed: 3, patched: true, vcpus: 4, dom0Clock: 'mono', driftPpm: -120, counterHz: 100_000_000, hogs: 2 },
  { seed: 4, patched: true, vcpus: 1, devices: ['blk'], counterHz: 1_000_000_000, queueDepth: 16, batch: 8 },
  { seed: 5, patched: true, ioreqFetch: true, invalidates: 5, rawSyscalls: true },
];

describe('spans of generated scenarios, hypervisor with trace points', () => {
  it.each(PATCHED)('%j', async (options) => {
    const { truth, got } = await run({ ioreqs: 1500, ...options });
    checkCounts(got, truth);
    checkClock(got, truth);
    checkStageSums(got);
    expect(checkMmio(got, truth)).toBeGreaterThan(10_000);
    expect(checkInterrupts(got, truth)).toBeGreaterThan(200);
    expect(checkRequests(got, truth)).toBeGreaterThan(200);
  });
});

const UNPATCHED: ScenarioOptions[] = [
  { seed: 11 },
  { seed: 12, vcpus: 4, counterHz: 24_000_000, earlyAnswerEvery: 40, dom0Clock: 'mono', driftPpm: 40 },
  { seed: 13, vcpus: 3, hogs: 2, counterHz: 100_000_000 },
];

describe('spans of generated scenarios, unpatched hypervisor', () => {
  it.each(UNPATCHED)('%j', async (options) => {
    const { truth, got } = await run({ ioreqs: 1500, ...options });
    checkCounts(got, truth);
    checkClock(got, truth);
    checkStageSums(got);
    expect(got.report.counts.sources_agree).toBe(true);
    expect(checkMmio(got, truth)).toBeGreaterThan(6000);
    expect(checkRequests(got, truth)).toBeGreaterThan(200);
    // One run of the handler an interrupt, each begun by a raise that came before it.
    const runs = got.spans.filter((s) => s.family === 'interrupt');
    expect(runs.length).toBe(truth.interrupts.filter((t) => t.statusRead >= 0).length);
    expect(got.report.interrupts.total.min_ns).toBeGreaterThanOrEqual(0);
  });
});

describe("kicks answered and interrupts raised in Dom0's kernel", () => {
  const inKernel = (got: Analyzed): SpanRow[] =>
    got.spans.filter((s) => s.family === 'mmio' && (s.flags & SPAN_FLAG.KERNEL) !== 0);

  it.each<ScenarioOptions>([
    { seed: 51, patched: true },
    { seed: 52, patched: true, vcpus: 4, ioreqFetch: true, counterHz: 24_000_000, invalidates: 4 },
    { seed: 53, vcpus: 3, ioreqFetch: true, earlyAnswerEvery: 50 },
    { seed: 54, vcpus: 2, ioreqFetch: true, dom0Clock: 'mono', driftPpm: -80, hogs: 1 },
  ])('are told apart, counted and timed: %j', async (options) => {
    const { truth, got } = await run({ ioreqs: 1500, kernelKicks: true, ...options });
    const { counts } = got.report;
    checkCounts(got, truth);
    checkClock(got, truth);
    checkStageSums(got);
    expect(counts.sources_agree).toBe(true);
    expect(truth.counts.ioeventfds).toBeGreaterThan(100);
    expect(truth.counts.irqfds).toBeGreaterThan(100);
    expect([counts.answered_by_ioeventfd, counts.raised_by_irqfd, counts.raises]).toEqual([
      truth.counts.ioeventfds,
      truth.counts.irqfds,
      truth.counts.raises,
    ]);
    expect(checkMmio(got, truth)).toBeGreaterThan(6000);
    // Which kick started a request is only known with the kick's content.
    if (options.ioreqFetch === true) expect(checkRequests(got, truth)).toBeGreaterThan(200);
    if (options.patched === true) expect(checkInterrupts(got, truth)).toBeGreaterThan(150);
    const kicks = inKernel(got);
    expect(kicks.length).toBe(truth.counts.ioeventfds);
    for (const { at, key, dir, total } of kicks) {
      expect([at['dm_read'], at['service'], key, dir]).toEqual([NaN, NaN, 0x50, 0]);
      expect(at['dom0_irq']! < at['answer']!).toBe(true);
      expect(Number.isNaN(total)).toBe(Number.isNaN(options.patched === true ? at['resume'] : at['offline']));
    }
    // A handler run that the device model's own dm_op started (pended again by ACK) is no irqfd's.
    const runs = got.spans.filter((s) => s.family === 'interrupt');
    const byKernel = runs.filter((s) => (s.flags & SPAN_FLAG.KERNEL) !== 0).length;
    expect(byKernel).toBeGreaterThan(0.5 * runs.length);
    expect(byKernel).toBeLessThanOrEqual(truth.counts.irqfds);
  });

  it('are counted without their content, which nothing else shows', async () => {
    const { truth, got } = await run({ seed: 55, ioreqs: 800, kernelKicks: true });
    const kicks = inKernel(got);
    expect(kicks.length).toBe(truth.counts.ioeventfds);
    expect(kicks.every((s) => s.key === NO_KEY && !Number.isNaN(s.at['answer']!))).toBe(true);
    expect(got.report.counts.unknown_content).toBe(truth.counts.ioeventfds);
    expect(got.report.counts.notifies).toBe(0);
    expect(got.report.counts.ioreqs).toBe(truth.counts.ioreqs);
  });
});

describe('contents from a log without times', () => {
  it('are joined by order, where the counts are equal', async () => {
    const { truth, got } = await run({ seed: 14, ioreqs: 800, markers: false, vcpus: 3 });
    checkCounts(got, truth);
    expect(checkMmio(got, truth)).toBeGreaterThan(3000);
  });

  it('are not used where they are not equal', async () => {
    const { truth, got } = await run({
      seed: 15,
      ioreqs: 800,
      markers: false,
      ftraceLoss: [0, 1].map((cpu) => ({ cpu, atIoreq: 300, records: 1000 })),
    });
    expect(got.report.counts.sources_agree).toBe(false);
    // The log's own counts stand; but no span is given a register that may be another's.
    expect(got.report.counts.reads).toBe(truth.counts.reads);
    expect(got.spans.filter((s) => s.family === 'mmio').every((s) => s.key === NO_KEY)).toBe(true);
  });
});

describe("the time of a device model's log", () => {
  const TIMED: ScenarioOptions = { markers: false, qemuLog: 'timestamped', ioreqs: 800 };

  it.each<ScenarioOptions>([
    { seed: 41 },
    { seed: 42, patched: true, vcpus: 4, logDriftPpm: 300 },
    { seed: 43, vcpus: 3, hogs: 2, dom0Clock: 'mono', driftPpm: -120, counterHz: 24_000_000 },
    { seed: 44, patched: true, ioreqFetch: true, logDriftPpm: -450 },
  ])('gives the service stage within its error: %j', async (options) => {
    const { truth, got } = await run({ ...TIMED, ...options });
    checkCounts(got, truth);
    checkClock(got, truth);
    checkStageSums(got);
    expect(checkMmio(got, truth)).toBeGreaterThan(4000);
    const { plan } = got.report.mmio;
    expect(plan!.boundaries.find((b) => b.name === 'service')?.clock).toBe('dm');
    const beside = plan!.stages.filter((s) => s.from === 'service' || s.to === 'service');
    expect(beside.map((s) => [s.name, s.crossesClocks])).toEqual([
      ['dm_read→service', true],
      ['service→answer', true],
    ]);
    for (const { at, flags } of got.spans.filter((s) => s.family === 'mmio')) {
      if ((flags & SPAN_FLAG.ONE_SIDED) !== 0) continue;
      expect(at['service']).toBeGreaterThanOrEqual(at['dm_read']!);
      expect(at['service']).toBeLessThanOrEqual(at['answer']!);
    }
    expect(got.report.clock.log_max_error_ns).toBeLessThan(8000);
    expect(got.report.clock.log_error_ns).toBeLessThan(4000);
    expect(got.manifest.logClock!.pairs).toBe(truth.counts.ioreqs);
  });

  it('is left out where the clock was set, and that is said', async () => {
    const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-scenario-'));
    try {
      const truth = generateScenario({ ...TIMED, seed: 45 }, work);
      const path = join(work, 'qemu-trace.log');
      const lines = readFileSync(path, 'latin1').split('\n');
      const later = (_: string, seconds: string): string => `@${Number(seconds) + 5}.`;
      const set = lines.map((line, n) => (n < lines.length / 2 ? line : line.replace(/@(\d+)\./, later)));
      writeFileSync(path, set.join('\n'));
      const got = await importAndAnalyze([work]);
      expect(got.manifest.logClock).toBeUndefined();
      expect(got.report.warnings.join('\n')).toMatch(/log has no place on Dom0's clock: .*its clock was set/);
      expect(got.report.clock.log_offset_ns).toBeNull();
      expect(got.report.mmio.plan!.boundaries.map((b) => b.name)).not.toContain('service');
      checkCounts(got, truth);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  });

  it("is not needed where Dom0's own trace has the device model's events", async () => {
    const { truth, got } = await run({ ...TIMED, seed: 46, markers: true });
    const { got: plain } = await run({ ...TIMED, seed: 46, markers: true, qemuLog: 'plain' });
    expect(got.manifest.logClock).toBeUndefined();
    expect(got.report.warnings).toEqual(plain.report.warnings);
    expect(got.spans).toEqual(plain.spans);
    expect(got.report.clock).toEqual(plain.report.clock);
    checkCounts(got, truth);
  });
});

describe('a hypervisor that was recorded for a part of the time', () => {
  it.each([
    [16, 0.5, false],
    [17, 0.13, false],
    [18, 0.31, true],
    [19, 0.77, true],
  ])(
    'is no proof of ioreqs that were answered early (seed %i, first %d left out, patched %s)',
    async (seed, part, patched) => {
      const { got } = await run({ seed, ioreqs: 1000, patched, windowBytes: 2048 }, (dir) => {
        cutXentrace(dir, part, 1);
      });
      const { counts, warnings } = got.report;
      const hypervisor = counts.by_source.filter((s) => s.what.startsWith('hypervisor'));
      for (const { ioreqs } of hypervisor) expect(ioreqs).toBeLessThan(950);
      expect(counts.sources_agree, JSON.stringify(counts)).toBe(true);
      const most = Math.max(...hypervisor.map((s) => s.ioreqs));
      expect(counts.at_edges).toBeGreaterThanOrEqual(1000 - most);
      expect(counts.at_edges).toBeLessThanOrEqual(1000 - most + 8);
      expect(warnings.filter((w) => w.includes('descheduled'))).toEqual([]);
      expect(warnings.filter((w) => w.includes('were on: they are not timed')).length).toBe(1);
      expect(warnings.filter((w) => w.includes('InterruptStatus'))).toEqual([]);
    },
  );

  it.each([0.2, 0.6, 0.9])('and one that ended after %d of it', async (part) => {
    for (const patched of [false, true]) {
      const { got } = await run({ seed: 20, ioreqs: 1000, patched, windowBytes: 2048 }, (dir) => {
        cutXentrace(dir, 0, part);
      });
      expect(got.report.counts.sources_agree, JSON.stringify(got.report.counts)).toBe(true);
      expect(got.report.counts.at_edges).toBeGreaterThan(50);
    }
  });
});

/** Keeps the windows between two parts of a directory's xentrace.bin. */
function cutXentrace(dir: string, from: number, to: number): void {
  const path = join(dir, 'xentrace.bin');
  const bytes = readFileSync(path);
  // All CPUs' rings are read one after the other: a cut lies before the first of them.
  const windowAt = (part: number): number => {
    let at = 0;
    while (at < bytes.length && (at < bytes.length * part || bytes.readUInt32LE(at + 4) !== 0))
      at += 12 + bytes.readUInt32LE(at + 8);
    return at;
  };
  writeFileSync(path, bytes.subarray(windowAt(from), windowAt(to)));
}

describe('loss', () => {
  it('flags every span that it may have touched, and counts what is left exactly', async () => {
    const { truth, got } = await run({
      seed: 21,
      patched: true,
      ioreqs: 1500,
      xenLoss: [
        { cpu: 0, atIoreq: 400, records: 300 },
        { cpu: 1, atIoreq: 900, records: 50 },
      ],
      ftraceLoss: [
        { cpu: 0, atIoreq: 700, records: 200 },
        { cpu: 1, atIoreq: 1200, records: 100, counted: false },
      ],
    });
    expect(got.report.counts.lost).toBe(551);
    const plan = got.report.mmio.plan!;
    const flagged = got.spans.filter((s) => s.family === 'mmio' && (s.flags & SPAN_FLAG.LOSS) !== 0).length;
    expect(flagged).toBeGreaterThan(5);
    let compared = 0;
    for (const span of got.spans) {
      if (span.family !== 'mmio' || (span.flags & (SPAN_FLAG.LOSS | SPAN_FLAG.ONE_SIDED)) !== 0) continue;
      // Found by time: the counts differ, so the n-th span need not be the n-th ioreq.
      const begin = span.at['trap']!;
      const same = truth.ioreqs.filter(
        (t) => t.vcpu === span.vcpu && t.register === span.key && t.device === span.device,
      );
      const total = (t: TruthIoreq): number => t.resume - t.trap;
      if (!Number.isNaN(begin)) {
        expect(
          same.some((t) => Math.abs(total(t) - span.total) <= 2 * (1e9 / truth.clock.counterHz) + 2),
        ).toBe(true);
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(1000);
    expect(plan.boundaries.length).toBeGreaterThan(8);
  });
});
