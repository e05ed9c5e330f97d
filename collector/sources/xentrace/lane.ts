import { TWO_32 } from '../../../trace/columns.ts';
import type { ByteSource } from '../../input/byte-source.ts';
import type { Damage } from './damage.ts';
import { NO_WINDOW } from './windows.ts';
import type { WindowIndex } from './windows.ts';

/** More than the longest record: header, timestamp and seven words are 40 bytes. */
export const MIN_CHUNK_BYTES = 64;
const FIRST_READ_BYTES = 2048;
/** Windows a chunk may hold pieces of. */
const MAX_SEGMENTS = 512;
/**
 * A step of time beyond which a timestamp is checked against the one after it, in ticks: 67 ms at 62.5 MHz.
 * Long enough that the check is rare, short enough that an unchecked leap does little harm.
 */
export const STEP = 2 ** 22;

/** Times beyond this cannot be told apart in a float64: a timestamp that far from the first one is damaged. */
export const MAX_TIME = Number.MAX_SAFE_INTEGER;

const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/** One buffer for the chunks of all lanes, so that the decoding loop has one set of arrays for all of them. */
export class ChunkSpace {
  readonly words: Int32Array;
  /** The same words unsigned, for timestamps: `>>> 0` of a word would be a guess that the JIT must undo. */
  readonly unsigned: Uint32Array;
  readonly bytes: Uint8Array;
  /** The reading of the counter at ts = 0, as two u32. NaN so that the JIT takes them for doubles from the start. */
  epochHi = NaN;
  epochLo = NaN;
  /** The high word that timestamps have at present, and the time of the low word 0 under it. */
  high = NaN;
  highTime = NaN;

  constructor(bytes: number) {
    // The loop may look at a record's words before it knows that they are there.
    const buffer = new ArrayBuffer(bytes + MIN_CHUNK_BYTES);
    this.words = new Int32Array(buffer);
    this.unsigned = new Uint32Array(buffer);
    this.bytes = new Uint8Array(buffer);
  }

  setHigh(high: number): void {
    this.high = high;
    this.highTime = (high - this.epochHi) * TWO_32 - this.epochLo;
  }

  /** Time of the record at word `pos`, which has a timestamp: ticks since epoch. */
  time(pos: number): number {
    const high = this.unsigned[pos + 2]! - this.epochHi;
    return high * TWO_32 + (this.unsigned[pos + 1]! - this.epochLo);
  }
}

/**
 * One physical CPU's records: its windows, read one after another into a chunk of whole words. `words`
 * [pos, end) is what is left of the window (or the piece of it) that is being decoded. The decoding loop
 * (decode.ts) keeps these in locals and comes back here for everything rare.
 */
export class Lane {
  readonly cpu: number;
  pos = 0;
  end = 0;
  /** Time of the last record, ticks since epoch. NaN for the same reason as epochHi. */
  last = NaN;
  private readonly space: ChunkSpace;
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;
  /** The lane's chunk within the space, bytes. */
  private readonly from: number;
  private readonly capacity: number;
  /**
   * Bytes to fill now: grows to the capacity, so that the decoding loop meets the ends of chunks and windows
   * before the JIT compiles it. Code that was compiled without having seen them would be thrown away.
   */
  private room: number;
  private readonly input: ByteSource;
  private readonly index: WindowIndex;
  private readonly damage: Damage;
  /** The window to read from next, and how much of it has been read. */
  private window: number;
  private windowAt = 0;
  /** Pieces in the chunk: end as word index; file offset of the space's word 0 as the piece counts it. */
  private readonly segmentEnd: Uint32Array;
  private readonly segmentBase: Float64Array;
  private segments = 0;
  private segment = 0;
  /** Whether the last piece ends where its window does; all others do. */
  private lastEndsWindow = true;
  /** The piece behind which the file ends too early, where its window should end, and where the file does. */
  private cutSegment = -1;
  private cutWindowEnd = 0;
  private fileEnd: number;

