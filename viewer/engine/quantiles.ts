import { binCount, binLow, binOf } from './bins.ts';

const SUB_BITS = 7;

/** Quantiles shown, as fractions; 1 is the maximum. */
export const LADDER = [0.5, 0.9, 0.99, 0.999, 0.9999, 1] as const;

export interface Distribution {
  /** Spans the rows stand for; rows and this differ in a sampled table only. */
  count: number;
  rows: number;
  mean: number;
  min: number;
  max: number;
  /** Value at every asked quantile, ns; NaN if there are no rows. */
  at: number[];
}

/**
 * Exact nearest-rank quantiles in two passes: a log-linear histogram finds the bin each rank lies in, then
 * only the values of those bins are sorted. `weights` is how many spans a row stands for, null = 1 each.
 */
export function distribution(
  values: Float64Array,
  rows: number,
  weights: Float32Array | null,
  quantiles: readonly number[],
  curve?: { x: number[]; y: number[] },
): Distribution {
  const result: Distribution = {
    count: 0,
    rows,
    mean: NaN,
    min: NaN,
    max: NaN,
    at: quantiles.map(() => NaN),
  };
  if (rows === 0) return result;
  const bins = new Float64Array(binCount(SUB_BITS));
  let count = 0;
  let sum = 0;
  let min = Infinity;
  let max = -Infinity;
  for (let i = 0; i < rows; i++) {
    const v = values[i]!;
    const w = weights === null ? 1 : weights[i]!;
    bins[binOf(v, SUB_BITS)]! += w;
    count += w;
    sum += v * w;
    if (v < min) min = v;
    if (v > max) max = v;
  }
  Object.assign(result, { count, mean: sum / count, min, max });
  const wanted = quantiles.map((q) => rankToBin(bins, q, count));
  const inner = new Set(wanted.filter((_, k) => quantiles[k]! < 1).map((w) => w.bin));
  const at =
    weights === null ? plainRanks(values, rows, bins, inner) : weightedRanks(values, rows, weights, inner);
  quantiles.forEach((q, k) => {
    const { bin, before } = wanted[k]!;
    result.at[k] = q >= 1 ? max : at(bin, rankOf(q, count) - before);
  });
  if (curve !== undefined) drawCurve(bins, count, max, curve);
  return result;
}

/** Nearest rank, 1 to n: the smallest value that at least a fraction q of all values do not exceed. */
const rankOf = (q: number, n: number): number => Math.max(1, Math.min(n, Math.ceil(q * n - 1e-9)));

function rankToBin(bins: Float64Array, q: number, count: number): { bin: number; before: number } {
  const rank = rankOf(q, count);
  let before = 0;
  for (let bin = 0; bin < bins.length; bin++) {
    const next = before + bins[bin]!;
    if (next >= rank - 1e-6 && next > before) return { bin, before };
    before = next;
  }
  return { bin: bins.length - 1, before };
}

/** Value of a rank inside one of the wanted bins. */
type RankInBin = (bin: number, rank: number) => number;

function plainRanks(
  values: Float64Array,
  rows: number,
  bins: Float64Array,
  wanted: ReadonlySet<number>,
): RankInBin {
  const place = new Int32Array(bins.length).fill(-1);
  const lists = [...wanted].map((bin, n) => {
    place[bin] = n;
    return new Float64Array(bins[bin]!);
  });
  const filled = new Uint32Array(lists.length);
  for (let i = 0; i < rows; i++) {
    const n = place[binOf(values[i]!, SUB_BITS)]!;
    if (n >= 0) lists[n]![filled[n]!++] = values[i]!;
  }
  for (const list of lists) list.sort();
  return (bin, rank) => lists[place[bin]!]?.[Math.max(1, Math.ceil(rank)) - 1] ?? NaN;
}

function weightedRanks(
  values: Float64Array,
  rows: number,
  weights: Float32Array,
  wanted: ReadonlySet<number>,
): RankInBin {
  const want = new Uint8Array(binCount(SUB_BITS));
  const lists = new Map<number, { v: number; w: number }[]>();
  for (const bin of wanted) {
    want[bin] = 1;
    lists.set(bin, []);
  }
  for (let i = 0; i < rows; i++) {
    const bin = binOf(values[i]!, SUB_BITS);
    if (want[bin] === 1) lists.get(bin)!.push({ v: values[i]!, w: weights[i]! });
  }
  for (const list of lists.values()) list.sort((a, b) => a.v - b.v);
  return (bin, rank) => {
    const list = lists.get(bin) ?? [];
    let seen = 0;
    for (const { v, w } of list) {
      seen += w;
      if (seen >= rank - 1e-6) return v;
    }
    return list.at(-1)?.v ?? NaN;
  };
}

/** Fraction not yet finished, as number of nines (0 = all, 1 = 90 %, 2 = 99 %), against latency in ns. */
function drawCurve(
  bins: Float64Array,
  count: number,
  max: number,
  curve: { x: number[]; y: number[] },
): void {
  let seen = 0;
  for (let bin = 0; bin < bins.length; bin++) {
    const here = bins[bin]!;
    if (here === 0) continue;
    curve.x.push(-Math.log10(1 - seen / count));
    curve.y.push(Math.max(1, Math.min(max, binLow(bin, SUB_BITS))));
    seen += here;
  }
  curve.x.push(Math.max(Math.log10(count), curve.x.at(-1) ?? 0));
  curve.y.push(Math.max(1, max));
}
