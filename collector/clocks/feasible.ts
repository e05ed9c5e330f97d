/** What is still possible of the offset as bounds come in. Times are u, offsets ns (see Feasible). */
export interface Possible {
  /** The bounds contradict each other: nothing is possible. */
  readonly empty: boolean;
  /** Smallest and largest offset that is still possible at `u`. */
  low(u: number): number;
  high(u: number): number;
  /** The offset at `u` is at least, or at most, `bound`. True if that took something off. */
  atLeast(u: number, bound: number): boolean;
  atMost(u: number, bound: number): boolean;
  /** How far the offset can be from the straight line through two points, anywhere between these. */
  farthest(u0: number, offset0: number, u1: number, offset1: number): number;
}

/**
 * The set of (offset, drift) pairs that no bound has ruled out yet: a convex polygon, cut by one half-plane
 * a bound. This is the small linear programme of the clock fit kept in solved form: the smallest and largest
 * offset at any instant are the polygon's extreme points in that direction.
 *
 * Coordinates: `r` ns is the offset at a reference instant, `s` ns the drift over one unit of `u`, where u is
 * time from the reference measured in half trace lengths. So u runs over about [-1, 1] and r and s are of like
 * size, which keeps the arithmetic well conditioned. The offset at u is r + s*u.
 *
 * Leaving a cut out never makes the set wrong, only wider. That is what bounds memory: cuts that would take
 * less than MIN_CUT_NS off, or that would exceed MAX_VERTICES, are left out.
 */
export class Feasible implements Possible {
  empty = false;
  private n = 4;
  private r = new Float64Array(MAX_VERTICES + 2);
  private s = new Float64Array(MAX_VERTICES + 2);
  private nextR = new Float64Array(MAX_VERTICES + 2);
  private nextS = new Float64Array(MAX_VERTICES + 2);

  constructor(offset: readonly [number, number], drift: readonly [number, number]) {
    this.r.set([offset[0], offset[1], offset[1], offset[0]]);
    this.s.set([drift[0], drift[0], drift[1], drift[1]]);
  }

  low(u: number): number {
    let least = Infinity;
    for (let i = 0; i < this.n; i++) {
      const value = this.r[i]! + this.s[i]! * u;
      if (value < least) least = value;
    }
    return least;
  }

  high(u: number): number {
    let most = -Infinity;
    for (let i = 0; i < this.n; i++) {
      const value = this.r[i]! + this.s[i]! * u;
      if (value > most) most = value;
    }
    return most;
  }

  atLeast(u: number, bound: number): boolean {
    if (this.empty || bound <= this.low(u) + MIN_CUT_NS) return false;
    return this.cut(1, u, bound);
  }

  atMost(u: number, bound: number): boolean {
    if (this.empty || bound >= this.high(u) - MIN_CUT_NS) return false;
    return this.cut(-1, u, -bound);
  }

  /** Smallest and largest drift that is still possible, ns over one unit of u. */
  drift(): [number, number] {
    const part = this.s.subarray(0, this.n);
    return [Math.min(...part), Math.max(...part)];
  }

  get vertices(): number {
    return this.n;
  }

  /** high is convex and low concave in u, so the distance from a line is largest at an end. */
  farthest(u0: number, offset0: number, u1: number, offset1: number): number {
    return Math.max(
      this.high(u0) - offset0,
      offset0 - this.low(u0),
      this.high(u1) - offset1,
      offset1 - this.low(u1),
    );
  }

  /** Keeps what satisfies sign * (r + s*u) >= bound (one step of Sutherland and Hodgman's clipping). */
  private cut(sign: number, u: number, bound: number): boolean {
    let count = 0;
    let nearest = -Infinity;
    const { r, s, nextR, nextS, n } = this;
    for (let i = 0; i < n; i++) {
      const j = i + 1 === n ? 0 : i + 1;
      const here = sign * (r[i]! + s[i]! * u) - bound;
      const there = sign * (r[j]! + s[j]! * u) - bound;
      if (here > nearest) nearest = here;
      if (here >= 0) {
        nextR[count] = r[i]!;
        nextS[count++] = s[i]!;
      }
      if (here < 0 !== there < 0) {
        const part = here / (here - there);
        nextR[count] = r[i]! + part * (r[j]! - r[i]!);
        nextS[count++] = s[i]! + part * (s[j]! - s[i]!);
      }
    }
    if (count === 0) {
      // Beyond all that is left; by less than the least cut it may be rounding.
      this.empty = nearest < -MIN_CUT_NS;
      return this.empty;
    }
    if (count > MAX_VERTICES) return false;
    this.n = count;
    this.r = nextR;
    this.s = nextS;
    this.nextR = r;
    this.nextS = s;
    return true;
  }
}

const MIN_CUT_NS = 0.25;
const MAX_VERTICES = 64;
