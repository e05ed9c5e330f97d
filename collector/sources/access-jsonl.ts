import type { EventBatch } from '../../trace/columns.ts';
import { isTraceError, TraceError } from '../../trace/errors.ts';
import { EVENT } from '../../trace/events.ts';
import { NO_CPU, NO_DOMID, NO_PID } from '../../trace/ids.ts';
import { DIR_READ, DIR_WRITE, IOREQ_TYPE, packIoreqInfo } from '../../trace/ioreq.ts';
import { REC_TAG, RecordingBatch } from '../../trace/recording.ts';
import { StringTable } from '../../trace/strings.ts';
import type { ByteSource } from '../input/byte-source.ts';
import { LineFault } from './access-jsonl/json-scan.ts';
import { AccessLine } from './access-jsonl/record.ts';
import { LineBlocks } from './qemu/line-blocks.ts';
import { newReport, type EventDecoder, type RawFormat, type SourceClock } from './source.ts';

export const accessJsonlFormat: RawFormat = {
  name: 'access-jsonl',
  title: 'recorded accesses and guest memory (JSON lines)',
  sniff: (head) => SNIFF.test(Buffer.from(head.subarray(0, 4096)).toString('latin1')),
};

/** A first line that is an object with a tag of the format near its start. */
const SNIFF = /^(?:\u00EF\u00BB\u00BF)?\s*\{[^\n]{0,400}?"t"\s*:\s*"[RWMNUXI]"/u;

/** Longest line: about 12 MiB of memory in one record. */
export const MAX_ACCESS_LINE = 16 * 1024 * 1024;
/** Payload at which a batch is handed over before it is full. */
const BATCH_BYTES = 8 * 1024 * 1024;
/** Unknown tags that are told apart, and how much of one is kept as its name. */
const MAX_TAGS = 256;
const MAX_TAG_CHARS = 64;
const OTHER_TAG = '(other tag)';

export interface AccessJsonlOptions {
  /** Gets every record without loss, in order, in batches that the decoder does not touch again. */
  recording?: (batch: RecordingBatch) => void;
  /** Bytes read at a time; for tests. */
  chunkBytes?: number;
}

/**
 * Recorded accesses as JSON lines (docs/ACCESS-JSONL.md). Rows are of the REC_* kinds, ts NaN; an X record
 * gives a row per queue in it. Decoding stops at the first line that is not a valid record, since a replay
 * cannot leave one out; the last line may lack its line end if it is whole.
 */
export class AccessJsonlDecoder implements EventDecoder {
  readonly clock: SourceClock = { name: 'none', unit: 'none', epoch: 0n };
  readonly strings = new StringTable();
  readonly report = newReport();
  private readonly source: string;
  private readonly blocks: LineBlocks;
  private readonly line = new AccessLine();
  private readonly sink: ((batch: RecordingBatch) => void) | undefined;
  private batch: RecordingBatch;
  private block: Uint8Array = new Uint8Array(0);
  private blockOffset = 0;
  private at = 0;
  private lineNumber = 0;
  private ended = false;
  private finished = false;
  /** Rows of the last X record that did not fit: from this index of line.used on. */
  private usedAt = 0;
  private usedRow = 0;

  constructor(input: ByteSource, options: AccessJsonlOptions = {}) {
    this.source = input.name;
    this.blocks = new LineBlocks(input, MAX_ACCESS_LINE, options.chunkBytes);
    this.sink = options.recording;
    this.batch = new RecordingBatch(this.sink === undefined ? 1 : undefined);
  }

  fill(out: EventBatch): boolean {
    while (!out.full) {
      if (this.usedAt < this.line.used.length) this.usedRows(out);
      else if (this.ended) break;
      else this.next(out);
    }
    const more = !this.ended || this.usedAt < this.line.used.length;
    if (!more && !this.finished) {
      this.finished = true;
      if (this.batch.length > 0) this.handOver();
    }
    return more;
  }

  private next(out: EventBatch): void {
    try {
      if (this.at >= this.block.length && !this.nextBlock()) return;
      const found = this.block.indexOf(LF, this.at);
      const end = found < 0 ? this.block.length : found;
      const start = this.at;
      this.at = end + 1;
      this.lineNumber++;
      if (end - start > MAX_ACCESS_LINE) throw this.tooLong(this.lineNumber, this.blockOffset + start);
      this.record(start, end, found < 0, out);
    } catch (error) {
      if (!isTraceError(error)) throw error;
      this.ended = true;
      this.line.used.length = 0;
      this.report.errors.push(error);
    }
  }

  private nextBlock(): boolean {
    if (this.blocks.ended) {
      this.ended = true;
      return false;
    }
    const state = this.blocks.next();
    this.block = this.blocks.bytes;
    this.blockOffset = this.blocks.offset;
    this.at = 0;
    if (state === 'long') throw this.tooLong(this.lineNumber + 1, this.blockOffset);
    return this.block.length > 0;
  }

  private record(start: number, end: number, isCut: boolean, out: EventBatch): void {
    const offset = this.blockOffset + start;
    const bytes = this.block.subarray(start, end);
    if (bytes.every((c) => c === 0x20 || c === 0x09 || c === 0x0d)) return;
    let text: string;
    try {
      text = utf8.decode(bytes);
    } catch {
      throw this.fault(isCut, offset, 'UTF-8 text', 'other bytes');
    }
    if (this.sink !== undefined && (this.batch.full || this.batch.byteLength > BATCH_BYTES)) this.handOver();
    if (this.sink === undefined) this.batch.clear();
    let row: number;
    try {
      row = this.line.parse(text, this.batch);
    } catch (error) {
      if (!(error instanceof LineFault)) throw error;
      const at = Math.min(error.at, text.length);
      const got = at === text.length ? 'the end of the line' : JSON.stringify(text.slice(at, at + 24));
      throw this.fault(isCut, offset + Buffer.byteLength(text.slice(0, at)), error.expected, got);
    }
    this.report.records++;
    this.count();
    this.rows(row, out);
  }

  private tooLong(line: number, offset: number): TraceError {
    return new TraceError('E_BAD_RECORD', `line ${line} is too long`, {
      source: this.source,
      offset,
      expected: `at most ${MAX_ACCESS_LINE} bytes`,
      got: 'more',
    });
  }

  private fault(isCut: boolean, offset: number, expected: string, got: string): TraceError {
    const code = isCut ? 'E_TRUNCATED' : 'E_BAD_RECORD';
    const what = isCut
      ? `input ends inside line ${this.lineNumber}`
      : `line ${this.lineNumber} is not a valid record`;
    return new TraceError(code, what, { source: this.source, offset, expected, got });
  }

  private count(): void {
    const { byName } = this.report;
    const tag = this.line.tag.slice(0, MAX_TAG_CHARS);
    const name = byName.has(tag) || byName.size < MAX_TAGS ? tag : OTHER_TAG;
    byName.set(name, (byName.get(name) ?? 0) + 1);
  }

  /** The event row of recording row `r`. */
  private rows(r: number, out: EventBatch): void {
    const { batch } = this;
    const tag = batch.tag[r]!;
    this.usedAt = 0;
    this.usedRow = r;
    if (tag === REC_TAG.USED) {
      this.usedRows(out);
      return;
    }
    // Nobody saw it happen: it is there for a replay alone.
    if (batch.rest[r]!.includes(SYNTHESISED)) return;
    const row = out.push(NaN, KIND[tag] ?? EVENT.REC_OTHER.id, NO_CPU, NO_DOMID, batch.vcpu[r]!, NO_PID);
    out.arg3[row] = batch.step[r]!;
    if (tag === REC_TAG.READ || tag === REC_TAG.WRITE) {
      const dir = tag === REC_TAG.READ ? DIR_READ : DIR_WRITE;
      out.arg0[row] = packIoreqInfo(batch.size[r]!, dir, 0, 0, IOREQ_TYPE.COPY);
      out.addr.set(batch.addr.subarray(2 * r, 2 * r + 2), 2 * row);
      out.data.set(batch.value.subarray(2 * r, 2 * r + 2), 2 * row);
    } else if (tag === REC_TAG.MEMORY) {
      out.addr.set(batch.addr.subarray(2 * r, 2 * r + 2), 2 * row);
      out.arg0[row] = batch.size[r]!;
    } else if (tag === REC_TAG.IRQ) {
      out.arg0[row] = batch.addr[2 * r]!;
      out.arg1[row] = batch.value[2 * r]!;
    } else if (tag === REC_TAG.OTHER) {
      out.arg0[row] = this.strings.intern(
        this.strings.list.length < MAX_TAGS ? this.line.tag.slice(0, MAX_TAG_CHARS) : OTHER_TAG,
      );
    } else {
      out.arg0[row] = batch.transport[r]!;
      out.arg1[row] = batch.queue[r]!;
      out.arg2[row] = batch.adv[r]!;
    }
  }

  /** One row a queue of an X record; stops when `out` is full and goes on in the next fill. */
  private usedRows(out: EventBatch): void {
    const { batch, usedRow } = this;
    for (; this.usedAt < this.line.used.length && !out.full; this.usedAt++) {
      const queue = this.line.used[this.usedAt]!;
      const row = out.push(NaN, EVENT.REC_USED.id, NO_CPU, NO_DOMID, batch.vcpu[usedRow]!, NO_PID);
      out.addr[2 * row] = queue.usedLo;
      out.addr[2 * row + 1] = queue.usedHi;
      out.arg0[row] = batch.transport[usedRow]!;
      out.arg1[row] = queue.queue;
      out.arg2[row] = queue.index;
      out.arg3[row] = batch.step[usedRow]!;
    }
  }

  private handOver(): void {
    this.sink?.(this.batch);
    this.batch = new RecordingBatch(this.sink === undefined ? 1 : undefined);
  }
}

/** Member of accesses that a recorder put together itself (docs/ACCESS-JSONL.md). */
const SYNTHESISED = '"synth":true';

const KIND: Readonly<Record<number, number>> = {
  [REC_TAG.READ]: EVENT.REC_READ.id,
  [REC_TAG.WRITE]: EVENT.REC_WRITE.id,
  [REC_TAG.MEMORY]: EVENT.REC_MEMORY.id,
  [REC_TAG.NOTIFY]: EVENT.REC_NOTIFY.id,
  [REC_TAG.KICK]: EVENT.REC_KICK.id,
  [REC_TAG.IRQ]: EVENT.REC_IRQ.id,
};

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });
const LF = 0x0a;
