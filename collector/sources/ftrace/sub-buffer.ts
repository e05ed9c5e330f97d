import { TWO_32 } from '../../../trace/columns.ts';
import { isTraceError, TraceError } from '../../../trace/errors.ts';
import type { ByteSource } from '../../input/byte-source.ts';
import type { PageLayout } from './event-format.ts';
import type { RecordBytes } from './record-decoder.ts';

/** `lost` of a lane that stands on a record. */
export const NOT_LOST = -1;

const TYPE_DATA_LAST = 28;
const TYPE_PADDING = 29;
const TYPE_TIME_EXTEND = 30;

/** Flags of the commit word (linux kernel/trace/ring_buffer.c: RB_MISSED_EVENTS, RB_MISSED_STORED). */
const MISSED_EVENTS = 0x80000000;
const MISSED_STORED = 0x40000000;
const COMMIT_MASK = 0x3fffffff;

/** Furthest a time may lie from the epoch: float64 holds every integer up to there. */
const MAX_SPAN = 2 ** 53;

/**
 * Walks the ring-buffer pages of one CPU, record by record. Format: linux include/linux/ring_buffer.h,
 * kernel/trace/ring_buffer.c.
 *
 * After `next` gives true, `ts` is the record's time since the epoch and either `lost` is NOT_LOST and the
 * record lies in `bytes` at `at` with `length` bytes, or `lost` events were dropped at this point (0 = an
 * unknown number). After false there is no more; `error` says why if it is not the end of the input.
 */
export class PageLane implements RecordBytes {
  readonly cpu: number;
  readonly input: ByteSource;
  readonly view: DataView;
  readonly bytes: Buffer;
  ts = Infinity;
  at = 0;
  length = 0;
  lost = NOT_LOST;
  error: TraceError | undefined;

  private readonly layout: PageLayout;
  private readonly end: number;
  private epochHigh = 0;
  private epochLow = 0;
  /** Input offset of bytes[0], and how many bytes are there. */
  private chunkAt: number;
  private have = 0;
  /** The page at hand, and its text once it was asked for. */
  textStart = 0;
  private text: string | undefined;
  /** In `bytes`: the page after this one, the next record, the end of this page's records. */
  private nextPageAt = 0;
  private pos = 0;
  private dataEnd = 0;
  /** Offset in `bytes` at which the page should go on, if the input ends inside it. */
  private cut = false;
  /** Why reading stopped short: told once the records before it are given. */
  private broken: TraceError | undefined;
  private now = 0;
  /** Bits 59-63 of the current time in the high word: an absolute stamp does not carry them. */
  private topBits = 0;
  /** Losses stated by the page header, to be given before its records. */
  private pendingLoss = NOT_LOST;

  /** Pages are input[start, end); `chunkBytes` of them are held at a time. */
  constructor(
    cpu: number,
    input: ByteSource,
    layout: PageLayout,
    chunkBytes: number,
    start = 0,
    end = input.size,
  ) {
    this.cpu = cpu;
    this.input = input;
    this.layout = layout;
    this.end = end;
    this.chunkAt = start;
    const pages = Math.max(1, Math.floor(Math.min(chunkBytes, end - start) / layout.pageBytes));
    this.bytes = Buffer.alloc(pages * layout.pageBytes);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
  }

  /** Time stamp of the first page; undefined if there is none. Reads the first chunk. */
  firstTimestamp(): bigint | undefined {
    if (this.have === 0 && !this.refill()) return undefined;
    return this.have < 8 ? undefined : this.view.getBigUint64(0, true);
  }

  /** Times are given since `epoch` from here on. Call before the first `next`. */
  setEpoch(epoch: bigint): void {
    this.epochHigh = Number(epoch >> 32n);
    this.epochLow = Number(epoch & 0xffffffffn);
  }

  /** The page at hand as text: one native call serves all texts of the page. */
  latin1(): string {
    const { textStart, layout } = this;
    return (this.text ??= this.bytes.toString('latin1', textStart, textStart + layout.pageBytes));
  }

