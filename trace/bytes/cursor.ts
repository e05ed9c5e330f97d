import { TraceError } from '../errors.ts';

/**
 * A bounds-checked reader over bytes of fixed endianness. Every read goes through `need`, so no decoder
 * can read past its input; the error names source, absolute offset, bytes expected and bytes left.
 *
 * `baseOffset` is the file offset of the first byte, so that errors name places in the file and not in
 * the buffer that happens to hold a part of it.
 */
export class ByteCursor {
  readonly source: string;
  readonly littleEndian: boolean;
  readonly baseOffset: number;
  readonly end: number;
  pos = 0;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(bytes: Uint8Array, source: string, baseOffset = 0, littleEndian = true) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.source = source;
    this.baseOffset = baseOffset;
    this.littleEndian = littleEndian;
    this.end = bytes.byteLength;
  }

  get remaining(): number {
    return this.end - this.pos;
  }

  /** File offset of the next byte. */
  get offset(): number {
    return this.baseOffset + this.pos;
  }

  /** Throws E_TRUNCATED unless `count` more bytes are there. */
  need(count: number, what = 'bytes'): void {
    if (count > this.end - this.pos || count < 0) {
      throw new TraceError('E_TRUNCATED', `input ends inside ${what}`, {
        source: this.source,
        offset: this.offset,
        expected: `${count} bytes`,
        got: `${this.remaining}`,
      });
    }
  }

  u8(what?: string): number {
    this.need(1, what);
    return this.view.getUint8(this.pos++);
  }

  u16(what?: string): number {
    this.need(2, what);
    const value = this.view.getUint16(this.pos, this.littleEndian);
    this.pos += 2;
    return value;
  }

  u32(what?: string): number {
    this.need(4, what);
    const value = this.view.getUint32(this.pos, this.littleEndian);
    this.pos += 4;
    return value;
  }

  i32(what?: string): number {
    return this.u32(what) | 0;
  }

  /** 64 bits as a bigint: for headers and edges, never in a loop over events. */
  u64(what?: string): bigint {
    this.need(8, what);
    const value = this.view.getBigUint64(this.pos, this.littleEndian);
    this.pos += 8;
    return value;
  }

  /** 64 bits that must fit a safe integer (sizes, offsets). */
  size64(what = 'a 64-bit size'): number {
    const at = this.offset;
    const value = this.u64(what);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new TraceError('E_BAD_RECORD', `${what} is not plausible`, {
        source: this.source,
        offset: at,
        expected: 'at most 2^53-1',
        got: value.toString(),
      });
    }
    return Number(value);
  }

  /** A view (no copy) of the next `count` bytes. */
  take(count: number, what?: string): Uint8Array {
    this.need(count, what);
    const part = this.bytes.subarray(this.pos, this.pos + count);
    this.pos += count;
    return part;
  }

  skip(count: number, what?: string): void {
    this.need(count, what);
    this.pos += count;
  }

  /** A cursor of its own over the next `count` bytes, whose errors still name file offsets. */
  sub(count: number, what?: string): ByteCursor {
    const offset = this.offset;
    return new ByteCursor(this.take(count, what), this.source, offset, this.littleEndian);
  }

  /** NUL-terminated text; the NUL must lie within `limit` bytes. */
  cstring(what = 'a string', limit = 1 << 20): string {
    const stop = this.bytes.indexOf(0, this.pos);
    if (stop < 0 || stop - this.pos > limit) {
      throw new TraceError('E_TRUNCATED', `${what} is not terminated`, {
        source: this.source,
        offset: this.offset,
        expected: 'a NUL byte',
        got: stop < 0 ? 'end of input' : `none within ${limit} bytes`,
      });
    }
    const text = utf8.decode(this.bytes.subarray(this.pos, stop));
    this.pos = stop + 1;
    return text;
  }

  utf8(count: number, what?: string): string {
    return utf8.decode(this.take(count, what));
  }

  fail(what: string, expected: string, got: string, at = this.offset): never {
    throw new TraceError('E_BAD_RECORD', what, { source: this.source, offset: at, expected, got });
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: false });
