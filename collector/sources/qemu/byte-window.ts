import type { ByteSource } from '../../input/byte-source.ts';

/** A sliding view of an input for formats whose records say their own length. */
export class ByteWindow {
  /** Holds at least the bytes that the last successful `need` asked for, from `pos` on. */
  bytes: Uint8Array;
  view: DataView;
  /** Place of the next record in `bytes`. */
  pos = 0;
  private readonly input: ByteSource;
  private end = 0;
  private readAt = 0;

  /** `size`: bytes held, at least the longest record. */
  constructor(input: ByteSource, size: number) {
    this.input = input;
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Offset of `pos` in the input. */
  get offset(): number {
    return this.readAt - (this.end - this.pos);
  }

  /** Bytes that are held from `pos` on. */
  get held(): number {
    return this.end - this.pos;
  }

  /** Makes `count` bytes from `pos` on present; false if the input ends before. May move `pos`. */
  need(count: number): boolean {
    if (this.end - this.pos >= count) return true;
    this.bytes.copyWithin(0, this.pos, this.end);
    this.end -= this.pos;
    this.pos = 0;
    while (this.end < count) {
      const got = this.input.read(this.readAt, this.bytes.subarray(this.end));
      if (got === 0) return false;
      this.readAt += got;
      this.end += got;
    }
    return true;
  }
}
