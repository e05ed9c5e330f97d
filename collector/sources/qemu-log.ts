import type { EventBatch } from '../../trace/columns.ts';
import { isTraceError, TraceError } from '../../trace/errors.ts';
import { NO_CPU, NO_PID } from '../../trace/ids.ts';
import { StringTable } from '../../trace/strings.ts';
import type { ByteSource } from '../input/byte-source.ts';
import { BAD_EVENT, QemuEventParser } from './qemu/event-line.ts';
import { LineBlocks } from './qemu/line-blocks.ts';
import { LogStamp } from './qemu/log-stamp.ts';
import { ReorderWindow } from './qemu/reorder.ts';
import { sniffQemuLog } from './qemu/sniff-log.ts';
import { newReport, type EventDecoder, type RawFormat, type SourceClock } from './source.ts';

export const qemuLogFormat: RawFormat = {
  name: 'qemu-log',
  title: "QEMU's trace events as text (trace backend log)",
  sniff: sniffQemuLog,
};

/** Longest line that is taken for text. QEMU's own lines are well below 1 KiB. */
export const MAX_LOG_LINE = 64 * 1024;
/** report.byName of lines that are no trace event: QEMU's warnings, guest errors, other -d output. */
export const OTHER_TEXT = '(other text)';

export interface QemuLogOptions {
  /** Bytes read at a time; for tests. */
  chunkBytes?: number;
}

/**
 * QEMU's log of trace events (`-trace file=F`, or `-d trace:PATTERN -D F`), one event a line; format of the
 * lines in qemu/event-line.ts, of the stamp before them in qemu/log-stamp.ts.
 *
 * Rows of stamped lines have ts in microseconds since the first stamp and pid = thread id. Lines without a
 * stamp have ts NaN and keep their place. Lines end with LF or CR LF. Text that is no event is counted.
 *
 * Damage: a line that has the name of a known event and not its arguments is left out, counted under
 * `(damaged) NAME`, and reported once, with the place of the first, after all whole lines: a line end is a
 * sure place to go on. Decoding stops at binary content, at a line over MAX_LOG_LINE, and at a last line
 * without an end: QEMU writes lines whole, so that line was cut, and its last number may be cut as well.
 */
export class QemuLogDecoder implements EventDecoder {
  readonly clock: SourceClock = { name: 'none', unit: 'none', epoch: 0n };
  readonly strings = new StringTable();
  readonly report = newReport();
  private readonly source: string;
  private readonly blocks: LineBlocks;
  private readonly parser: QemuEventParser;
  private readonly stamp = new LogStamp();
  private readonly window = new ReorderWindow();
  /** Records by the parser's event number since the last flush into report.byName. */
  private readonly counts: number[] = [];
  private other = 0;
  private epochSec = 0;
  private epochUsec = 0;
  /** Block being read: text[at, text.length) is still to come; character i is input byte textOffset + i. */
  private text = '';
  private at = 0;
  private textOffset = 0;
  private ended = false;
  private error: TraceError | undefined;
  private damaged = 0;
  private firstDamage: { offset: number; line: string } | undefined;

  constructor(input: ByteSource, options: QemuLogOptions = {}) {
    this.source = input.name;
    this.blocks = new LineBlocks(input, MAX_LOG_LINE, options.chunkBytes);
    this.parser = new QemuEventParser(this.strings);
  }

  fill(out: EventBatch): boolean {
    const { window } = this;
    for (;;) {
      if (window.waiting) {
        window.moveTo(out);
        if (out.full) break;
      }
      if (this.ended && window.staging.length === 0) break;
      while (!this.ended && !window.staging.full) this.readLine();
      window.settle(this.ended);
    }
    this.flushCounts();
    const more = !this.ended || window.staging.length > 0;
    if (!more) this.finish();
    return more;
  }

  private readLine(): void {
    if (this.at >= this.text.length && !this.nextBlock()) return;
    const start = this.at;
    const lineEnd = this.text.indexOf('\n', start);
    this.at = lineEnd + 1;
    if (lineEnd - start > MAX_LOG_LINE) {
      this.stop(tooLong(this.source, this.textOffset + start));
      return;
    }
    const end = lineEnd > start && this.text.charCodeAt(lineEnd - 1) === CR ? lineEnd - 1 : lineEnd;
    this.line(start, end);
  }

