/**
 * Where a sequence of samples changes its level: Pettitt's statistic (A. N. Pettitt, "A non-parametric approach to
 * the change-point problem", Applied Statistics 28, 1979), which is Mann and Whitney's U between what lies before and
 * behind a place, at the place where it is largest. Ranks alone count: one slow recording is no change.
 *
 * Its significance comes from shuffles (p = (b + 1) / (m + 1); Phipson and Smyth 2010), not from the approximation for
 * long sequences; the shuffles are the same every time. Found changes cut the sequence, and each part is searched
 * again (binary segmentation).
 */
export interface ChangePoint {
  /** First sample of the new level. */
  at: number;
  p: number;
  /** Medians of the parts before and behind it, up to the next changes. */
  before: number;
  after: number;
}

export const SIGNIFICANCE = 0.05;
const SHUFFLES = 1999;

/** `mayChange[i]`: a change may lie between samples i - 1 and i. NaN must not be in `values`. */
export function changePoints(values: readonly number[], mayChange: readonly boolean[]): ChangePoint[] {
  const found: { at: number; p: number }[] = [];
  const search = (from: number, to: number): void => {
    const change = strongest(values.slice(from, to), mayChange.slice(from, to));
    if (change === undefined) return;
    found.push({ at: from + change.at, p: change.p });
    search(from, from + change.at);
    search(from + change.at, to);
  };
  search(0, values.length);
  found.sort((a, b) => a.at - b.at);
  const edges = [0, ...found.map((c) => c.at), values.length];
  return found.map(({ at, p }, n) => ({
    at,
    p,
    before: median(values.slice(edges[n], at)),
    after: median(values.slice(at, edges[n + 2])),
  }));
}

function strongest(
  values: readonly number[],
  mayChange: readonly boolean[],
): { at: number; p: number } | undefined {
  const ranks = midRanks(values);
  const { at, size } = largest(ranks, mayChange);
  if (at < 0) return undefined;
  const next = shuffler(values.length);
  let asLarge = 0;
  for (let n = 0; n < SHUFFLES; n++) if (largest(next(ranks), mayChange).size >= size) asLarge++;
  const p = (asLarge + 1) / (SHUFFLES + 1);
  return p <= SIGNIFICANCE ? { at, p } : undefined;
}

/**
 * Pettitt's U at a place t is 2 * (sum of the first t ranks) - t * (n + 1). Of equal ones the first place.
 * at = -1 if there is no place.
 */
function largest(ranks: ArrayLike<number>, mayChange: readonly boolean[]): { at: number; size: number } {
  const n = ranks.length;
  let sum = 0;
  let at = -1;
  let size = -1;
  for (let t = 1; t < n; t++) {
    sum += ranks[t - 1]!;
    const u = Math.abs(2 * sum - t * (n + 1));
    if (mayChange[t] === true && u > size) {
      at = t;
      size = u;
    }
  }
  return { at, size };
}

function midRanks(values: readonly number[]): Float64Array {
  const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const ranks = new Float64Array(values.length);
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to < order.length && values[order[to]!] === values[order[from]!]) to++;
    for (let i = from; i < to; i++) ranks[order[i]!] = (from + 1 + to) / 2;
    from = to;
  }
  return ranks;
}

/** Fisher and Yates' shuffle over a generator (mulberry32) whose seed is the length. */
function shuffler(length: number): (ranks: Float64Array) => Float64Array {
  let state = 0x9e3779b9 ^ length;
  const random = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  return (ranks) => {
    const shuffled = ranks.slice();
    for (let i = length - 1; i > 0; i--) {
      const k = Math.floor(random() * (i + 1));
      const kept = shuffled[i]!;
      shuffled[i] = shuffled[k]!;
      shuffled[k] = kept;
    }
    return shuffled;
  };
}

/** NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  if (sorted.length === 0) return NaN;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
