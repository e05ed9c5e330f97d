/**
 * The most recent stretches of Xen's time in which something certainly was not so ("d0v1 was not running",
 * "the timer interrupt was in no list register of d0v0"), in order. Bounded: old ones are forgotten, and a
 * question about a forgotten time is answered with "not known".
 */
export class GapRing {
  /** The gap that the last successful `find` found. */
  foundFrom = NaN;
  foundTo = NaN;
  private readonly from = new Float64Array(RING);
  private readonly to = new Float64Array(RING);
  private total = 0;
  private openFrom = NaN;

  /** From here on it is not so. A gap that was open already had an end that was not recorded: it is dropped. */
  begin(at: number): void {
    this.openFrom = at;
  }

  /** The same, unless a gap is open. */
  beginUnlessOpen(at: number): void {
    if (Number.isNaN(this.openFrom)) this.openFrom = at;
  }

  /** From here on it is so again. */
  end(at: number): void {
    if (!Number.isNaN(this.openFrom)) {
      this.from[this.total & MASK] = this.openFrom;
      this.to[this.total & MASK] = at;
      this.total++;
    }
    this.openFrom = NaN;
  }

  /** What the state is since the last change is not known. */
  forget(): void {
    this.openFrom = NaN;
  }

  /**
   * Whether no gap that is known has anything in common with `from` to `to`, the usual case, told by a look at the
   * newest one: `find` finds nothing at either end then.
   */
  isClear(from: number, to: number): boolean {
    if (to > this.openFrom) return false;
    return this.total === 0 || from >= this.to[(this.total - 1) & MASK]!;
  }

  /**
   * Whether `at` lies strictly inside a gap; then foundFrom and foundTo tell which. `position`: how far Xen's
   * records have been read, which is the end, as far as known, of a gap that is still open.
   */
  find(at: number, position: number): boolean {
    if (at > this.openFrom) {
      this.foundFrom = this.openFrom;
      this.foundTo = position;
      return at < position;
    }
    const next = lowerBound(this.from, this.total, at);
    if (next === 0 || next === this.total - RING) return false;
    const slot = (next - 1) & MASK;
    this.foundFrom = this.from[slot]!;
    this.foundTo = this.to[slot]!;
    return at < this.foundTo;
  }
}

/** The most recent instants of one sort, in order. */
export class InstantRing {
  private readonly at = new Float64Array(RING);
  private total = 0;

  add(at: number): void {
    this.at[this.total & MASK] = at;
    this.total++;
  }

  /** Whether everything since `from` is still held. */
  reaches(from: number): boolean {
    return this.total <= RING || this.at[this.total & MASK]! < from;
  }

  /** The first instant at or after `from`; NaN if there is none. */
  firstFrom(from: number): number {
    const i = lowerBound(this.at, this.total, from);
    return i < this.total ? this.at[i & MASK]! : NaN;
  }

  /** The last instant at or before `to`; NaN if there is none. */
  lastTo(to: number): number {
    let i = lowerBound(this.at, this.total, to);
    if (i < this.total && this.at[i & MASK]! === to) return to;
    return --i >= Math.max(0, this.total - RING) ? this.at[i & MASK]! : NaN;
  }
}

/**
 * Running number of the first of a ring's ascending values that is at least `at`; `total` if there is none.
 * Looks from the newest backwards in growing steps, because most questions are about what has just been read.
 */
function lowerBound(ring: Float64Array, total: number, at: number): number {
  const oldest = Math.max(0, total - RING);
  let high = total;
  let low = oldest;
  for (let step = 1; high - step >= oldest; step *= 2) {
    if (ring[(high - step) & MASK]! < at) {
      low = high - step + 1;
      break;
    }
    high -= step;
  }
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ring[middle & MASK]! < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

const RING = 4096;
const MASK = RING - 1;
