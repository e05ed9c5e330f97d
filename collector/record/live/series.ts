/**
 * Durations in ns as counts in log-linear buckets of fixed memory: 128 to an octave from 1 ns to 2^47 ns (39 h), so
 * that a bucket's middle is within 2^-8 (0.4 %) of any value in it (Tene, HdrHistogram; the bucket's number is read
 * from the float64's exponent and mantissa). Percentiles are nearest-rank; count and maximum are exact.
 */
export const SERIES_ERROR = 1 / 256;

const SUB_BITS = 7;
const SUB = 1 << SUB_BITS;
const OCTAVES = 47;
/** Bucket 0: below 1 ns. */
const BUCKETS = 1 + OCTAVES * SUB;

const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);
/** Which word of a float64 holds sign, exponent and upper mantissa. */
const HIGH = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 1 : 0;

export interface SeriesSummary {
  readonly count: number;
  /** ns; NaN where count is 0. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** A distribution so far, and that of the window since `closeWindow` was last called. */
export class LatencySeries {
  private readonly window = new Counts();
  private readonly closed = new Counts();

  /** `ns` >= 0. */
  add(ns: number): void {
    this.window.add(ns);
  }

  /** The window's distribution; a new window begins. */
  closeWindow(): SeriesSummary {
    const summary = this.window.summary();
    this.closed.take(this.window);
    return summary;
  }

  /** All up to the last closeWindow. */
  total(): SeriesSummary {
    return this.closed.summary();
  }
}

class Counts {
  private readonly buckets = new Uint32Array(BUCKETS);
  private count = 0;
  private max = -Infinity;

  add(ns: number): void {
    float[0] = ns;
    const at = (words[HIGH]! >>> (20 - SUB_BITS)) - 1023 * SUB + 1;
    const bucket = at < 1 ? 0 : at >= BUCKETS ? BUCKETS - 1 : at;
    this.buckets[bucket]!++;
    this.count++;
    if (ns > this.max) this.max = ns;
  }

  /** Adds another's values to these and empties it. */
  take(other: Counts): void {
    if (other.count === 0) return;
    for (let b = 0; b < BUCKETS; b++) this.buckets[b]! += other.buckets[b]!;
    this.count += other.count;
    this.max = Math.max(this.max, other.max);
    other.buckets.fill(0);
    other.count = 0;
    other.max = -Infinity;
  }

  summary(): SeriesSummary {
    const { count } = this;
    if (count === 0) return { count, p50: NaN, p99: NaN, max: NaN };
    return { count, p50: this.quantile(0.5), p99: this.quantile(0.99), max: this.max };
  }

  private quantile(q: number): number {
    const rank = Math.max(1, Math.ceil(q * this.count - 1e-9));
    if (rank >= this.count) return this.max;
    let seen = 0;
    for (let b = 0; b < BUCKETS; b++) {
      seen += this.buckets[b]!;
      if (seen >= rank) return Math.min(this.max, middle(b));
    }
    return this.max;
  }
}

function middle(bucket: number): number {
  if (bucket === 0) return 0;
  const octave = (bucket - 1) >>> SUB_BITS;
  const sub = (bucket - 1) & (SUB - 1);
  return 2 ** octave * (1 + (sub + 0.5) / SUB);
}
