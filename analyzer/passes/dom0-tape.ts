import { D_WIDTH } from './dom0-record.ts';

/**
 * What Dom0's side of a trace tells the rest: records of float64 numbers, one after the other, in slices of trace
 * time. The side that writes may be ahead, and on another thread.
 *
 * A slice is one SLICE, any number of the others, and an END. The first number of a record is its kind; behind it:
 */
export const TAPE = {
  /** The slice's end; the end of the next slice with rows, the same if this one has some. Both axis ns. */
  SLICE: 1,
  /** vCPU, then a record of D: an ioreq that was answered. */
  IOREQ: 2,
  /** Device, axis ns, 1 if by an irqfd: its line is raised. */
  RAISE: 3,
  /** A record of Q: a request whose end is known. */
  REQUEST: 4,
  /** vCPU, axis ns: since when the kernel looks at an ioreq of it. Of the end of the slice. */
  KERNEL_OPEN: 5,
  /** vCPU: an ioreq of it is under way at the end of the trace. */
  IRQ_OPEN: 6,
  END: 7,
} as const;

/** Fields of a request: all that Dom0 knows of it. Times in axis ns, NaN where not seen. */
export const Q = {
  DEVICE: 0,
  QUEUE: 1,
  /** Dom0's number of the QueueNotify that started it, -1 if it cannot be told. */
  SEQ: 2,
  POPPED: 3,
  USED: 4,
  INTERRUPT: 5,
  BYTES: 6,
  TYPE: 7,
  DEPTH: 8,
  GROUP: 9,
} as const;
export const Q_WIDTH = 10;

/** Numbers of a record by its kind. */
export const TAPE_WIDTH = [0, 3, 2 + D_WIDTH, 4, 1 + Q_WIDTH, 3, 2, 1] as const;
/** Of the widest one. */
export const MOST_WIDE = Math.max(...TAPE_WIDTH);

export interface TapeWriter {
  /** The memory that `reserve` gives places in; it can be another one after a `reserve`. */
  readonly values: Float64Array;
  /** The place of a record of `kind`, which is filled in before the next call. Its kind stands there already. */
  reserve(kind: number): number;
  /** All that was reserved is filled in, and may be read. */
  publish(): void;
}

export interface TapeReader {
  readonly values: Float64Array;
  /** The place of the next record: where it is not written yet, waits for it. */
  next(): number;
  /** The record at `next` is done with. */
  take(): void;
}

/** A tape within one thread: what is to be read and not there yet is written right then. */
export class LocalTape implements TapeWriter, TapeReader {
  values = new Float64Array(4096);
  private written = 0;
  private read = 0;
  private readonly more: () => void;

  /** `more` writes at least one record. */
  constructor(more: () => void) {
    this.more = more;
  }

  reserve(kind: number): number {
    const at = this.written;
    this.written += TAPE_WIDTH[kind]!;
    if (this.written > this.values.length) {
      const larger = new Float64Array(this.values.length * 2);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[at] = kind;
    return at;
  }

  publish(): void {
    // The reader is the same thread.
  }

  next(): number {
    if (this.read === this.written) {
      this.read = this.written = 0;
      this.more();
    }
    return this.read;
  }

  take(): void {
    this.read += TAPE_WIDTH[this.values[this.read]!]!;
  }
}
