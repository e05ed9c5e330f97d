import type { EventBatch } from '../../trace/columns.ts';
import { isTraceError, TraceError } from '../../trace/errors.ts';
import { K } from '../../trace/events.ts';
import { NO_CPU, NO_DOMID, NO_PID, NO_VCPU } from '../../trace/ids.ts';
import { StringTable } from '../../trace/strings.ts';
import type { ByteSource } from '../input/byte-source.ts';
import type { ProbeDefinitions } from './ftrace/probes.ts';
import { RecordDecoder } from './ftrace/record-decoder.ts';
import { isNoEvent, parseLost, parseOverwritten, TextLine } from './ftrace/text-line.ts';
import { TextProbes } from './ftrace/text-probes.ts';
import { TEXT_TRACEPOINTS } from './ftrace/text-tracepoints.ts';
import { addLoss } from './losses.ts';
import { LineBlocks } from './qemu/line-blocks.ts';
import { ReorderWindow } from './qemu/reorder.ts';
import {
  newReport,
  type DecodeReport,
  type EventDecoder,
  type RawFormat,
  type SourceClock,
} from './source.ts';

export const ftraceTextFormat: RawFormat = {
  name: 'ftrace-text',
  title: 'ftrace text (tracefs trace or trace_pipe, trace-cmd report)',
  sniff(head) {
    const text = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, 16_384)).toString('latin1');
    if (text.startsWith('# tracer: ')) return true;
    const lines = text.split('\n');
    if (head.length > 16_384) lines.pop();
    const line = new TextLine();
    const events = lines.filter((l) => !isNoEvent(l) && parseLost(l) === undefined);
    return events.length > 0 && events.slice(0, 20).every((l) => line.parse(l));
  },
};

export interface FtraceTextOptions {
  /** The trace_clock in force; the text does not tell. */
  clockName?: string;
  probes?: ProbeDefinitions;
  /** Bytes read at a time. */
  chunkBytes?: number;
}

const MAX_LINE = 64 * 1024;
/** Read ahead once, to learn the clock's resolution and which probes the source has. */
const LEARN_BYTES = 4 << 20;
/** Rows one line can become at most: every slot of an ioreq page, and the call itself. */
const MAX_ROWS = 129;

/**
 * The text of an ftrace buffer. Times are in microseconds (nanoseconds if printed with nine places, 'ticks'
 * if the clock is printed without a point). A line that is no event does not hide those behind it: all others
 * are decoded and the first such line is told, with how many there were.
 */
export class FtraceTextDecoder implements EventDecoder {
  readonly clock: SourceClock;
  readonly strings = new StringTable();
  readonly report: DecodeReport = newReport();
  private readonly source: string;
  private readonly blocks: LineBlocks;
  private readonly decoder = new RecordDecoder(this.strings);
  private readonly probes: TextProbes;
  private readonly line = new TextLine();
  private readonly window = new ReorderWindow();
  private readonly digits: number;
  private readonly unitsPerSecond: number;
  private epochSeconds = 0;
  private epochFraction = 0;
  private text = '';
  private at = 0;
  private textOffset = 0;
  private lineNumber = 0;
  private ended = false;
  private lastTs = 0;
  private readonly pendingLosses: { cpu: number; count: number }[] = [];
  private badLines = 0;
  private firstBad: { offset: number; line: number; text: string } | undefined;
  private failure: TraceError | undefined;

  constructor(input: ByteSource, options: FtraceTextOptions = {}) {
    this.source = input.name;
    this.blocks = new LineBlocks(input, MAX_LINE, options.chunkBytes);
    this.probes = new TextProbes(options.probes ?? [], this.strings, this.decoder);
    this.digits = this.learn(input);
    this.unitsPerSecond = this.digits === 0 ? 1 : 10 ** this.digits;
    const unit = this.digits === 9 ? 'ns' : this.digits === 6 ? 'us' : 'ticks';
    const hz = unit === 'ticks' ? {} : { hz: this.unitsPerSecond };
    const epoch = BigInt(this.epochSeconds) * BigInt(this.unitsPerSecond) + BigInt(this.epochFraction);
    this.clock = { name: options.clockName ?? 'unknown', unit, epoch, ...hz };
  }

  fill(out: EventBatch): boolean {
    const { window } = this;
    for (;;) {
      if (window.waiting) {
        window.moveTo(out);
        if (out.full) break;
      }
      if (this.ended && window.staging.length === 0) break;
      const { staging } = window;
      while (!this.ended && staging.capacity - staging.length > MAX_ROWS + this.pendingLosses.length) {
        this.readLine();
      }
      if (this.ended) this.placeLosses(this.lastTs);
      window.settle(this.ended);
    }
    const more = !this.ended || window.staging.length > 0;
    this.writeReport(!more);
    return more;
  }

  /** Looks at the first lines: gives the digits of the fraction and sets the epoch. */
  private learn(input: ByteSource): number {
    const head = Buffer.alloc(Math.min(LEARN_BYTES, input.size));
    let got = 0;
    try {
      got = input.read(0, head);
    } catch (error) {
      // Met again, and told, when the lines are read.
      if (!isTraceError(error)) throw error;
    }
    const seen = new Map<string, string>();
    let digits: number | undefined;
    for (const text of head.toString('latin1', 0, got).split('\n')) {
      if (text.length > MAX_LINE || !this.line.parse(text)) continue;
      if (digits === undefined) {
        digits = this.line.digits;
        this.epochSeconds = this.line.seconds;
        this.epochFraction = this.line.fraction;
      }
      if (!seen.has(this.line.event)) seen.set(this.line.event, this.line.body.trimStart());
    }
    this.probes.learn(seen);
    return digits ?? 6;
  }

