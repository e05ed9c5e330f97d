import type { AxisLine } from '../../trace/axis.ts';
import type { EventColumns } from '../../trace/columns.ts';
import { K } from '../../trace/events.ts';

const { DM_IOREQ, DM_IOREQ_READ_DONE } = K;

/**
 * Contents of ioreqs from a device model's log that stands beside Dom0's events: the n-th ioreq of the log is
 * the n-th answer of the device model, because its one main loop serves one ioreq after the other. Only to be
 * used if both counted the same number (the caller checks): then nothing is missing on either side, and the
 * order alone joins them. Where the log's clock is related to Dom0's, its times come along.
 */
export class LogContents {
  addrLo = 0;
  addrHi = 0;
  dataLo = 0;
  info = 0;
  /** Axis time at which the device model began with it; NaN if the log has no place on the axis. */
  at = NaN;
  private readonly batches: Iterator<EventColumns>;
  private batch: EventColumns | undefined;
  private row = 0;
  private readonly line: AxisLine | undefined;
  /** Dom0's own events hold the contents: only the times are wanted. */
  readonly timesOnly: boolean;

  constructor(batches: Iterable<EventColumns>, line?: AxisLine, timesOnly = false) {
    this.timesOnly = timesOnly;
    this.line = line;
    this.batches = batches[Symbol.iterator]();
    this.advance();
  }

  /** Whether the ioreqs have a time on the axis. */
  get timed(): boolean {
    return this.line !== undefined;
  }

  /** Moves on to the next ioreq; false at the end of the log. A read's data is the value answered. */
  next(): boolean {
    let found = false;
    while (this.batch !== undefined) {
      const { batch, row } = this;
      const kind = batch.kind[row];
      if (kind === DM_IOREQ) {
        if (found) return true;
        found = true;
        this.addrLo = batch.addr[2 * row]!;
        this.addrHi = batch.addr[2 * row + 1]!;
        this.dataLo = batch.data[2 * row]!;
        this.info = batch.arg0[row]!;
        if (this.line !== undefined) this.at = batch.ts[row]! * this.line.scale + this.line.shift;
      } else if (kind === DM_IOREQ_READ_DONE && found) this.dataLo = batch.data[2 * row]!;
      this.row++;
      if (this.row >= batch.length) this.advance();
    }
    return found;
  }

  close(): void {
    this.batches.return?.();
  }

  private advance(): void {
    this.row = 0;
    do {
      const step = this.batches.next();
      this.batch = step.done === true ? undefined : step.value;
    } while (this.batch?.length === 0);
  }
}