  /** `chunkBytes` of `space` from byte `from` are the lane's; both multiples of 4. */
  constructor(
    input: ByteSource,
    index: WindowIndex,
    which: number,
    space: ChunkSpace,
    from: number,
    chunkBytes: number,
    damage: Damage,
  ) {
    const { cpu, first } = index.cpus[which]!;
    this.from = from;
    this.capacity = chunkBytes;
    const most = Math.min(MAX_SEGMENTS, this.capacity >>> 4);
    this.segmentEnd = new Uint32Array(most);
    this.segmentBase = new Float64Array(most);
    this.room = Math.min(this.capacity, FIRST_READ_BYTES);
    this.space = space;
    this.words = space.words;
    this.bytes = space.bytes;
    this.pos = this.end = from / 4;
    this.cpu = cpu;
    this.input = input;
    this.fileEnd = input.size;
    this.index = index;
    this.window = first;
    this.damage = damage;
  }

  /** Goes on to the next piece, keeping a record that the chunk cuts. False at the end of the CPU's records. */
  advance(): boolean {
    for (;;) {
      if (this.segment < this.segments && !this.endsWindow()) {
        const kept = this.end - this.pos;
        this.words.copyWithin(this.from / 4, this.pos, this.end);
        this.refill(kept);
        if (this.end > this.pos) return true;
        continue;
      }
      if (this.segment === this.cutSegment) this.reportCut(this.end, 'input ends inside a window');
      if (++this.segment < this.segments) {
        this.pos = this.segmentEnd[this.segment - 1]!;
        this.end = this.segmentEnd[this.segment]!;
      } else if (this.window === NO_WINDOW) {
        return false;
      } else {
        this.refill(0);
      }
      if (this.end > this.pos) return true;
    }
  }

  /**
   * The record at `pos` does not fit. If it goes on in the next chunk, reads that; if the file ends inside
   * it, reports that and ends the window. True if it is damage: its window ends inside it.
   */
  overrun(recordWords: number): boolean {
    if (!this.endsWindow()) {
      if (!this.advance()) this.pos = this.end;
      return false;
    }
    if (this.segment === this.cutSegment) {
      this.reportCut(this.pos, 'input ends inside a record', recordWords);
      this.pos = this.end;
      return false;
    }
    const got = `${(this.end - this.pos) * 4} bytes`;
    this.bad('a record runs over the end of its window', `${recordWords * 4} bytes`, got);
    return true;
  }

  /** Reports the record at `pos`. The rest of its window cannot be told into records: skips it. */
  bad(what: string, expected: string, got: string): void {
    this.damage.report('E_BAD_RECORD', this.fileOffset(this.pos), what, expected, got);
    if (!this.endsWindow()) {
      this.lastEndsWindow = true;
      this.nextWindow();
    }
    this.pos = this.end;
  }

  /** Leaves out whatever the CPU has from here on. */
  stop(): void {
    this.segments = this.segment + 1;
    this.lastEndsWindow = true;
    this.cutSegment = -1;
    this.window = NO_WINDOW;
  }

  /**
   * Whether the record at `pos`, whose time is more than STEP away from the one before, is to be believed:
   * the record after it must not contradict it. True as well if that is not in the chunk.
   */
  confirms(pos: number, time: number): boolean {
    if (time > MAX_TIME) return false;
    const after = this.timeAfter(pos);
    if (time > this.last) return !(after < time);
    return after < this.last - STEP;
  }

  reportTime(pos: number, what: string): void {
    const at = this.fileOffset(pos);
    if (!this.damage.isFirst(at)) return;
    const { epochHi, epochLo } = this.space;
    const last = BigInt(epochHi) * 0x1_0000_0000n + BigInt(epochLo) + BigInt(this.last);
    this.damage.report('E_BAD_RECORD', at, what, `about ${last}`, `${this.timestamp(pos)}`);
  }

  /**
   * Overwrites the timestamp of the record at `pos` with the time of the record before. False if that cannot be
   * written so that it reads the same: then this record must not be looked at again.
   */
  setTimeToLast(pos: number): boolean {
    const low = this.last + this.space.epochLo;
    this.words[pos + 1] = low % TWO_32;
    this.words[pos + 2] = this.space.epochHi + Math.floor(low / TWO_32);
    return this.space.time(pos) === this.last;
  }

