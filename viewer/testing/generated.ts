import { PREEMPTED, SpanBatch, StageLengths, type SpanFamily, type SpanPlan } from '../../trace/spans.ts';
import type { PageDistribution, PageReport } from '../../analyzer/page/page-format.ts';

/** Spans with the shape of a real capture, the same at every run: bimodal, with rare slow ones and bursts. */

export const DEVICES = [
  { name: 'blk0', kind: 'blk', base: 0x02000000, spi: 33 },
  { name: 'net0', kind: 'net', base: 0x02000200, spi: 34 },
  { name: 'console0', kind: 'console', base: 0x02000400, spi: 35 },
  { name: 'blk1', kind: 'blk', base: 0x02000600, spi: 36 },
];

const boundary = (
  name: string,
  clock: 'xen' | 'dom0' | 'dm',
  late = false,
): SpanPlan['boundaries'][number] => ({
  name,
  clock,
  bound: late ? 'no-later-than' : 'exact',
});

function plan(
  family: SpanFamily,
  boundaries: SpanPlan['boundaries'],
  titles: readonly string[],
  totalTo = boundaries.length - 1,
  preempted: readonly string[] = [],
): SpanPlan {
  const title = `${titles[0]!} → ${titles[totalTo]!}`;
  const stages = titles.slice(0, -1).map((what, i): SpanPlan['stages'][number] => {
    const from = boundaries[i]!;
    const to = boundaries[i + 1]!;
    return {
      name: `${from.name}→${to.name}`,
      title: `${what} → ${titles[i + 1]!}`,
      from: from.name,
      to: to.name,
      crossesClocks: from.clock !== to.clock,
      bound: to.bound === 'exact' ? from.bound : to.bound,
      inTotal: i < totalTo,
      preempted: preempted.indexOf(from.name),
    };
  });
  if (preempted.length > 0) {
    const ends = { from: boundaries[0]!.name, to: boundaries[totalTo]!.name };
    const more = { crossesClocks: false, bound: 'exact', inTotal: true, preempted: -1 } as const;
    stages.push({ name: PREEMPTED, title: 'vCPU preempted (in no other stage)', ...ends, ...more });
  }
  return { family, title, totalFrom: 0, totalTo, boundaries, stages, preempted };
}

export const PLANS: Record<SpanFamily, SpanPlan> = {
  mmio: plan(
    'mmio',
    [
      boundary('trap', 'xen'),
      boundary('send', 'xen'),
      boundary('dom0_irq', 'dom0'),
      boundary('dm_read', 'dom0'),
      boundary('answer', 'dom0'),
      boundary('wake', 'xen'),
      boundary('running', 'xen'),
    ],
    [
      'vCPU traps',
      'ioreq ready, event sent',
      'Dom0 interrupt',
      'device model wakes',
      'answer',
      'vCPU runnable',
      'vCPU runs',
    ],
  ),
  interrupt: plan(
    'interrupt',
    [
      boundary('raise', 'dom0'),
      boundary('inject', 'xen'),
      boundary('lr', 'xen'),
      boundary('status_read', 'xen'),
      boundary('ack', 'xen'),
    ],
    [
      'device model raises the line',
      'vGIC injects',
      'list register filled',
      'guest reads InterruptStatus',
      'guest writes InterruptACK',
    ],
    3,
    ['lr'],
  ),
  injection: plan(
    'injection',
    [
      boundary('inject', 'xen'),
      boundary('lr', 'xen'),
      boundary('active', 'xen', true),
      boundary('retired', 'xen', true),
    ],
    ['vGIC injects', 'list register filled', 'seen active', 'retired'],
    1,
  ),
  request: plan(
    'request',
    [
      boundary('notify', 'dom0'),
      boundary('popped', 'dom0'),
      boundary('used', 'dom0'),
      boundary('interrupt', 'dom0'),
    ],
    ['guest notifies the queue', 'popped', 'used', 'interrupt raised'],
  ),
};

const REGISTERS = [0x050, 0x050, 0x050, 0x050, 0x060, 0x064, 0x070, 0x100];

export function randomOf(seed: number): () => number {
  let s = seed | 1;
  return () => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return (s >>> 0) / 4_294_967_296;
  };
}

