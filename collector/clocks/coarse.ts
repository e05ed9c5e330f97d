import type { Instants } from './survey.ts';

/** A first guess: at Dom0 time `at` the offset lies in [low, high], if the guess is right. All ns. */
export interface CoarseGuess {
  readonly at: number;
  readonly low: number;
  readonly high: number;
  /** Places of the trace that agree on it, of all that were looked at. */
  readonly votes: number;
  readonly of: number;
}

/** A run of Dom0's instants from `start` on fits Xen's from `partner` on. */
interface Fit {
  start: number;
  partner: number;
  spread: number;
}

interface Bracket {
  start: number;
  at: number;
  low: number;
  high: number;
}

/**
 * Finds which of Xen's instants belongs to which of Dom0's without knowing anything of the clocks: the gaps
 * between consecutive I/Os are a fingerprint. A run of consecutive Dom0 instants is slid along Xen's list; where
 * it belongs all differences are alike but for the latency. Several places are tried and vote, so a capture
 * that starts or ends earlier on one side, or that lost records here and there, only loses votes.
 *
 * `rate` limits how far two places may disagree by drift (relative).
 */
export function coarseGuesses(xen: Instants, dom0: Instants, answers: boolean, rate: number): CoarseGuess[] {
  const fewer = Math.min(dom0.count, xen.count);
  if (fewer < MIN_RUN) return [];
  // A third at most, so that some runs lie wholly inside what both sides recorded.
  const length = Math.min(MAX_RUN, Math.max(MIN_RUN, Math.floor(fewer / 3)));
  const places = Math.min(PLACES, dom0.count - length + 1);
  const brackets: Bracket[] = [];
  for (let p = 0; p < places; p++) {
    const start = places === 1 ? 0 : Math.floor((p * (dom0.count - length)) / (places - 1));
    for (const fit of bestFits(xen, dom0, start, length)) {
      const bracket = bracketOf(xen, dom0, fit, length, answers, rate);
      if (bracket !== undefined) brackets.push(bracket);
    }
  }
  const agree = (a: Bracket, b: Bracket): boolean => {
    const drift = rate * Math.abs(a.at - b.at);
    return a.low <= b.high + drift && b.low <= a.high + drift;
  };
  const ranked = brackets.map((bracket) => {
    const supporters = new Set(brackets.filter((other) => agree(bracket, other)).map((other) => other.start));
    return { bracket, votes: supporters.size };
  });
  ranked.sort(
    (a, b) => b.votes - a.votes || a.bracket.high - a.bracket.low - (b.bracket.high - b.bracket.low),
  );
  const chosen: Bracket[] = [];
  const guesses: CoarseGuess[] = [];
  for (const { bracket, votes } of ranked) {
    if (guesses.length >= MAX_GUESSES) break;
    if (chosen.some((known) => agree(known, bracket))) continue;
    chosen.push(bracket);
    guesses.push({ at: bracket.at, low: bracket.low, high: bracket.high, votes, of: places });
  }
  return guesses;
}

/** The two places of Xen's list where the run beginning at `start` fits best. */
function bestFits(xen: Instants, dom0: Instants, start: number, length: number): Fit[] {
  const a = xen.at;
  const b = dom0.at;
  const best: Fit[] = [];
  let limit = Infinity;
  for (let i = 0; i + length <= xen.count; i++) {
    let least = a[i]! - b[start]!;
    let most = least;
    let m = 1;
    for (; m < length; m++) {
      const d = a[i + m]! - b[start + m]!;
      if (d < least) least = d;
      else if (d > most) most = d;
      if (most - least >= limit) break;
    }
    if (m < length) continue;
    best.push({ start, partner: i, spread: most - least });
    best.sort((x, y) => x.spread - y.spread);
    if (best.length > 2) best.pop();
    if (best.length === 2) limit = best[1]!.spread;
  }
  return best;
}

/**
 * What a fit says of the offset. An answer's WAKE lies within the ioctl that causes it, so a true pair puts the
 * offset between (wake - return) and (wake - entry). An event-channel interrupt lies somewhere near the time
 * that the vCPU waits. With several vCPUs neighbours may have changed places, so up to a quarter of the pairs
 * may be wrong: what at least the other three quarters allow is kept (Marzullo's algorithm). undefined if
 * there is nothing that so many allow.
 */
function bracketOf(
  xen: Instants,
  dom0: Instants,
  { start, partner, spread }: Fit,
  length: number,
  answers: boolean,
  rate: number,
): Bracket | undefined {
  const at = dom0.at[start + (length >> 1)]!;
  const lows = new Float64Array(length);
  const highs = new Float64Array(length);
  for (let m = 0; m < length; m++) {
    const d = xen.at[partner + m]! - dom0.at[start + m]!;
    const ends = answers ? dom0 : xen;
    const first = (answers ? start : partner) + m;
    const lasts = ends.until[first]! - ends.at[first]!;
    const long = Number.isNaN(lasts) ? spread : lasts;
    const drift = rate * Math.abs(dom0.at[start + m]! - at);
    lows[m] = d - long - drift;
    highs[m] = (answers ? d : d + long) + drift;
  }
  lows.sort();
  highs.sort();
  const wrong = Math.floor(length / 4);
  const low = lows[length - 1 - wrong]!;
  const high = highs[wrong]!;
  if (low > high) return undefined;
  // Half as much again, for what the model of a pair leaves out.
  const margin = (high - low) / 2 + 1;
  return { start, at, low: low - margin, high: high + margin };
}

const MAX_RUN = 24;
const MIN_RUN = 5;
const PLACES = 32;
const MAX_GUESSES = 4;
