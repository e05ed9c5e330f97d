/**
 * A distribution of durations in ns: exact up to EXACT_LIMIT values, then log-linear buckets.
 *
 * Buckets: 512 to an octave, so that a bucket's middle is within 2^-10 (0.1 %) of any value in it
 * (Tene, HdrHistogram; here the bucket index is read straight from the float64's exponent and mantissa).
 * Percentiles are nearest-rank. Count, mean, minimum and maximum are always exact. The answer does not depend
 * on the order of the values or on how they were batched.
 */
export const EXACT_LIMIT = 4096;
export const PERCENTILE_ERROR = 1 / 1024;

const SUB_BITS = 9;
const SUB = 1 << SUB_BITS;

/** Of the window: 1 ns to 16 ms, for example. What lies beyond has pages of its own. */
const MOST_OCTAVES = 24;
const NOTHING = new Uint32Array(0);

const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);
/** Which word of a float64 holds sign, exponent and upper mantissa. */
const HIGH = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 1 : 0;

/** All of a distribution as plain values: every value while there are few, else the buckets that hold something. */
export interface HistogramState {
  count: number;
  sum: number;
  min: number;
  max: number;
  values?: readonly number[];
  /** [bucket, count]: numbered as `restore` says. */
  buckets?: readonly (readonly [number, number])[];
}

export class Histogram {
  count = 0;
  sum = 0;
  min = Infinity;
  max = -Infinity;
  private exactValues: Float64Array | undefined = new Float64Array(64);
  /** Octave pages by exponent + 1 (0: |v| < 1), negative values mirrored in their own pages. */
  private readonly positive: (Uint32Array | undefined)[] = [];
  private readonly negative: (Uint32Array | undefined)[] = [];
  /** Pages of neighbouring octaves in one piece, where most values are; its first counter's `bits of a value >> 43`. */
  private window: Uint32Array | undefined;
  private windowFrom = 0;

  record(value: number): void {
    if (this.exactValues !== undefined) {
      if (this.count === EXACT_LIMIT) this.spill();
      else this.append(value);
    }
    this.count++;
    this.sum += value;
    if (value < this.min) this.min = value;
    if (value > this.max) this.max = value;
    if (this.exactValues === undefined) this.bucket(value);
  }

  /** The first `n` of `values`, in order. */
  recordAll(values: Float64Array, n: number): void {
    let i = 0;
    while (i < n && this.exactValues !== undefined) this.record(values[i++]!);
    if (i === n) return;
    let { sum, min, max } = this;
    this.count += n - i;
    const window = this.window ?? NOTHING;
    const { windowFrom } = this;
    // The bits are read where the values are: by way of `float` each would wait for a store.
    const bits = new Uint32Array(values.buffer, values.byteOffset, 2 * n);
    for (; i < n; i++) {
      const value = values[i]!;
      sum += value;
      if (value < min) min = value;
      if (value > max) max = value;
      // A negative value's sign is the highest bit: far beyond the window.
      const at = (bits[2 * i + HIGH]! >>> (20 - SUB_BITS)) - windowFrom;
      if (at >= 0 && at < window.length) window[at]!++;
      else this.bucket(value);
    }
    this.sum = sum;
    this.min = min;
    this.max = max;
  }

  get exact(): boolean {
    return this.exactValues !== undefined;
  }

  get mean(): number {
    return this.count === 0 ? NaN : this.sum / this.count;
  }

  /** Nearest-rank percentile, `q` in 0..1; NaN if empty. */
  quantile(q: number): number {
    if (this.count === 0) return NaN;
    const rank = Math.min(this.count, Math.max(1, Math.ceil(q * this.count - 1e-9)));
    if (this.exactValues !== undefined) {
      const sorted = this.exactValues.subarray(0, this.count).slice().sort();
      return sorted[rank - 1]!;
    }
    if (rank === this.count) return this.max;
    return Math.min(this.max, Math.max(this.min, this.valueAt(rank)));
  }

  /** Calls `visit(low, high, count)` for every bucket that holds something, ascending. Exact values count 1 each. */
  forEach(visit: (low: number, high: number, count: number) => void): void {
    if (this.exactValues !== undefined) {
      for (const v of this.exactValues.subarray(0, this.count).slice().sort()) visit(v, v, 1);
      return;
    }
    for (let e = this.negative.length - 1; e >= 0; e--) {
      const page = this.negative[e];
      if (page === undefined) continue;
      for (let s = SUB - 1; s >= 0; s--) if (page[s]! > 0) visit(-edge(e, s + 1), -edge(e, s), page[s]!);
    }
    for (let e = 0; e < this.positive.length; e++) {
      const page = this.positive[e];
      if (page === undefined) continue;
      for (let s = 0; s < SUB; s++) if (page[s]! > 0) visit(edge(e, s), edge(e, s + 1), page[s]!);
    }
  }