/** Spans of one family over `seconds`, in batches. */
export function* generateSpans(
  family: SpanFamily,
  count: number,
  seconds = 12,
  seed = 7,
): Generator<SpanBatch> {
  const random = randomOf(seed + count);
  const normal = (): number => (random() + random() + random() + random() - 2) * 1.2;
  const { boundaries, totalTo, preempted } = PLANS[family];
  const stages = boundaries.length - 1;
  const typical = { mmio: 6_000, interrupt: 9_000, injection: 1_500, request: 60_000 }[family];
  const share = Array.from({ length: stages }, (_, s) => [0.6, 1.4, 2.2, 3, 1, 1.8][s % 6]!);
  let batch = new SpanBatch(boundaries.length, undefined, preempted.length);
  for (let i = 0; i < count; i++) {
    const phase = i / count;
    const d = random() < 0.55 ? 0 : random() < 0.6 ? 1 : random() < 0.6 ? 3 : 2;
    const key = REGISTERS[(random() * REGISTERS.length) | 0]!;
    const spike = random() < 0.0007 ? 60 + random() * 200 : 1;
    const burst = phase > 0.42 && phase < 0.5 ? 3.5 : 1;
    const k = batch.length++;
    let at = phase * seconds * 1e9 + random() * 2000;
    batch.start[k] = at;
    batch.device[k] = d;
    batch.key[k] = family === 'mmio' ? key : family !== 'request' ? 33 + d : d === 1 ? i & 1 : 0;
    batch.vcpu[k] = i & 1;
    batch.dir[k] =
      family === 'mmio' ? (key === 0x060 || key === 0x100 ? 1 : 0) : family !== 'request' ? 255 : i & 1;
    batch.amount[k] = family === 'mmio' ? 4 : family !== 'request' ? 1 : 4096;
    batch.value[k] = i;
    batch.group[k] = i;
    batch.at[0]![k] = at;
    const slowPath = key === 0x050 || family !== 'mmio';
    for (let s = 0; s < stages; s++) {
      let ns = typical * share[s]! * 2 ** normal();
      if (slowPath && s === 3 % stages) ns *= d === 0 ? 5 : 3;
      if (s === 2 % stages) ns *= spike;
      if (s >= stages - 1) ns *= burst;
      at += Math.round(ns / 16) * 16;
      batch.at[s + 1]![k] = at;
    }
    batch.total[k] = batch.at[totalTo]![k]! - batch.start[k];
    for (const column of batch.preempted) column[k] = i % 13 === 0 ? 160 : 0;
    if (i % 997 === 5) batch.flags[k] = 2;
    if (i % 1499 === 9 && totalTo > 2) {
      batch.at[1]![k] = NaN;
      batch.flags[k] = 1;
    }
    if (batch.full) {
      yield batch;
      batch = new SpanBatch(boundaries.length, undefined, preempted.length);
    }
  }
  if (batch.length > 0) yield batch;
}

/** The report of such spans, by sorting: what `trace analyze --json` would say. */
export function reportOf(families: Partial<Record<SpanFamily, SpanBatch[]>>, seconds = 12): PageReport {
  const of = (family: SpanFamily): NonNullable<PageReport['mmio']> => {
    const batches = families[family] ?? [];
    const usable = (b: SpanBatch, i: number): boolean => (b.flags[i]! & 2) === 0;
    const values = (f: (b: SpanBatch, i: number) => number): Float64Array =>
      Float64Array.from(
        batches.flatMap((b) =>
          Array.from({ length: b.length }, (_, i) => (usable(b, i) ? f(b, i) : NaN)).filter(
            (v) => !Number.isNaN(v),
          ),
        ),
      ).sort();
    const lengths = new StageLengths(PLANS[family]);
    const complete = (b: SpanBatch, i: number): boolean =>
      b.at.slice(0, PLANS[family].totalTo + 1).every((c) => !Number.isNaN(c[i]!));
    const lost = batches.reduce(
      (n, b) => n + b.flags.subarray(0, b.length).filter((f) => (f & 2) !== 0).length,
      0,
    );
    return {
      total: figures(values((b, i) => b.total[i]!)),
      stages: PLANS[family].stages.map((s, k) => ({
        name: s.name,
        title: s.title,
        from: s.from,
        to: s.to,
        crosses_clocks: s.crossesClocks,
        bound: s.bound,
        ...figures(values((b, i) => (s.inTotal && !complete(b, i) ? NaN : lengths.ns(b, k, i)))),
      })),
      left_out: lost > 0 ? [{ why: 'records were lost while it was open', count: lost }] : [],
    };
  };
  const rows = (f: SpanFamily): number => (families[f] ?? []).reduce((n, b) => n + b.length, 0);
  return {
    trace: {
      path: 'P3.trace',
      domid: 1,
      duration_ns: seconds * 1e9,
      host: {
        xenVersion: '4.20.4-pre',
        linuxVersion: '6.12.107',
        machine: 'linux,dummy-virt',
        counterHz: 62_500_000,
      },
    },
    counts: {
      ioreqs: rows('mmio'),
      reads: Math.round(rows('mmio') / 4),
      writes: Math.round((rows('mmio') * 3) / 4),
      interrupts: rows('interrupt'),
      notifies: rows('request'),
      lost: 0,
    },
    clock: { offset_ns: 271_280_336, error_ns: 5_376 },
    devices: DEVICES,
    mmio: of('mmio'),
    interrupts: { ...of('interrupt'), injection: families.injection === undefined ? null : of('injection') },
    requests: of('request'),
    warnings: [],
  };
}

function figures(sorted: Float64Array): PageDistribution {
  const n = sorted.length;
  if (n === 0) return { count: 0 };
  const q = (p: number): number => sorted[Math.max(1, Math.ceil(p * n - 1e-9)) - 1]!;
  return {
    count: n,
    mean_ns: sorted.reduce((a, b) => a + b, 0) / n,
    p50_ns: q(0.5),
    p90_ns: q(0.9),
    p99_ns: q(0.99),
    p999_ns: q(0.999),
    max_ns: q(1),
  };
}
