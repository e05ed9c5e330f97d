import type { EventColumns } from '../trace/columns.ts';

/** One source's events with the line that takes its clock to the trace's axis: ns = ts * scale + shift. */
export interface TimedStream {
  readonly id: string;
  readonly scale: number;
  readonly shift: number;
  batches(): Iterable<EventColumns>;
}

/** Rows [from, to) of `batch`, whose axis times (ns) are `t`. Valid during the call. */
export type RowsVisitor = (
  stream: number,
  batch: EventColumns,
  t: Float64Array,
  from: number,
  to: number,
) => void;

class Cursor {
  private readonly iterator: Iterator<EventColumns>;
  private readonly scale: number;
  private readonly shift: number;
  batch: EventColumns | undefined;
  t = new Float64Array(0);
  position = 0;

  constructor(stream: TimedStream) {
    this.iterator = stream.batches()[Symbol.iterator]();
    this.scale = stream.scale;
    this.shift = stream.shift;
    this.next();
  }

  get head(): number {
    return this.batch === undefined ? Infinity : this.t[this.position]!;
  }

  /** First row from `position` on that is later than `limit`. */
  rowsUntil(limit: number): number {
    const t = this.t;
    const n = this.batch!.length;
    let i = this.position;
    while (i < n && t[i]! <= limit) i++;
    return i;
  }

  next(): void {
    for (;;) {
      const step = this.iterator.next();
      if (step.done === true) {
        this.batch = undefined;
        return;
      }
      const batch = step.value;
      if (batch.length === 0) continue;
      this.batch = batch;
      this.position = 0;
      if (this.t.length < batch.length) this.t = new Float64Array(batch.length);
      const { scale, shift, t } = this;
      const ts = batch.ts;
      for (let i = 0; i < batch.length; i++) t[i] = ts[i]! * scale + shift;
      return;
    }
  }

  close(): void {
    this.iterator.return?.();
  }
}

/**
 * Walks several sources together in slices of trace time: in each slice every source's rows up to the
 * watermark, one source after the other; then `onWatermark`. Exact interleaving would be an illusion (the
 * clocks are only known to an error), so passes join by intervals and use the watermark to know what can no
 * longer come. Slices depend on time alone: answers do not depend on batch sizes.
 *
 * Rows without a time (NaN) must not be in these streams. Memory: one batch a source.
 */
export function walk(
  streams: readonly TimedStream[],
  onRows: RowsVisitor,
  onWatermark: (watermark: number) => void,
  sliceNs = SLICE_NS,
): void {
  const cursors = streams.map((s) => new Cursor(s));
  try {
    for (;;) {
      let first = Infinity;
      for (const c of cursors) first = Math.min(first, c.head);
      if (first === Infinity) break;
      const watermark = (Math.floor(first / sliceNs) + 1) * sliceNs;
      for (const [n, c] of cursors.entries()) {
        while (c.batch !== undefined) {
          const to = c.rowsUntil(watermark);
          if (to > c.position) onRows(n, c.batch, c.t, c.position, to);
          c.position = to;
          if (to < c.batch.length) break;
          c.next();
        }
      }
      onWatermark(watermark);
    }
  } finally {
    for (const c of cursors) c.close();
  }
  onWatermark(Infinity);
}

/** 20 ms: long against any ioreq, short against what the queues between the passes may hold. */
export const SLICE_NS = 20e6;
