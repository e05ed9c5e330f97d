import { TraceError } from '../../../trace/errors.ts';
import type { ByteSource } from '../../input/byte-source.ts';

/** Longest name in a trace.dat file that is believed (event systems, clocks, versions). */
const MAX_NAME = 4096;
/** Largest part that is taken into memory whole (format texts, command lines, one compressed chunk). */
export const MAX_PART = 64 << 20;

/**
 * Reads a trace.dat file, or an unpacked section of one, front to back in small pieces. Every failure is a
 * TraceError that names the place; little endian only (the caller has refused the other).
 */
export class DatReader {
  readonly input: ByteSource;
  pos: number;
  private readonly word = Buffer.alloc(8);

  constructor(input: ByteSource, pos = 0) {
    this.input = input;
    this.pos = pos;
  }

  u8(what: string): number {
    return this.words(1, what).readUInt8(0);
  }

  u16(what: string): number {
    return this.words(2, what).readUInt16LE(0);
  }

  u32(what: string): number {
    return this.words(4, what).readUInt32LE(0);
  }

  /** A 64-bit size or offset. */
  size(what: string): number {
    const at = this.pos;
    const value = this.words(8, what).readBigUInt64LE(0);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      this.fail(`${what} is not plausible`, 'at most 2^53-1', value.toString(), at);
    }
    return Number(value);
  }

  bytes(count: number, what: string): Buffer {
    if (count > MAX_PART) this.fail(`${what} is not plausible`, `at most ${MAX_PART} bytes`, `${count}`);
    this.need(count, what);
    const part = Buffer.alloc(count);
    this.readInto(part, what);
    return part;
  }

  text(count: number, what: string): string {
    return this.bytes(count, what).toString('utf8');
  }

  cstring(what: string): string {
    const at = this.pos;
    const part = Buffer.alloc(Math.max(0, Math.min(MAX_NAME, this.input.size - at)));
    const got = this.input.read(at, part);
    const stop = part.subarray(0, got).indexOf(0);
    if (stop < 0) {
      const code = got < MAX_NAME ? 'E_TRUNCATED' : 'E_BAD_RECORD';
      throw new TraceError(code, `${what} is not terminated`, this.place(at, 'a NUL byte', `none in ${got}`));
    }
    this.pos = at + stop + 1;
    return part.toString('utf8', 0, stop);
  }

  skip(count: number, what: string): void {
    this.need(count, what);
    this.pos += count;
  }

  need(count: number, what: string): void {
    const left = this.input.size - this.pos;
    if (count > left) {
      throw new TraceError(
        'E_TRUNCATED',
        `input ends inside ${what}`,
        this.place(this.pos, `${count} bytes`, `${Math.max(0, left)}`),
      );
    }
  }

  fail(what: string, expected: string, got: string, at = this.pos): never {
    throw new TraceError('E_BAD_RECORD', what, this.place(at, expected, got));
  }

  private words(count: number, what: string): Buffer {
    this.need(count, what);
    this.readInto(this.word.subarray(0, count), what);
    return this.word;
  }

  private readInto(part: Buffer, what: string): void {
    const got = this.input.read(this.pos, part);
    if (got < part.length) {
      throw new TraceError(
        'E_TRUNCATED',
        `input ends inside ${what}`,
        this.place(this.pos, `${part.length} bytes`, `${got}`),
      );
    }
    this.pos += got;
  }

  private place(offset: number, expected: string, got: string) {
    return { source: this.input.name, offset, expected, got };
  }
}