  /** What `restore` makes the same distribution of. */
  state(): HistogramState {
    const { count, sum, min, max } = this;
    if (this.exactValues !== undefined)
      return { count, sum, min, max, values: [...this.exactValues.subarray(0, count)] };
    const buckets: [number, number][] = [];
    for (const [sign, pages] of [[1, this.positive] as const, [-1, this.negative] as const])
      for (const [e, page] of pages.entries())
        page?.forEach((n, s) => {
          if (n > 0) buckets.push([e === 0 ? 0 : sign * (((e + 1022) << SUB_BITS) + s), n]);
        });
    return { count, sum, min, max, buckets };
  }

  /**
   * A distribution that was counted elsewhere: by the database, whose buckets are these (a value v of 1 ns or more is
   * in bucket (bits of v) >> 43, a negative one in the negative of its magnitude's; 0 holds what lies between).
   */
  static restore({ count, sum, min, max, values, buckets }: HistogramState): Histogram {
    const h = new Histogram();
    if (values !== undefined) for (const value of values) h.record(value);
    else {
      h.exactValues = undefined;
      for (const [bucket, n] of buckets ?? []) {
        const e = bucket === 0 ? 0 : (Math.abs(bucket) >> SUB_BITS) - 1022;
        const pages = bucket < 0 ? h.negative : h.positive;
        while (pages.length <= e) pages.push(undefined);
        const page = (pages[e] ??= new Uint32Array(SUB));
        const s = Math.abs(bucket) & (SUB - 1);
        page[s] = page[s]! + n;
      }
    }
    h.count = count;
    h.sum = sum;
    h.min = min;
    h.max = max;
    return h;
  }

  private append(value: number): void {
    let values = this.exactValues!;
    if (this.count === values.length) {
      const larger = new Float64Array(Math.min(EXACT_LIMIT, values.length * 4));
      larger.set(values);
      this.exactValues = values = larger;
    }
    values[this.count] = value;
  }

  private spill(): void {
    const values = this.exactValues!.subarray(0, this.count);
    this.exactValues = undefined;
    this.openWindow();
    for (const value of values) this.bucket(value);
  }

  /** Over the octaves of the values so far that are 1 or more, the lowest of them if they are too many. */
  private openWindow(): void {
    if (!(this.max >= 1)) return;
    const least = octaveOf(Math.max(1, this.min));
    const octaves = Math.min(MOST_OCTAVES, octaveOf(this.max) - least + 1);
    this.window = new Uint32Array(octaves * SUB);
    this.windowFrom = (least + 1023) << SUB_BITS;
    while (this.positive.length <= least + octaves) this.positive.push(undefined);
    for (let n = 0; n < octaves; n++)
      this.positive[least + 1 + n] = this.window.subarray(n * SUB, (n + 1) * SUB);
  }

  private bucket(value: number): void {
    float[0] = value;
    const high = words[HIGH]!;
    const exponent = ((high >>> 20) & 0x7ff) - 1023;
    const e = exponent < 0 ? 0 : exponent + 1;
    const s = exponent < 0 ? 0 : (high >>> (20 - SUB_BITS)) & (SUB - 1);
    const pages = high >>> 31 === 1 && exponent >= 0 ? this.negative : this.positive;
    let page = pages[e];
    if (page === undefined) {
      while (pages.length <= e) pages.push(undefined);
      page = pages[e] = new Uint32Array(SUB);
    }
    page[s]!++;
  }

  private valueAt(rank: number): number {
    let seen = 0;
    let answer = NaN;
    this.forEach((low, high, count) => {
      if (seen < rank && seen + count >= rank)
        answer = low <= 0 && high >= 0 && high <= 1 ? 0 : (low + high) / 2;
      seen += count;
    });
    return answer;
  }
}

/** Exponent of a value of at least 1. */
function octaveOf(value: number): number {
  float[0] = value;
  return ((words[HIGH]! >>> 20) & 0x7ff) - 1023;
}

/** Lower edge of sub-bucket `s` of page `e`: page 0 is 0..1, page e is 2^(e-1) .. 2^e. */
function edge(e: number, s: number): number {
  if (e === 0) return s === 0 ? 0 : 1;
  return 2 ** (e - 1) * (1 + s / SUB);
}
