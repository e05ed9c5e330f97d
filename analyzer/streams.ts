import type { AxisLine } from '../trace/axis.ts';
import type { EventColumns } from '../trace/columns.ts';

/** One source's events with the line that takes its clock to the trace's axis. */
export interface TimedStream {
  readonly id: string;
  readonly line: AxisLine;
  batches(): Iterable<EventColumns>;
}

/**
 * Rows [from, to) of `batch`, which is valid during the call. A row's axis time is ts * line.scale + line.shift:
 * passes take it for the rows that they use, a fraction of all.
 */
export type RowsVisitor = (
  stream: number,
  batch: EventColumns,
  line: AxisLine,
  from: number,
  to: number,
) => void;

class Cursor {
  readonly line: AxisLine;
  private readonly iterator: Iterator<EventColumns>;
  batch: EventColumns | undefined;
  position = 0;

  constructor(stream: TimedStream) {
    this.iterator = stream.batches()[Symbol.iterator]();
    this.line = stream.line;
    this.next();
  }

  /** Axis time of the next row. */
  get head(): number {
    return this.batch === undefined
      ? Infinity
      : this.batch.ts[this.position]! * this.line.scale + this.line.shift;
  }

  /** First row from `position` on that is later than `limit` (axis ns). */
  rowsUntil(limit: number): number {
    const { ts, length } = this.batch!;
    const { scale, shift } = this.line;
    // Rows come in time order. Whole batches lie before the limit more often than not.
    if (ts[length - 1]! * scale + shift <= limit) return length;
    let low = this.position;
    let high = length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ts[middle]! * scale + shift <= limit) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  next(): void {
    this.position = 0;
    do {
      const step = this.iterator.next();
      this.batch = step.done === true ? undefined : step.value;
    } while (this.batch?.length === 0);
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
          if (to > c.position) onRows(n, c.batch, c.line, c.position, to);
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
