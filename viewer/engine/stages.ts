import { distribution, type Distribution } from './quantiles.ts';
import type { SpanTable } from './table.ts';

export interface StageFigures {
  distribution: Distribution;
  /** Rows of the selection without this stage (a boundary is missing), kept out of its figures. */
  missing: number;
}

/** How the spans near one quantile spent their time, on average. */
export interface StageSplit {
  label: string;
  /** undefined: of all, or of the slowest. */
  quantile: number | undefined;
  /** Rows looked at. */
  rows: number;
  mean: number;
  /** Mean per stage, ns, then what no stage explains. They add up to `mean`. */
  stages: number[];
}

export function stageFigures(
  table: SpanTable,
  rows: Uint32Array,
  weights: Float32Array | null,
): StageFigures[] {
  const values = new Float64Array(rows.length);
  const kept = weights === null ? null : new Float32Array(rows.length);
  const complete = completeRows(table, rows);
  return table.plan.stages.map((stage, s) => {
    let n = 0;
    for (let k = 0; k < rows.length; k++) {
      // As in the report: stages of the total only from spans that have all of them, so that they add up.
      if (stage.inTotal && complete[k] === 0) continue;
      const d = table.lengths.ns(table, s, rows[k]!);
      if (Number.isNaN(d)) continue;
      if (kept !== null) kept[n] = weights![k]!;
      values[n++] = d;
    }
    return { distribution: distribution(values, n, kept, [0.5, 0.9, 0.99]), missing: rows.length - n };
  });
}

/** 1 where every stage of the total is known. */
function completeRows(table: SpanTable, rows: Uint32Array): Uint8Array {
  const complete = new Uint8Array(rows.length).fill(1);
  table.plan.stages.forEach((stage, s) => {
    if (!stage.inTotal) return;
    for (let k = 0; k < rows.length; k++) {
      if (Number.isNaN(table.lengths.ns(table, s, rows[k]!))) complete[k] = 0;
    }
  });
  return complete;
}

/** Quantiles whose neighbourhood is averaged, as ranges of ranks. */
const NEIGHBOURHOODS: readonly { label: string; quantile?: number; lo: number; hi: number }[] = [
  { label: 'all', lo: 0, hi: 1 },
  { label: 'p50', quantile: 0.5, lo: 0.49, hi: 0.51 },
  { label: 'p90', quantile: 0.9, lo: 0.89, hi: 0.91 },
  { label: 'p99', quantile: 0.99, lo: 0.985, hi: 0.995 },
  { label: 'p99.9', quantile: 0.999, lo: 0.9985, hi: 0.9995 },
  { label: 'max', lo: 1, hi: 1 },
];

/**
 * Mean split of the spans whose total lies near a quantile. Quantiles of single stages do not add up to a
 * quantile of the total; these do, because they are means over the same spans.
 */
export function splitAt(
  table: SpanTable,
  rows: Uint32Array,
  totals: Float64Array,
  weights: Float32Array | null,
  all: Distribution,
): StageSplit[] {
  if (rows.length === 0) return [];
  const bounds = distribution(
    totals,
    rows.length,
    weights,
    NEIGHBOURHOODS.flatMap((n) => [n.lo, n.hi]),
  );
  return NEIGHBOURHOODS.map(({ label, quantile, lo }, k) => {
    const least = label === 'all' ? -Infinity : lo === 1 ? all.max : bounds.at[2 * k]!;
    const most = label === 'all' ? Infinity : lo === 1 ? all.max : bounds.at[2 * k + 1]!;
    return { label, quantile, ...meanSplit(table, rows, totals, weights, least, most) };
  });
}

function meanSplit(
  table: SpanTable,
  rows: Uint32Array,
  totals: Float64Array,
  weights: Float32Array | null,
  least: number,
  most: number,
): { rows: number; mean: number; stages: number[] } {
  const near = new Uint32Array(rows.length);
  let n = 0;
  for (let k = 0; k < rows.length; k++) if (totals[k]! >= least && totals[k]! <= most) near[n++] = k;
  const { stages } = table.plan;
  const sums = new Float64Array(stages.length + 1);
  const rest = new Float64Array(n);
  let weight = 0;
  let sum = 0;
  for (let j = 0; j < n; j++) {
    const w = weights === null ? 1 : weights[near[j]!]!;
    rest[j] = totals[near[j]!]!;
    weight += w;
    sum += rest[j]! * w;
  }
  for (let s = 0; s < stages.length; s++) {
    if (!stages[s]!.inTotal) continue;
    for (let j = 0; j < n; j++) {
      const d = table.lengths.ns(table, s, rows[near[j]!]!);
      if (Number.isNaN(d)) continue;
      sums[s]! += weights === null ? d : d * weights[near[j]!]!;
      rest[j]! -= d;
    }
  }
  for (let j = 0; j < n; j++) {
    // Sums of absolute times round in their last bits; what is below a nanosecond is that, not a gap.
    if (rest[j]! > 1) sums[stages.length]! += weights === null ? rest[j]! : rest[j]! * weights[near[j]!]!;
  }
  return { rows: n, mean: sum / weight, stages: [...sums].map((v) => v / weight) };
}
