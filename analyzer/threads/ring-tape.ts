import type { TapeReader, TapeWriter } from '../passes/dom0-tape.ts';
import { MOST_WIDE, TAPE_WIDTH } from '../passes/dom0-tape.ts';

/** Behind the last record before the memory's end, where the next one would not fit. A kind that TAPE does not have. */
const SKIP = 0;
/** A record instead of all further ones: the writer has failed. */
const FAILED = -1;

/** Places in `control`: numbers written and read since the beginning, modulo 2^32; 1 once there is a writer. */
const WRITTEN = 0;
const READ = 1;
const BEGUN = 2;

/** What the two threads share: the records, and how far each has come. */
export interface Ring {
  /** A power of two of numbers. */
  values: Float64Array<SharedArrayBuffer>;
  control: Int32Array<SharedArrayBuffer>;
}

/** A ring for 2^19 numbers, 4 MB: some ten thousand records, so that neither side often waits for the other. */
export function makeRing(numbers = 1 << 19): Ring {
  if (numbers < 4 * MOST_WIDE || (numbers & (numbers - 1)) !== 0)
    throw new Error(`a ring of ${numbers} numbers: not a power of two, or too small`);
  return {
    values: new Float64Array(new SharedArrayBuffer(8 * numbers)),
    control: new Int32Array(new SharedArrayBuffer(12)),
  };
}

/** Whether a writer has begun within `patienceMs`. */
export function isWritten({ control }: Ring, patienceMs: number): boolean {
  return Atomics.wait(control, BEGUN, 0, patienceMs) !== 'timed-out';
}

/** The writing end. Waits while the ring is full. */
export class RingWriter implements TapeWriter {
  readonly values: Float64Array<SharedArrayBuffer>;
  private readonly control: Int32Array<SharedArrayBuffer>;
  private readonly mask: number;
  /** Numbers written, and of those what the reader has been told of; and what it had read when last looked at. */
  private written = 0;
  private told = 0;
  private read = 0;

  constructor({ values, control }: Ring) {
    this.values = values;
    this.control = control;
    this.mask = values.length - 1;
    Atomics.store(control, BEGUN, 1);
    Atomics.notify(control, BEGUN);
  }

  reserve(kind: number): number {
    const width = TAPE_WIDTH[kind]!;
    this.tellSome();
    let at = this.written & this.mask;
    if (at + width > this.values.length) {
      this.room(this.values.length - at);
      this.values[at] = SKIP;
      this.written = (this.written + this.values.length - at) | 0;
      at = 0;
    }
    this.room(width);
    this.values[at] = kind;
    this.written = (this.written + width) | 0;
    return at;
  }

  /** Records are told of by the eighth of a ring, that slices of a few records do not wake the other side each. */
  publish(): void {
    this.tellSome();
  }

  /** All that was written may be read: nothing more comes, or not soon. */
  tell(): void {
    if (this.told === this.written) return;
    this.told = this.written;
    Atomics.store(this.control, WRITTEN, this.written);
    Atomics.notify(this.control, WRITTEN);
  }

  fail(): void {
    this.room(1);
    this.values[this.written & this.mask] = FAILED;
    this.written = (this.written + 1) | 0;
    this.tell();
  }

  private tellSome(): void {
    if (((this.written - this.told) | 0) > this.values.length >> 3) this.tell();
  }

  private room(width: number): void {
    const { length } = this.values;
    while (((this.written - this.read) | 0) + width > length) {
      this.read = Atomics.load(this.control, READ);
      if (((this.written - this.read) | 0) + width <= length) return;
      this.tell();
      Atomics.wait(this.control, READ, this.read);
    }
  }
}

/** The reading end. Waits while nothing more is written. */
export class RingReader implements TapeReader {
  readonly values: Float64Array<SharedArrayBuffer>;
  private readonly control: Int32Array<SharedArrayBuffer>;
  private readonly mask: number;
  private readonly failed: (why: 'failed' | 'silent') => never;
  private readonly patienceMs: number;
  private written = 0;
  private read = 0;
  private told = 0;

  /** `failed` throws: the writer has failed, or has written nothing for `patienceMs`. */
  constructor({ values, control }: Ring, failed: (why: 'failed' | 'silent') => never, patienceMs: number) {
    this.values = values;
    this.control = control;
    this.mask = values.length - 1;
    this.failed = failed;
    this.patienceMs = patienceMs;
  }

  next(): number {
    if (this.read === this.written) this.wait();
    const at = this.read & this.mask;
    const kind = this.values[at]!;
    if (kind > 0) return at;
    if (kind === FAILED) return this.failed('failed');
    this.read = (this.read + this.values.length - at) | 0;
    return this.next();
  }

  take(): void {
    this.read = (this.read + TAPE_WIDTH[this.values[this.read & this.mask]!]!) | 0;
    if (((this.read - this.told) | 0) > this.values.length >> 3) this.tell();
  }

  private tell(): void {
    this.told = this.read;
    Atomics.store(this.control, READ, this.read);
    Atomics.notify(this.control, READ);
  }

  private wait(): void {
    this.tell();
    for (;;) {
      this.written = Atomics.load(this.control, WRITTEN);
      if (this.written !== this.read) return;
      if (Atomics.wait(this.control, WRITTEN, this.read, this.patienceMs) === 'timed-out')
        this.failed('silent');
    }
  }
}
