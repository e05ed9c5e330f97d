/**
 * A first-in-first-out queue of fixed-width float64 records in one growing ring buffer: what one side of a
 * join holds until the other side has caught up. No object a record.
 */
export class RecordQueue {
  readonly width: number;
  private ring: Float64Array;
  /** Records the ring holds, less 1; a power of two less 1. */
  private mask: number;
  private first = 0;
  length = 0;

  constructor(width: number) {
    this.width = width;
    this.mask = 63;
    this.ring = new Float64Array(width * 64);
  }

  /** Appends a copy of `record` (its first `width` elements from `at`). */
  push(record: Float64Array, at = 0): void {
    if (this.length > this.mask) this.grow();
    const { ring, width } = this;
    const to = ((this.first + this.length) & this.mask) * width;
    for (let f = 0; f < width; f++) ring[to + f] = record[at + f]!;
    this.length++;
  }

  /** Field `field` of the record `index` places behind the head; NaN if there is none. */
  get(index: number, field: number): number {
    if (index >= this.length) return NaN;
    return this.ring[((this.first + index) & this.mask) * this.width + field]!;
  }

  /** The memory that `offset` is about; another one after a `push`. */
  get values(): Float64Array {
    return this.ring;
  }

  /** Where in `values` the record `index` places behind the head begins; it must be there. */
  offset(index: number): number {
    return ((this.first + index) & this.mask) * this.width;
  }

  set(index: number, field: number, value: number): void {
    this.ring[((this.first + index) & this.mask) * this.width + field] = value;
  }

  shift(): void {
    if (this.length === 0) return;
    this.first = (this.first + 1) & this.mask;
    this.length--;
  }

  private grow(): void {
    const larger = new Float64Array(this.ring.length * 2);
    const head = this.first * this.width;
    larger.set(this.ring.subarray(head));
    larger.set(this.ring.subarray(0, head), this.ring.length - head);
    this.ring = larger;
    this.first = 0;
    this.mask = 2 * this.mask + 1;
  }
}