  private readLine(): void {
    if (this.at >= this.text.length && !this.nextBlock()) return;
    const start = this.at;
    const end = this.text.indexOf('\n', start);
    this.at = end + 1;
    this.lineNumber++;
    const text = this.text.slice(start, end > start && this.text.charCodeAt(end - 1) === 13 ? end - 1 : end);
    if (end - start > MAX_LINE) {
      this.bad(start, text);
      return;
    }
    const lost = text.startsWith('CPU:') ? parseLost(text) : undefined;
    const overwritten = text.startsWith('#') ? parseOverwritten(text) : 0;
    if (lost !== undefined) this.pendingLosses.push(lost);
    else if (overwritten > 0) this.pendingLosses.push({ cpu: NO_CPU, count: overwritten });
    else if (!this.event(text) && !isNoEvent(text)) this.bad(start, text);
    // Hostile text of nothing but losses must not grow without bound.
    if (this.pendingLosses.length > 1024) this.placeLosses(this.lastTs);
  }

  private event(text: string): boolean {
    const { line, window } = this;
    if (text.startsWith('#') || !line.parse(text) || line.digits !== this.digits) return false;
    const ts =
      (line.seconds - this.epochSeconds) * this.unitsPerSecond + (line.fraction - this.epochFraction);
    this.placeLosses(ts);
    this.lastTs = ts;
    const { event, cpu, pid } = line;
    // trace-cmd report lines the texts up in a column.
    const body = event === 'tracing_mark_write' ? line.body : line.body.trimStart();
    const rows = window.staging;
    if (event === 'tracing_mark_write') {
      this.decoder.marker(body, rows, ts, cpu, pid);
    } else if (event === 'print') {
      this.decoder.marker(body.replace(/^\S+: /, ''), rows, ts, cpu, pid);
    } else {
      const tracepoint = Object.hasOwn(TEXT_TRACEPOINTS, event) ? TEXT_TRACEPOINTS[event] : undefined;
      const done =
        tracepoint === undefined
          ? this.probes.append(event, body, rows, ts, cpu, pid)
          : tracepoint(body, rows, ts, cpu, pid, this.strings);
      if (!done) return false;
      this.report.byName.set(event, (this.report.byName.get(event) ?? 0) + 1);
      this.report.records++;
      return true;
    }
    this.report.records++;
    return true;
  }

  private placeLosses(ts: number): void {
    for (const { cpu, count } of this.pendingLosses) {
      const row = this.window.staging.push(ts, K.DOM0_LOST, cpu, NO_DOMID, NO_VCPU, NO_PID);
      this.window.staging.arg0[row] = Math.min(count, 0xffffffff);
      addLoss(this.report.losses, cpu === NO_CPU ? { count, ts } : { cpu, count, ts });
    }
    this.pendingLosses.length = 0;
  }

  private nextBlock(): boolean {
    if (this.blocks.ended) {
      this.ended = true;
      return false;
    }
    try {
      const got = this.blocks.next();
      const bytes = this.blocks.bytes;
      this.textOffset = this.blocks.offset;
      this.text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
      this.at = 0;
      if (got === 'block') return this.text.length > 0;
      if (got === 'long') this.cut('E_BAD_RECORD', 'line is too long', `at most ${MAX_LINE} bytes`, 'more');
      // tracefs ends every line; what has no end may lack a part that cannot be told.
      else if (bytes.length > 0) this.cut('E_TRUNCATED', 'input ends inside a line', 'a line end', 'the end');
    } catch (error) {
      if (!isTraceError(error)) throw error;
      this.failure = error;
    }
    this.text = '';
    this.ended = true;
    return false;
  }

  private cut(code: 'E_BAD_RECORD' | 'E_TRUNCATED', what: string, expected: string, got: string): void {
    this.failure = new TraceError(code, what, {
      source: this.source,
      offset: this.textOffset,
      expected,
      got,
    });
  }

  private bad(at: number, text: string): void {
    this.badLines++;
    this.firstBad ??= { offset: this.textOffset + at, line: this.lineNumber, text: text.slice(0, 80) };
  }

  private writeReport(atEnd: boolean): void {
    const { prints, qemuNames } = this.decoder;
    const { byName, errors } = this.report;
    prints.forEach((count, event) => {
      if (count > 0) byName.set(`print:${qemuNames[event] ?? ''}`, count);
    });
    const plain = this.decoder.plainMarkers;
    if (plain > 0) byName.set('print', plain);
    if (!atEnd || errors.length > 0) return;
    const bad = this.firstBad;
    if (bad === undefined) {
      if (this.failure !== undefined) errors.push(this.failure);
      return;
    }
    const more = this.badLines > 1 ? ` (the first of ${this.badLines} such lines)` : '';
    errors.push(
      new TraceError('E_BAD_RECORD', `line ${bad.line} is no ftrace event${more}`, {
        source: this.source,
        offset: bad.offset,
        expected: 'TASK-PID [CPU] FLAGS TIME: EVENT: FIELDS',
        got: JSON.stringify(bad.text),
      }),
    );
  }
}