  /** First two timestamps in the first chunk, absolute. Reads that chunk. */
  begin(): bigint[] {
    const found: bigint[] = [];
    if (!this.advance()) return found;
    const loaded = this.segmentEnd[this.segments - 1]!;
    for (let at = this.pos; at < loaded && found.length < 2;) {
      if (this.words[at]! < 0 && at + 3 <= loaded) found.push(this.timestamp(at));
      at += recordLength(this.words[at]!);
    }
    return found;
  }

  /** Sets the time that records before the first timestamp have. */
  start(first: number): void {
    this.last = first;
  }

  private timestamp(at: number): bigint {
    return BigInt(this.words[at + 2]! >>> 0) * 0x1_0000_0000n + BigInt(this.words[at + 1]! >>> 0);
  }

  /** Time of the next record that has one; NaN if there is none in the chunk. */
  private timeAfter(pos: number): number {
    const loaded = this.segmentEnd[this.segments - 1]!;
    for (let at = pos + recordLength(this.words[pos]!); at + 3 <= loaded;) {
      if (this.words[at]! < 0) {
        return this.space.time(at);
      }
      at += recordLength(this.words[at]!);
    }
    return NaN;
  }

  private endsWindow(): boolean {
    return this.segment < this.segments - 1 || this.lastEndsWindow;
  }

  private fileOffset(pos: number): number {
    return this.segmentBase[this.segment]! + pos * 4;
  }

  private nextWindow(): void {
    this.window = this.index.next[this.window]!;
    this.windowAt = 0;
  }

  private reportCut(pos: number, what: string, recordWords?: number): void {
    const at = this.fileOffset(pos);
    const expected = recordWords === undefined ? this.cutWindowEnd - at : recordWords * 4;
    this.damage.report('E_TRUNCATED', at, what, `${expected} bytes`, `${this.fileEnd - at}`);
  }

  /** Packs as much of the coming windows into the chunk as fits behind the `kept` words at its front. */
  private refill(kept: number): void {
    // Byte of the space up to which it is filled, and may be.
    let used = this.from + kept * 4;
    const room = this.from + this.room;
    this.segments = 0;
    this.segment = 0;
    this.cutSegment = -1;
    this.pos = this.from / 4;
    while (this.window !== NO_WINDOW && this.segments < this.segmentEnd.length && used < room) {
      const bytes = this.index.bytes[this.window]!;
      const at = this.index.offset[this.window]! + this.windowAt;
      const want = Math.min(bytes - this.windowAt, room - used);
      const got = want === 0 ? 0 : this.input.read(at, this.bytes.subarray(used, used + want));
      const whole = got - (got % 4);
      if (!LITTLE_ENDIAN) Buffer.from(this.bytes.buffer, used, whole).swap32();
      if (this.window === this.index.cut) {
        this.cutSegment = this.segments;
        this.cutWindowEnd = this.index.offset[this.window]! + this.index.cutBytes;
      }
      this.segmentBase[this.segments] = at - used;
      used += whole;
      this.segmentEnd[this.segments] = used / 4;
      this.segments++;
      this.windowAt += whole;
      this.lastEndsWindow = this.windowAt === bytes;
      if (got < want) {
        // The file was longer when it was opened.
        this.cutSegment = this.segments - 1;
        this.cutWindowEnd = this.index.offset[this.window]! + bytes;
        this.fileEnd = at + got;
        this.lastEndsWindow = true;
        this.window = NO_WINDOW;
      } else if (this.lastEndsWindow) {
        this.nextWindow();
      } else {
        break;
      }
    }
    this.room = Math.min(this.capacity, this.room * 2);
    if (this.cutSegment >= 0 && !this.lastEndsWindow) this.cutSegment = -1;
    this.end = this.segments === 0 ? this.pos : this.segmentEnd[0]!;
  }
}

/** Words of the record with that header. */
function recordLength(header: number): number {
  return 1 + ((header >>> 28) & 7) + ((header >>> 31) << 1);
}