  next(): boolean {
    const view = this.view;
    this.lost = NOT_LOST;
    for (;;) {
      const pos = this.pos;
      if (pos >= this.dataEnd) {
        if (!this.nextPage()) return this.stop();
        if (this.pendingLoss === NOT_LOST) continue;
        this.lost = this.pendingLoss;
        this.pendingLoss = NOT_LOST;
        this.ts = this.now;
        return true;
      }
      if (pos + 4 > this.dataEnd) return this.stopCut(pos, 'an event header', 4);
      const head = view.getUint32(pos, true);
      const type = head & 31;
      const delta = head >>> 5;
      if (type !== 0 && type <= TYPE_DATA_LAST) {
        const length = type * 4;
        if (pos + 4 + length > this.dataEnd) return this.stopCut(pos, 'an event', 4 + length);
        this.now += delta;
        this.ts = this.now;
        this.at = pos + 4;
        this.length = length;
        this.pos = pos + 4 + length;
        return true;
      }
      if (type === TYPE_PADDING && delta === 0) {
        // The rest of the page holds nothing.
        this.pos = this.dataEnd;
        continue;
      }
      if (pos + 8 > this.dataEnd) return this.stopCut(pos, 'an event header', 8);
      const word = view.getUint32(pos + 4, true);
      if (type === 0 || type === TYPE_PADDING) {
        if (word < 4 || word % 4 !== 0) return this.stopBad(pos, 'event length is not plausible', word);
        if (pos + 4 + word > this.dataEnd) return this.stopCut(pos, 'an event', 4 + word);
        this.pos = pos + 4 + word;
        // A discarded event keeps its time; 1 stands for 0, which would void the page (rb_event_discard).
        if (type === 0 || delta !== 1) this.now += delta;
        if (type === TYPE_PADDING) continue;
        this.ts = this.now;
        this.at = pos + 8;
        this.length = word - 4;
        return true;
      }
      this.pos = pos + 8;
      if (type === TYPE_TIME_EXTEND) this.now += word * 134_217_728 + delta;
      else this.absolute(word, delta);
      if (!(Math.abs(this.now) < MAX_SPAN)) return this.stopBad(pos, 'time is not plausible', this.now);
      if (this.now < this.ts && this.ts !== Infinity)
        return this.stopBad(pos, 'time runs backwards', this.now);
    }
  }

  /** A 59-bit absolute time stamp: 27 low bits, then 32. */
  private absolute(word: number, delta: number): void {
    const low = ((word << 27) | delta) >>> 0;
    let high = ((word >>> 5) | this.topBits) >>> 0;
    let time = this.relative(high, low);
    if (time < this.now && this.now - time > MAX_SPAN) {
      // Bit 59 was carried since the page's time stamp.
      high = (high + 0x08000000) >>> 0;
      this.topBits = (high & 0xf8000000) >>> 0;
      time = this.relative(high, low);
    }
    this.now = time;
  }

  private relative(high: number, low: number): number {
    return (high - this.epochHigh) * TWO_32 + (low - this.epochLow);
  }

  /** Enters the next page that is there; false at the end of the input or at damage. */
  private nextPage(): boolean {
    if (this.cut) {
      this.fail('E_TRUNCATED', 'input ends inside a sub-buffer page', this.have, 'more bytes', 'the end');
      return false;
    }
    if (this.nextPageAt >= this.have && !this.refill()) return false;
    const { pageBytes, commitBytes, dataOffset } = this.layout;
    const view = this.view;
    const page = this.nextPageAt;
    const left = this.have - page;
    if (left < dataOffset) {
      this.fail('E_TRUNCATED', 'input ends inside a page header', page, `${dataOffset} bytes`, `${left}`);
      return false;
    }
    // Only the low word counts: with lost events the upper one may be a sign extension.
    const word = view.getUint32(page + 8, true);
    const commit = word & COMMIT_MASK;
    if (commit > pageBytes - dataOffset) {
      const most = `at most ${pageBytes - dataOffset}`;
      this.fail('E_BAD_RECORD', 'page states more data than it can hold', page + 8, most, `${commit}`);
      return false;
    }
    const end = page + dataOffset + commit;
    this.cut = left < pageBytes;
    this.nextPageAt = page + pageBytes;
    this.textStart = page;
    this.text = undefined;
    this.pos = page + dataOffset;
    this.dataEnd = Math.min(end, this.have);
    const missed = (word & MISSED_EVENTS) !== 0;
    if (commit === 0 && !missed) return true;
    return (
      this.enterTime(page) && (!missed || this.readLoss(page, end, (word & MISSED_STORED) !== 0, commitBytes))
    );
  }

