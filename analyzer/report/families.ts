import type { SpanPlan } from '../../trace/spans.ts';
import type { FamilyFigures } from '../stats/family-stats.ts';
import { LEFT_OUT } from '../stats/family-stats.ts';
import type { Histogram } from '../stats/histogram.ts';
import { quantileInterval } from '../stats/interval.ts';
import type { Distribution, FamilyReport, HistogramBucket, StageReport } from './document.ts';

export function distribution(h: Histogram): Distribution {
  return {
    count: h.count,
    mean_ns: number(h.mean),
    min_ns: h.count === 0 ? null : h.min,
    p50_ns: number(h.quantile(0.5)),
    p90_ns: number(h.quantile(0.9)),
    p99_ns: number(h.quantile(0.99)),
    p999_ns: number(h.quantile(0.999)),
    max_ns: h.count === 0 ? null : h.max,
    ...interval(h),
  };
}

type Interval = Required<Pick<Distribution, 'p50_lo_ns' | 'p50_hi_ns' | 'p99_lo_ns' | 'p99_hi_ns'>>;

function interval(h: Histogram): Interval {
  const at = (q: number): number | null => (Number.isNaN(q) ? null : number(h.quantile(q)));
  const [lo50, hi50] = quantileInterval(0.5, h.count);
  const [lo99, hi99] = quantileInterval(0.99, h.count);
  return { p50_lo_ns: at(lo50), p50_hi_ns: at(hi50), p99_lo_ns: at(lo99), p99_hi_ns: at(hi99) };
}

export const NO_DISTRIBUTION: Distribution = {
  count: 0,
  mean_ns: null,
  min_ns: null,
  p50_ns: null,
  p90_ns: null,
  p99_ns: null,
  p999_ns: null,
  max_ns: null,
};

export function familyReport(stats: FamilyFigures | undefined, plan: SpanPlan | undefined): FamilyReport {
  if (stats === undefined || plan === undefined) {
    return {
      title: 'not in this trace',
      total: NO_DISTRIBUTION,
      staged: NO_DISTRIBUTION,
      in_kernel: NO_DISTRIBUTION,
      preempted: null,
      stages: [],
      left_out: [],
      histogram: [],
      plan: null,
    };
  }
  return {
    title: plan.title,
    total: distribution(stats.total),
    staged: distribution(stats.staged),
    in_kernel: distribution(stats.inKernel),
    preempted: plan.preempted.length === 0 ? null : distribution(stats.preempted),
    stages: stageReports(stats),
    left_out: leftOut(stats),
    histogram: halfOctaves(stats.total),
    plan,
  };
}

export function stageReports(stats: FamilyFigures): StageReport[] {
  return stats.plan.stages.map((stage, k) => ({
    name: stage.name,
    title: stage.title,
    from: stage.from,
    to: stage.to,
    in_total: stage.inTotal,
    crosses_clocks: stage.crossesClocks,
    bound: stage.bound,
    share: stage.inTotal && stats.staged.sum > 0 ? stats.stages[k]!.sum / stats.staged.sum : null,
    ...distribution(stats.stages[k]!),
  }));
}

export function leftOut(stats: FamilyFigures): { why: string; count: number }[] {
  return LEFT_OUT.map((why, n) => ({ why, count: stats.leftOut[n]! })).filter((entry) => entry.count > 0);
}

function number(value: number): number | null {
  return Number.isNaN(value) ? null : value;
}

/** Buckets [2^(k/2), 2^((k+1)/2)) ns; below 1 ns one bucket down to the minimum. */
export function halfOctaves(h: Histogram): HistogramBucket[] {
  const counts = new Map<number, number>();
  h.forEach((low, high, count) => {
    const middle = (low + high) / 2;
    const k = middle < 1 ? -1 : Math.floor(2 * Math.log2(middle));
    counts.set(k, (counts.get(k) ?? 0) + count);
  });
  if (counts.size === 0) return [];
  const first = Math.min(...counts.keys());
  const last = Math.max(...counts.keys());
  const buckets: HistogramBucket[] = [];
  for (let k = first; k <= last; k++) {
    const from = k < 0 ? Math.min(0, h.min) : 2 ** (k / 2);
    buckets.push({ from_ns: from, to_ns: k < 0 ? 1 : 2 ** ((k + 1) / 2), count: counts.get(k) ?? 0 });
  }
  return buckets;
}
