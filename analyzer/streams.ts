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
export type RowsVisitor = (batch: EventColumns, line: AxisLine, from: number, to: number) => void;

/** Something that is read in slices of trace time, beside others. */
export interface Lane {
  /** Axis ns of what comes next; Infinity at the end. */
  readonly head: number;
  /** Reads all that lies before `watermark` (axis ns), the end of a slice. */
  until(watermark: number): void;
  close(): void;
}

/** The rows of one source as a lane. Memory: one batch. */
export class RowsLane implements Lane {
  private readonly line: AxisLine;
  private readonly iterator: Iterator<EventColumns>;
  private readonly onRows: RowsVisitor;
  private batch: EventColumns | undefined;
  private position = 0;

  constructor(stream: TimedStream, onRows: RowsVisitor) {
    this.iterator = stream.batches()[Symbol.iterator]();
    this.line = stream.line;
    this.onRows = onRows;
    this.next();
  }

  get head(): number {
    return this.batch === undefined
      ? Infinity
      : this.batch.ts[this.position]! * this.line.scale + this.line.shift;
  }

  until(watermark: number): void {
    while (this.batch !== undefined) {
      const { batch, position } = this;
      const to = this.rowsUntil(batch, watermark);
      if (to > position) this.onRows(batch, this.line, position, to);
      this.position = to;
      if (to < batch.length) return;
      this.next();
    }
  }

  close(): void {
    this.iterator.return?.();
  }

  /** First row from `position` on that is not earlier than `limit` (axis ns). */
  private rowsUntil({ ts, length }: EventColumns, limit: number): number {
    const { scale, shift } = this.line;
    // Rows come in time order. Whole batches lie before the limit more often than not.
    if (ts[length - 1]! * scale + shift < limit) return length;
    return firstRowFrom(ts, this.line, this.position, length, limit);
  }

  private next(): void {
    this.position = 0;
    do {
      const step = this.iterator.next();
      this.batch = step.done === true ? undefined : step.value;
    } while (this.batch?.length === 0);
  }
}

/** The first of rows [from, to), which come in time order, that is not before `t` (axis ns); `to` if there is none. */
export function firstRowFrom(
  ts: Float64Array,
  { scale, shift }: AxisLine,
  from: number,
  to: number,
  t: number,
): number {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ts[middle]! * scale + shift < t) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Walks several lanes together in slices of trace time: in each slice one lane after the other up to the
 * watermark; then `onWatermark`, at the end with Infinity. Exact interleaving would be an illusion (the
 * clocks are only known to an error), so passes join by intervals and use the watermark to know what can no
 * longer come. Slices depend on time alone: answers do not depend on batch sizes.
 *
 * Rows without a time (NaN) must not be in these lanes.
 */
export function walk(
  lanes: readonly Lane[],
  onWatermark: (watermark: number) => void,
  sliceNs = SLICE_NS,
): void {
  try {
    for (;;) {
      let first = Infinity;
      for (const lane of lanes) first = Math.min(first, lane.head);
      if (first === Infinity) break;
      const watermark = sliceEnd(first, sliceNs);
      for (const lane of lanes) lane.until(watermark);
      onWatermark(watermark);
    }
    onWatermark(Infinity);
  } finally {
    for (const lane of lanes) lane.close();
  }
}

/** The end of the slice in which `t` lies; later than it. Both axis ns. */
export function sliceEnd(t: number, sliceNs = SLICE_NS): number {
  return (Math.floor(t / sliceNs) + 1) * sliceNs;
}

/** 20 ms: long against any ioreq, short against what the queues between the passes may hold. */
export const SLICE_NS = 20e6;
