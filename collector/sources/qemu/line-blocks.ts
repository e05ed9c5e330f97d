import type { ByteSource } from '../../input/byte-source.ts';

/** Bytes asked of the input at a time. */
const CHUNK_BYTES = 256 * 1024;

/**
 * Cuts an input into blocks of whole lines, in bounded memory: one chunk, or as much as the longest line
 * takes up to `maxLine`. Lines are left as they are; each ends with LF.
 */
export class LineBlocks {
  /** Whole lines of the current block; valid until the next call of `next`. After the end: what had no LF. */
  bytes: Uint8Array = new Uint8Array(0);
  /** Offset of bytes[0] in the input. */
  offset = 0;
  /** True after `next` gave 'end' or 'long'. */
  ended = false;
  private readonly input: ByteSource;
  private readonly maxLine: number;
  private readonly chunk: number;
  private buffer: Uint8Array;
  /** buffer[begin, end) has been read and not given out. */
  private begin = 0;
  private end = 0;
  private readAt = 0;

  constructor(input: ByteSource, maxLine: number, chunk = CHUNK_BYTES) {
    this.input = input;
    this.maxLine = maxLine;
    this.chunk = chunk;
    this.buffer = new Uint8Array(chunk * 2);
  }

  /**
   * 'block': `bytes` are whole lines. 'end': no more lines, `bytes` is an unterminated rest (often empty).
   * 'long': the line at `offset` has no end within `maxLine` bytes; one whose end came with the last chunk
   * is still given, so the caller checks the length of each line. Throws what the input's read throws.
   */
  next(): 'block' | 'end' | 'long' {
    let searched = this.begin;
    for (;;) {
      const last = this.buffer.subarray(searched, this.end).lastIndexOf(LF);
      if (last >= 0) return this.give(searched + last + 1);
      searched = this.end;
      if (this.end - this.begin > this.maxLine) {
        this.give(this.begin);
        this.ended = true;
        return 'long';
      }
      const moved = this.makeRoom();
      searched -= moved;
      const got = this.input.read(this.readAt, this.buffer.subarray(this.end, this.end + this.chunk));
      if (got === 0) {
        this.give(this.end);
        this.ended = true;
        return 'end';
      }
      this.readAt += got;
      this.end += got;
    }
  }

  private give(to: number): 'block' {
    this.bytes = this.buffer.subarray(this.begin, to);
    this.offset = this.readAt - (this.end - this.begin);
    this.begin = to;
    return 'block';
  }

  /** Makes room for one chunk behind `end`; gives by how much the content moved towards the front. */
  private makeRoom(): number {
    const moved = this.begin;
    const held = this.end - this.begin;
    if (held + this.chunk > this.buffer.length) {
      const larger = new Uint8Array(Math.max(this.buffer.length * 2, held + this.chunk));
      larger.set(this.buffer.subarray(this.begin, this.end));
      this.buffer = larger;
    } else if (moved > 0) {
      this.buffer.copyWithin(0, this.begin, this.end);
    }
    this.begin = 0;
    this.end = held;
    return moved;
  }
}

const LF = 0x0a;
