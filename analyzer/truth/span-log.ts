import type { SpanPlan } from '../../trace/spans.ts';
import { SpanBatch } from '../../trace/spans.ts';

const CHUNK = 8192;

/** Spans of one family a comparison holds at most: about 150 bytes each. Later ones are counted only. */
export const MAX_SPANS = 1 << 21;

/**
 * The spans of one family, kept: a comparison of two analyses must have both at hand. In chunks, so that nothing is
 * copied as it grows; row `i` is row `i & (CHUNK - 1)` of its chunk.
 */
export class SpanLog {
  readonly plan: SpanPlan;
  length = 0;
  /** Spans beyond MAX_SPANS. */
  cut = 0;
  private readonly chunks: SpanBatch[] = [];
  private readonly boundary = new Map<string, number>();

  constructor(plan: SpanPlan) {
    this.plan = plan;
    for (const [b, { name }] of plan.boundaries.entries()) this.boundary.set(name, b);
  }

  /** Appends a copy of every row. */
  add(batch: SpanBatch): void {
    for (let from = 0; from < batch.length;) {
      if (this.length >= MAX_SPANS) {
        this.cut += batch.length - from;
        return;
      }
      const at = this.length & (CHUNK - 1);
      if (at === 0) this.chunks.push(new SpanBatch(this.plan.boundaries.length, CHUNK));
      const chunk = this.chunks[this.chunks.length - 1]!;
      const n = Math.min(CHUNK - at, batch.length - from);
      copyRows(batch, from, chunk, at, n);
      chunk.length = at + n;
      this.length += n;
      from += n;
    }
  }

  chunkOf(row: number): SpanBatch {
    return this.chunks[row >>> 13]!;
  }

  /** Place of a row in its chunk. */
  at(row: number): number {
    return row & (CHUNK - 1);
  }

  /** Index of a boundary of the plan, -1 if the plan has none of that name. */
  index(name: string): number {
    return this.boundary.get(name) ?? -1;
  }

  /** Instant of boundary `b` of a row, axis ns; NaN where it was not seen, or for b = -1. */
  time(row: number, b: number): number {
    return b < 0 ? NaN : this.chunkOf(row).at[b]![this.at(row)]!;
  }
}

type Column = Float64Array | Uint32Array | Uint16Array | Uint8Array;

function copyRows(from: SpanBatch, first: number, to: SpanBatch, at: number, n: number): void {
  const columns = Object.entries(from) as [keyof SpanBatch, unknown][];
  for (const [name, column] of columns) {
    if (ArrayBuffer.isView(column))
      (to[name] as unknown as Column).set((column as Column).subarray(first, first + n), at);
  }
  for (const [b, column] of from.at.entries()) to.at[b]!.set(column.subarray(first, first + n), at);
}
