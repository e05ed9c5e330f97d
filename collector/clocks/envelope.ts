import type { Possible } from './feasible.ts';

/**
 * What is possible of the offset when the rate may change at any time within limits, as that of a slewed clock
 * does: a band around each instant, as narrow as the bounds near it allow. A bound at one instant holds at
 * another with the drift that the limits allow in between.
 *
 * The band is held at CELLS + 1 evenly spaced places over u in [-REACH, REACH]; a new bound spreads from its
 * place to both sides for as long as it improves what is known there.
 */
export class Envelope implements Possible {
  empty = false;
  private readonly lows = new Float64Array(CELLS + 1).fill(-Infinity);
  private readonly highs = new Float64Array(CELLS + 1).fill(Infinity);
  private readonly slowest: number;
  private readonly fastest: number;

  /** `drift`: limits of the drift, ns over one unit of u. */
  constructor(drift: readonly [number, number]) {
    [this.slowest, this.fastest] = drift;
  }

  low(u: number): number {
    const left = cellOf(u);
    return Math.max(
      this.lows[left]! + this.leastDrift(u - placeOf(left)),
      this.lows[left + 1]! + this.leastDrift(u - placeOf(left + 1)),
    );
  }

  high(u: number): number {
    const left = cellOf(u);
    return Math.min(
      this.highs[left]! + this.mostDrift(u - placeOf(left)),
      this.highs[left + 1]! + this.mostDrift(u - placeOf(left + 1)),
    );
  }

  atLeast(u: number, bound: number): boolean {
    if (this.empty || bound <= this.low(u) + MIN_CUT_NS) return false;
    if (bound > this.high(u)) this.empty = true;
    const { lows } = this;
    const left = cellOf(u);
    const [back, on] = [this.leastDrift(-STEP), this.leastDrift(STEP)];
    let value = bound + this.leastDrift(placeOf(left) - u);
    for (let i = left; i >= 0 && value > lows[i]!; i--, value += back) lows[i] = value;
    value = bound + this.leastDrift(placeOf(left + 1) - u);
    for (let i = left + 1; i <= CELLS && value > lows[i]!; i++, value += on) lows[i] = value;
    return true;
  }

  atMost(u: number, bound: number): boolean {
    if (this.empty || bound >= this.high(u) - MIN_CUT_NS) return false;
    if (bound < this.low(u)) this.empty = true;
    const { highs } = this;
    const left = cellOf(u);
    const [back, on] = [this.mostDrift(-STEP), this.mostDrift(STEP)];
    let value = bound + this.mostDrift(placeOf(left) - u);
    for (let i = left; i >= 0 && value < highs[i]!; i--, value += back) highs[i] = value;
    value = bound + this.mostDrift(placeOf(left + 1) - u);
    for (let i = left + 1; i <= CELLS && value < highs[i]!; i++, value += on) highs[i] = value;
    return true;
  }

  farthest(u0: number, offset0: number, u1: number, offset1: number): number {
    let distance = 0;
    const slope = (offset1 - offset0) / (u1 - u0);
    const look = (u: number): void => {
      const line = offset0 + slope * (u - u0);
      distance = Math.max(distance, this.high(u) - line, line - this.low(u));
    };
    look(u0);
    look(u1);
    for (let i = cellOf(u0) + 1; i <= cellOf(u1); i++) look(placeOf(i));
    // Between two places the band can bulge by the drift over half a cell.
    return distance + ((this.fastest - this.slowest) * STEP) / 2;
  }

  /** Least, and most, that the offset can grow by in a time `du`, which may be negative. */
  private leastDrift(du: number): number {
    return (du >= 0 ? this.slowest : this.fastest) * du;
  }

  private mostDrift(du: number): number {
    return (du >= 0 ? this.fastest : this.slowest) * du;
  }
}

function cellOf(u: number): number {
  return Math.min(CELLS - 1, Math.max(0, Math.floor((u + REACH) * PER_UNIT)));
}

function placeOf(cell: number): number {
  return cell / PER_UNIT - REACH;
}

const PER_UNIT = 16_384;
const STEP = 1 / PER_UNIT;
/** Times beyond a trace length to either side are held at the last place, which only makes the band wider. */
const REACH = 3;
const CELLS = PER_UNIT * 2 * REACH;
const MIN_CUT_NS = 0.25;
