import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SpanPlan } from '../../trace/spans.ts';
import { SPAN_FLAG, SpanBatch } from '../../trace/spans.ts';
import { fullInterruptPlan, interruptPlan, mmioPlan } from '../passes/plans.ts';
import { FamilyStats } from './family-stats.ts';
import { GroupedStats, MAX_GROUPS } from './grouped-stats.ts';
import { EXACT_LIMIT, Histogram, PERCENTILE_ERROR } from './histogram.ts';

const HOOKS = {
  tracePoints: true,
  runstates: true,
  evtchnIrq: true,
  evtchnRead: true,
  service: 'dom0',
  notify: true,
  raise: true,
  requests: true,
} as const;

/** With preemption and an aside, with preemption, with neither. */
const PLANS: readonly SpanPlan[] = [
  fullInterruptPlan(),
  mmioPlan(HOOKS)!,
  interruptPlan({ ...HOOKS, tracePoints: false }),
];

/** A batch of `rows` spans with what can be missing missing now and then. */
function randomBatch(plan: SpanPlan, rows: number, random: () => number): SpanBatch {
  const batch = new SpanBatch(plan.boundaries.length, Math.max(1, rows), plan.preempted.length);
  for (let i = 0; i < rows; i++) {
    let t = random() * 1e9;
    for (const column of batch.at) {
      t += Math.floor(random() ** 4 * 1e6);
      column[i] = random() < 0.02 ? NaN : t;
    }
    for (const column of batch.preempted) column[i] = random() < 0.8 ? 0 : Math.floor(random() * 500);
    batch.total[i] = batch.at[plan.totalTo]![i]! - batch.at[plan.totalFrom]![i]!;
    batch.flags[i] = [0, 0, 0, SPAN_FLAG.KERNEL, SPAN_FLAG.LOSS, SPAN_FLAG.ONE_SIDED][
      Math.floor(random() * 6)
    ]!;
    batch.amount[i] = Math.floor(random() * 4096);
    batch.length++;
  }
  return batch;
}

/** All that a FamilyStats tells, to the last bit. */
function figures(stats: FamilyStats): unknown {
  const all = [stats.total, stats.staged, stats.inKernel, stats.preempted, ...stats.stages];
  return { left: [...stats.leftOut], amount: stats.amount, all: all.map((h) => h.state()) };
}

describe('FamilyStats', () => {
  it.each(PLANS)(
    'counts whole batches as it counts rows ($family, $boundaries.length boundaries)',
    (plan) => {
      fc.assert(
        fc.property(
          fc.array(fc.integer({ min: 0, max: 9000 }), { maxLength: 4 }),
          fc.nat(),
          (sizes, seed) => {
            let x = seed;
            const random = (): number => (x = (Math.imul(x, 1664525) + 1013904223) >>> 0) / 2 ** 32;
            const [whole, single] = [new FamilyStats(plan), new FamilyStats(plan)];
            for (const rows of sizes) {
              const batch = randomBatch(plan, rows, random);
              whole.addAll(batch);
              for (let i = 0; i < batch.length; i++) single.add(batch, i);
            }
            expect(figures(whole)).toEqual(figures(single));
          },
        ),
        { numRuns: 12 },
      );
    },
  );
});

describe('GroupedStats', () => {
  it('counts a batch dealt to its groups as it counts each row in its own', () => {
    const plan = PLANS[0]!;
    let x = 5;
    const random = (): number => (x = (Math.imul(x, 1664525) + 1013904223) >>> 0) / 2 ** 32;
    const dealt = new GroupedStats(plan);
    const single = new Map<number, FamilyStats>();
    const keyOf = ({ amount }: SpanBatch, i: number): number => (amount[i]! % 11) - 2;
    for (const rows of [0, 5000, 1, 9000, 300]) {
      const batch = randomBatch(plan, rows, random);
      dealt.addAll(batch, keyOf);
      for (let i = 0; i < rows; i++) {
        const key = keyOf(batch, i);
        if (key < 0) continue;
        if (!single.has(key)) single.set(key, new FamilyStats(plan));
        single.get(key)!.add(batch, i);
      }
    }
    expect(single.size).toBe(9);
    expect([...dealt.groups].map(([key, stats]) => [key, figures(stats)])).toEqual(
      [...single].map(([key, stats]) => [key, figures(stats)]),
    );
    expect(dealt.cut).toBe(false);
  });

  it('makes no more than MAX_GROUPS groups, those that came first, and says so', () => {
    const plan = PLANS[0]!;
    const grouped = new GroupedStats(plan);
    const batch = randomBatch(plan, MAX_GROUPS + 10, () => 0.5);
    grouped.addAll(batch, (_batch, i) => i);
    expect([grouped.cut, grouped.groups.size, grouped.groups.has(MAX_GROUPS)]).toEqual([
      true,
      MAX_GROUPS,
      false,
    ]);
    const counted = [...grouped.groups.values()].map(
      ({ total, leftOut }) => total.count + leftOut.reduce((sum, n) => sum + n, 0),
    );
    expect(new Set(counted)).toEqual(new Set([1]));
  });
});

describe('percentiles', () => {
  it('have an error of at most 0.2 %, as the report states it', () => {
    expect(PERCENTILE_ERROR).toBeLessThanOrEqual(0.002);
  });

  it('are within it for any value that a bucket can hold, beside exact extremes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 1, max: 1e15, noNaN: true }), { minLength: 3, maxLength: 40 }),
        (values) => {
          const h = new Histogram();
          const copies = Math.ceil((EXACT_LIMIT + 1) / values.length);
          const all = Float64Array.from(
            { length: copies * values.length },
            (_, i) => values[i % values.length]!,
          );
          h.recordAll(all, all.length);
          const sorted = all.slice().sort();
          expect(h.exact).toBe(false);
          expect([h.count, h.min, h.max]).toEqual([all.length, sorted[0], sorted.at(-1)]);
          for (const q of [0.001, 0.1, 0.5, 0.9, 0.99, 0.999]) {
            const truth = sorted[Math.ceil(q * all.length - 1e-9) - 1]!;
            expect(Math.abs(h.quantile(q) - truth) / truth).toBeLessThanOrEqual(0.002);
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});
