import { SPAN_FLAG, type SpanBatch } from '../../trace/spans.ts';

/** Cells that a page takes in for one family: some 27 bytes each before gzip. */
export const PAGE_CELLS = 131_072;
/** Length of the first slices of time, ns; doubled whenever the cells are full. */
const FIRST_SLICE_NS = 2 ** 16;
/** Some days: a trace lies in one slice then. */
const LAST_SLICE_NS = 2 ** 50;
/** Parts of an octave of latency (1 << bits), as the page's heatmap has at most when it shows all. */
const SUB_BITS = 3;
/** Spans with these are in no figure (and in no cell). */
const UNUSABLE = SPAN_FLAG.LOSS | SPAN_FLAG.INVALIDATE;

/** All spans of a family, counted by slice of time, device, key, direction and latency: what overview and heatmap show. */
export interface Cells {
  sliceNs: number;
  rows: number;
  /** Middle of the slice, ns; rows are ordered by it. */
  start: Float64Array;
  /** Largest latency of the cell's spans, ns. */
  total: Float64Array;
  device: Uint16Array;
  key: Uint32Array;
  dir: Uint8Array;
  /** How many spans. */
  weight: Float32Array;
}

/**
 * Counts every span, however many there are, in bounded memory: an open hash table of at most `limit` cells, whose
 * slices of time grow with the trace. Counts are exact; only the time of a span is known no better than its slice.
 */
export class PageCells {
  sliceNs = FIRST_SLICE_NS;
  rows = 0;
  /** More groups and latencies than cells: nothing is counted any more. */
  overflown = false;
  private readonly limit: number;
  private slice: Float64Array;
  private bin: Uint16Array;
  private device: Uint16Array;
  private key: Uint32Array;
  private dir: Uint8Array;
  private count: Float64Array;
  private max: Float64Array;

  constructor(limit: number = PAGE_CELLS) {
    this.limit = limit;
    const size = 2 ** Math.ceil(Math.log2(limit * 2));
    this.slice = new Float64Array(size);
    this.bin = new Uint16Array(size);
    this.device = new Uint16Array(size);
    this.key = new Uint32Array(size);
    this.dir = new Uint8Array(size);
    this.count = new Float64Array(size);
    this.max = new Float64Array(size);
  }

  add(batch: SpanBatch): void {
    const { start, total, flags, device, key, dir } = batch;
    for (let i = 0; i < batch.length; i++) {
      const at = start[i]!;
      const v = total[i]!;
      if (Number.isNaN(v) || Number.isNaN(at) || (flags[i]! & UNUSABLE) !== 0) continue;
      this.put(Math.floor(at / this.sliceNs), binOf(v), device[i]!, key[i]!, dir[i]!, 1, v);
    }
  }

  take(): Cells {
    const { slice, count, sliceNs } = this;
    const order = new Uint32Array(this.rows);
    let n = 0;
    for (let k = 0; k < count.length; k++) if (count[k]! > 0) order[n++] = k;
    order.sort((a, b) => slice[a]! - slice[b]! || a - b);
    return {
      sliceNs,
      rows: this.rows,
      start: Float64Array.from(order, (k) => (slice[k]! + 0.5) * sliceNs),
      total: Float64Array.from(order, (k) => this.max[k]!),
      device: Uint16Array.from(order, (k) => this.device[k]!),
      key: Uint32Array.from(order, (k) => this.key[k]!),
      dir: Uint8Array.from(order, (k) => this.dir[k]!),
      weight: Float32Array.from(order, (k) => count[k]!),
    };
  }

  private put(s: number, b: number, d: number, k: number, r: number, n: number, v: number): void {
    const mask = this.count.length - 1;
    let h = Math.imul((s | 0) ^ Math.imul(b, 0x85ebca6b), 0x9e3779b1);
    h = Math.imul(h ^ (h >>> 15) ^ k ^ (d << 20) ^ (r << 13), 0xc2b2ae35);
    h = (h ^ (h >>> 16)) & mask;
    while (this.count[h]! > 0) {
      if (
        this.slice[h] === s &&
        this.bin[h] === b &&
        this.key[h] === k &&
        this.device[h] === d &&
        this.dir[h] === r
      ) {
        this.count[h]! += n;
        if (v > this.max[h]!) this.max[h] = v;
        return;
      }
      h = (h + 1) & mask;
    }
    if (this.rows === this.limit) {
      if (this.overflown || this.sliceNs >= LAST_SLICE_NS) {
        this.overflown = true;
        return;
      }
      this.coarsen();
      // One doubling may merge nothing: then the next call doubles again.
      this.put(Math.floor(s / 2), b, d, k, r, n, v);
      return;
    }
    this.rows++;
    this.slice[h] = s;
    this.bin[h] = b;
    this.device[h] = d;
    this.key[h] = k;
    this.dir[h] = r;
    this.count[h] = n;
    this.max[h] = v;
  }

  /** Slices of twice the length. */
  private coarsen(): void {
    const { slice, bin, device, key, dir, count, max } = this;
    const size = count.length;
    this.slice = new Float64Array(size);
    this.bin = new Uint16Array(size);
    this.device = new Uint16Array(size);
    this.key = new Uint32Array(size);
    this.dir = new Uint8Array(size);
    this.count = new Float64Array(size);
    this.max = new Float64Array(size);
    this.rows = 0;
    this.sliceNs *= 2;
    for (let k = 0; k < size; k++) {
      if (count[k]! === 0) continue;
      this.put(Math.floor(slice[k]! / 2), bin[k]!, device[k]!, key[k]!, dir[k]!, count[k]!, max[k]!);
    }
  }
}

/** The bin that the page's heatmap would put a latency into (log-linear, 8 an octave); those below 1 ns share one. */
function binOf(ns: number): number {
  if (!(ns >= 1)) return 0;
  const e = Math.floor(Math.log2(ns));
  return Math.max(0, ((e + 1) << SUB_BITS) + Math.floor((ns / 2 ** e - 1) * (1 << SUB_BITS)));
}