  private enterTime(page: number): boolean {
    const low = this.view.getUint32(page, true);
    const high = this.view.getUint32(page + 4, true);
    const time = this.relative(high, low);
    const before = this.ts;
    this.topBits = (high & 0xf8000000) >>> 0;
    if (Math.abs(time) >= MAX_SPAN) {
      this.fail(
        'E_BAD_RECORD',
        'page time stamp is not plausible',
        page,
        'one near the first',
        `${time} later`,
      );
      return false;
    }
    // The ring buffer never lets a CPU's time run backwards (rb_reserve_next_event).
    if (before !== Infinity && time < before) {
      this.fail('E_BAD_RECORD', 'time runs backwards', page, `at least ${before}`, `${time} since the first`);
      return false;
    }
    this.now = time;
    return true;
  }

  private readLoss(page: number, end: number, stored: boolean, countBytes: number): boolean {
    this.at = page;
    this.pendingLoss = 0;
    if (!stored || end + countBytes > Math.min(this.nextPageAt, this.have)) return true;
    const low = this.view.getUint32(end, true);
    const high = countBytes === 8 ? this.view.getUint32(end + 4, true) : 0;
    this.pendingLoss = high * TWO_32 + low;
    return true;
  }

  private refill(): boolean {
    if (this.broken !== undefined) {
      this.error ??= this.broken;
      return false;
    }
    const at = this.chunkAt + this.have;
    this.chunkAt = at;
    this.have = 0;
    this.nextPageAt = 0;
    const want = Math.min(this.bytes.length, this.end - at);
    if (want <= 0) return false;
    try {
      while (this.have < want) {
        const got = this.input.read(at + this.have, this.bytes.subarray(this.have, want));
        if (got === 0) break;
        this.have += got;
      }
      if (this.have < want) {
        this.broken = new TraceError('E_TRUNCATED', 'input ends before its stated size', {
          source: this.input.name,
          offset: at + this.have,
          expected: `${this.end - at - this.have} more bytes`,
          got: 'the end',
        });
      }
    } catch (error) {
      if (!isTraceError(error)) throw error;
      this.broken = error;
    }
    if (this.have === 0) this.error ??= this.broken;
    return this.have > 0;
  }

  private stop(): boolean {
    this.ts = Infinity;
    this.lost = NOT_LOST;
    this.pos = this.dataEnd = this.nextPageAt = this.have;
    this.chunkAt = this.end - this.have;
    return false;
  }

  private stopCut(pos: number, what: string, size: number): boolean {
    const left = `${this.dataEnd - pos}`;
    if (this.cut) this.fail('E_TRUNCATED', `input ends inside ${what}`, pos, `${size} bytes`, left);
    else this.fail('E_BAD_RECORD', `${what} goes beyond its page's data`, pos, `${size} bytes`, left);
    return this.stop();
  }

  private stopBad(pos: number, what: string, got: number): boolean {
    this.fail('E_BAD_RECORD', what, pos, undefined, `${got}`);
    return this.stop();
  }

  /** Ends the lane: the record at hand cannot be what its format says. */
  reject(what: string, expected: string, got: string): void {
    this.fail('E_BAD_RECORD', what, this.at, expected, got);
    this.stop();
  }

  private fail(
    code: 'E_BAD_RECORD' | 'E_TRUNCATED',
    what: string,
    at: number,
    expected: string | undefined,
    got: string,
  ): void {
    if (code === 'E_TRUNCATED') this.error ??= this.broken;
    this.error ??= new TraceError(code, what, {
      source: this.input.name,
      offset: this.chunkAt + at,
      ...(expected === undefined ? {} : { expected }),
      got,
    });
  }
}