  private line(start: number, end: number): void {
    const { text, stamp } = this;
    const eventAt = stamp.read(text, start, end);
    const stamped = eventAt > start;
    const ts = stamped ? this.timeOf() : NaN;
    const pid = stamped && stamp.tid >= 0 ? stamp.tid : NO_PID;
    const id = this.parser.parse(text, eventAt, end, this.window.staging, ts, NO_CPU, pid);
    if (id >= 0) {
      this.counts[id] = (this.counts[id] ?? 0) + 1;
      this.report.records++;
      if (stamped && this.clock.unit === 'none') this.startClock();
    } else if (id === BAD_EVENT && !this.isBinary(start, end)) {
      this.damage(start, eventAt, end);
    } else if (id !== BAD_EVENT && !this.isBinary(start, end) && end > start) {
      this.other++;
      this.report.records++;
    }
  }

  /** Microseconds since the epoch; 0 for the first stamped event, which becomes the epoch. */
  private timeOf(): number {
    if (this.clock.unit === 'none') return 0;
    return (this.stamp.sec - this.epochSec) * 1e6 + (this.stamp.usec - this.epochUsec);
  }

  private startClock(): void {
    this.epochSec = this.stamp.sec;
    this.epochUsec = this.stamp.usec;
    this.clock.name = 'realtime';
    this.clock.unit = 'us';
    this.clock.epoch = BigInt(this.epochSec) * 1_000_000n + BigInt(this.epochUsec);
    this.clock.hz = 1e6;
  }

  /** Stops at the first byte of the line that no text has (control characters but tab, ESC and the like). */
  private isBinary(start: number, end: number): boolean {
    for (let i = start; i < end; i++) {
      const c = this.text.charCodeAt(i);
      if (c < 0x20 && (c < 0x07 || c > 0x0d) && c !== 0x1b) {
        this.stop(
          new TraceError('E_BAD_RECORD', 'binary content in a text log', {
            source: this.source,
            offset: this.textOffset + i,
            expected: 'text',
            got: `byte 0x${c.toString(16).padStart(2, '0')}`,
          }),
        );
        return true;
      }
    }
    return false;
  }

  private damage(start: number, eventAt: number, end: number): void {
    this.damaged++;
    const line = this.text.slice(eventAt, Math.min(end, eventAt + 120));
    this.firstDamage ??= { offset: this.textOffset + start, line };
    const name = `(damaged) ${line.split(' ', 1)[0] ?? ''}`;
    this.report.byName.set(name, (this.report.byName.get(name) ?? 0) + 1);
  }

  private nextBlock(): boolean {
    try {
      const state = this.blocks.next();
      this.textOffset = this.blocks.offset;
      this.at = 0;
      if (state === 'block') {
        const { bytes } = this.blocks;
        this.text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
        return true;
      }
      this.text = '';
      if (state === 'long') this.stop(tooLong(this.source, this.textOffset));
      else if (this.blocks.bytes.length > 0)
        this.stop(cutLine(this.source, this.textOffset, this.blocks.bytes));
      this.ended = true;
    } catch (error) {
      if (!isTraceError(error)) throw error;
      this.stop(error);
    }
    return false;
  }

  private stop(error: TraceError): void {
    this.ended = true;
    this.error ??= error;
  }

  private flushCounts(): void {
    const { byName } = this.report;
    this.counts.forEach((count, id) => {
      const name = this.parser.names[id] ?? '';
      if (count > 0) byName.set(name, (byName.get(name) ?? 0) + count);
      this.counts[id] = 0;
    });
    if (this.other > 0) byName.set(OTHER_TEXT, (byName.get(OTHER_TEXT) ?? 0) + this.other);
    this.other = 0;
  }

  /** One error an input: damaged lines come before whatever ended it. */
  private finish(): void {
    if (this.report.errors.length > 0) return;
    if (this.firstDamage !== undefined) {
      const { offset, line } = this.firstDamage;
      const many = this.damaged === 1 ? 'a trace event is' : `${this.damaged} trace events are`;
      this.report.errors.push(
        new TraceError('E_BAD_RECORD', `${many} damaged and left out, the first one here`, {
          source: this.source,
          offset,
          expected: "the event's own format",
          got: JSON.stringify(line),
        }),
      );
    } else if (this.error !== undefined) {
      this.report.errors.push(this.error);
    }
  }
}

function tooLong(source: string, offset: number): TraceError {
  return new TraceError('E_BAD_RECORD', 'a line is too long for a log', {
    source,
    offset,
    expected: `a line end within ${MAX_LOG_LINE} bytes`,
    got: 'none',
  });
}

function cutLine(source: string, offset: number, rest: Uint8Array): TraceError {
  return new TraceError('E_TRUNCATED', 'input ends inside a line', {
    source,
    offset,
    expected: 'a line end',
    got: `${rest.length} bytes without one`,
  });
}

const CR = 0x0d;
