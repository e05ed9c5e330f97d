import type { EventBatch } from '../../trace/columns.ts';
import { isTraceError, TraceError } from '../../trace/errors.ts';
import { EVENT } from '../../trace/events.ts';
import { NO_CPU, NO_DOMID, NO_VCPU } from '../../trace/ids.ts';
import { StringTable } from '../../trace/strings.ts';
import type { ByteSource } from '../input/byte-source.ts';
import { ByteWindow } from './qemu/byte-window.ts';
import { QEMU_EVENTS } from './qemu/event-table.ts';
import { addLoss } from './losses.ts';
import { ReorderWindow } from './qemu/reorder.ts';
import { ScanArgs } from './qemu/scan.ts';
import { newReport, type EventDecoder, type RawFormat, type SourceClock } from './source.ts';

/*
 * The file of QEMU's trace backend `simple`, version 4. Source: trace/simple.c, scripts/simpletrace.py
 * (QEMU 7.2 to 10.0). Integers have the byte order of the host that wrote it.
 *   header   u64 ~0, u64 0xf2b177cb0aa429b4, u64 4
 *   item     u64 0 = name: u64 event id, u32 length, name
 *            u64 1 = event: u64 event id, u64 ns (CLOCK_MONOTONIC), u32 length with these 24 bytes, u32 pid,
 *            arguments: u64 each, a string as u32 length and its bytes
 *            event id ~0-1: records dropped, one u64, their number since the last such record
 */
const HEADER_BYTES = 24;
const MAGIC_HI = 0xf2b177cb;
const MAGIC_LO = 0x0aa429b4;
const VERSION = 4;
const TYPE_NAME = 0;
const TYPE_EVENT = 1;
const EVENT_HEADER = 24;
const ID_HI_DROPPED = 0xffffffff;
const ID_LO_DROPPED = 0xfffffffe;
/** QEMU's ring (TRACE_BUF_LEN): no record is longer. */
const MAX_RECORD = 256 * 1024;
const MAX_NAME = 512;
/** QEMU has about 5000 events. */
const MAX_EVENT_ID = 1 << 20;
const WINDOW_BYTES = 2 * MAX_RECORD;
/** More than twice the records that one ring can hold: the drop marker is stamped when the ring is written. */
const REORDER_ROWS = 32_768;
const DROPPED = 'dropped';

/** An event that the file named: `spec` is its number in QEMU_EVENTS, -1 if it is not there. */
interface NamedEvent {
  readonly name: string;
  readonly spec: number;
  string: number;
  count: number;
}

export const simpletraceFormat: RawFormat = {
  name: 'simpletrace',
  title: "QEMU's binary trace (trace backend simple)",
  sniff: (head) => byteOrder(head) !== undefined,
};

/** True for little-endian, false for big-endian, undefined if the header is not that of a simple trace. */
function byteOrder(head: Uint8Array): boolean | undefined {
  if (head.length < 16) return undefined;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  for (let i = 0; i < 8; i++) if (head[i] !== 0xff) return undefined;
  if (view.getUint32(8, true) === MAGIC_LO && view.getUint32(12, true) === MAGIC_HI) return true;
  if (view.getUint32(8) === MAGIC_HI && view.getUint32(12) === MAGIC_LO) return false;
  return undefined;
}

/**
 * Rows: ts in ns since the first event, pid = the process. The file holds no argument types; the arguments
 * of events in QEMU_EVENTS are known from there, all others become DM_OTHER. Threads may write slightly out
 * of time order; rows are put in order within a window of REORDER_ROWS / 2 rows.
 */
export class SimpletraceDecoder implements EventDecoder {
  readonly clock: SourceClock = { name: 'monotonic', unit: 'ns', epoch: 0n, hz: 1e9 };
  readonly strings = new StringTable();
  readonly report = newReport();
  private readonly source: string;
  private readonly size: number;
  private readonly bytes: ByteWindow;
  private readonly window = new ReorderWindow(REORDER_ROWS);
  private readonly events: (NamedEvent | undefined)[] = [];
  private readonly args = new ScanArgs();
  private readonly specs = new Map(QEMU_EVENTS.map((s, i) => [s.name, i]));
  private littleEndian = true;
  private started = false;
  private ended = false;
  private hasEpoch = false;
  private epochHi = 0;
  private epochLo = 0;

  constructor(input: ByteSource) {
    this.source = input.name;
    this.size = input.size;
    this.bytes = new ByteWindow(input, WINDOW_BYTES);
  }

  fill(out: EventBatch): boolean {
    const { window } = this;
    for (;;) {
      if (window.waiting) {
        window.moveTo(out);
        if (out.full) break;
      }
      if (this.ended && window.staging.length === 0) break;
      this.read();
      window.settle(this.ended);
    }
    this.flushCounts();
    return !this.ended || window.staging.length > 0;
  }

  /** Fills the reorder window. Any failure ends the input; rows before it stay. */
  private read(): void {
    try {
      if (!this.started) this.header();
      this.started = true;
      while (!this.ended && !this.window.staging.full) this.item();
    } catch (error) {
      if (!isTraceError(error)) throw error;
      this.ended = true;
      this.report.errors.push(error);
    }
  }

  private header(): void {
    this.need(HEADER_BYTES, 'the header');
    const order = byteOrder(this.bytes.bytes.subarray(this.bytes.pos, this.bytes.pos + HEADER_BYTES));
    if (order === undefined) {
      throw this.bad('not a simple trace', 'the magic number of QEMU simple traces', 'another', 0);
    }
    this.littleEndian = order;
    const version = this.u32(order ? 16 : 20);
    if (version !== VERSION || this.u32(order ? 20 : 16) !== 0) {
      throw new TraceError('E_UNSUPPORTED', 'unknown version of the simple trace format', {
        source: this.source,
        offset: 16,
        expected: `${VERSION}`,
        got: `${version}`,
      });
    }
    this.bytes.pos += HEADER_BYTES;
  }

  private item(): void {
    if (!this.bytes.need(1)) {
      this.ended = true;
      return;
    }
    this.need(8, 'a record');
    const type = this.lo(0);
    if (this.hi(0) !== 0 || (type !== TYPE_NAME && type !== TYPE_EVENT)) {
      throw this.bad('unknown type of record', '0 (name) or 1 (event)', hex(this.hi(0), type), 0);
    }
    if (type === TYPE_NAME) this.name();
    else this.event();
  }

  private name(): void {
    this.need(20, 'an event name');
    const id = this.lo(8);
    const length = this.u32(16);
    if (this.hi(8) !== 0 || id >= MAX_EVENT_ID) {
      throw this.bad('event id is not plausible', `below ${MAX_EVENT_ID}`, hex(this.hi(8), id), 8);
    }
    if (length === 0 || length > MAX_NAME) {
      throw this.bad('length of an event name is not plausible', `1 to ${MAX_NAME}`, `${length}`, 16);
    }
    this.need(20 + length, 'an event name');
    const at = this.bytes.pos + 20;
    const name = Buffer.from(this.bytes.bytes.subarray(at, at + length)).toString('latin1');
    if (!/^\w+$/u.test(name)) throw this.bad('not an event name', 'an identifier', JSON.stringify(name), 20);
    const old = this.events[id];
    if (old !== undefined) this.flushCount(old);
    this.events[id] = { name, spec: this.specs.get(name) ?? -1, string: -1, count: 0 };
    this.bytes.pos += 20 + length;
  }

  private event(): void {
    this.need(8 + EVENT_HEADER, 'an event');
    const length = this.u32(24);
    if (length < EVENT_HEADER || length > MAX_RECORD) {
      throw this.bad('length of an event', `${EVENT_HEADER} to ${MAX_RECORD}`, `${length}`, 24);
    }
    this.need(8 + length, 'an event');
    const ts = this.time();
    const pid = this.u32(28) | 0;
    if (this.hi(8) === ID_HI_DROPPED && this.lo(8) === ID_LO_DROPPED) this.dropped(ts, pid, length);
    else this.known(ts, pid, length);
    this.report.records++;
    this.bytes.pos += 8 + length;
  }

  private known(ts: number, pid: number, length: number): void {
    const id = this.lo(8);
    const event = this.hi(8) === 0 && id < MAX_EVENT_ID ? this.events[id] : undefined;
    if (event === undefined)
      throw this.bad('event without a name', 'a named event id', hex(this.hi(8), id), 8);
    const out = this.window.staging;
    const spec = event.spec < 0 ? undefined : QEMU_EVENTS[event.spec];
    if (spec === undefined) {
      const row = out.push(ts, EVENT.DM_OTHER.id, NO_CPU, NO_DOMID, NO_VCPU, pid);
      out.arg0[row] = this.stringOf(event);
    } else {
      const { args } = this;
      args.count = spec.format.args;
      if (length !== EVENT_HEADER + 8 * args.count) {
        const expected = `${EVENT_HEADER + 8 * args.count} bytes`;
        throw this.bad(`length of ${spec.name}`, expected, `${length}`, 24);
      }
      for (let i = 0; i < args.count; i++) {
        args.lo[i] = this.lo(8 + EVENT_HEADER + 8 * i);
        args.hi[i] = this.hi(8 + EVENT_HEADER + 8 * i);
      }
      if (spec.valid?.(args) === false) {
        throw this.bad(`arguments of ${spec.name}`, 'an ioreq or request that can be', 'none', 32);
      }
      const row = out.push(ts, spec.kind, NO_CPU, NO_DOMID, NO_VCPU, pid);
      spec.put(out, row, args);
      if (spec.kind === EVENT.DM_OTHER.id) out.arg0[row] = this.stringOf(event);
    }
    event.count++;
  }

  private dropped(ts: number, pid: number, length: number): void {
    if (length !== EVENT_HEADER + 8) {
      throw this.bad('length of a drop marker', `${EVENT_HEADER + 8}`, `${length}`, 24);
    }
    const count = this.hi(32) === 0 ? this.lo(32) : 0xffffffff;
    const out = this.window.staging;
    const row = out.push(ts, EVENT.DM_LOST.id, NO_CPU, NO_DOMID, NO_VCPU, pid);
    out.arg0[row] = count;
    addLoss(this.report.losses, { count, ts });
    this.report.byName.set(DROPPED, (this.report.byName.get(DROPPED) ?? 0) + 1);
  }

  /** ns since the first event; exact, as only differences below 2^53 are accepted. */
  private time(): number {
    const hi = this.hi(16);
    const lo = this.lo(16);
    if (!this.hasEpoch) {
      this.hasEpoch = true;
      this.epochHi = hi;
      this.epochLo = lo;
      this.clock.epoch = (BigInt(hi) << 32n) | BigInt(lo);
    }
    if (Math.abs(hi - this.epochHi) >= 0x1fffff) {
      throw this.bad('time is not plausible', 'within 2^53 ns of the first event', hex(hi, lo), 16);
    }
    return (hi - this.epochHi) * 0x100000000 + (lo - this.epochLo);
  }

  private stringOf(event: NamedEvent): number {
    if (event.string < 0) event.string = this.strings.intern(event.name);
    return event.string;
  }

  private flushCounts(): void {
    for (const event of this.events) if (event !== undefined) this.flushCount(event);
  }

  private flushCount(event: NamedEvent): void {
    if (event.count === 0) return;
    const { byName } = this.report;
    byName.set(event.name, (byName.get(event.name) ?? 0) + event.count);
    event.count = 0;
  }

  private need(count: number, what: string): void {
    if (this.bytes.need(count)) return;
    throw new TraceError('E_TRUNCATED', `input ends inside ${what}`, {
      source: this.source,
      offset: this.bytes.offset,
      expected: `${count} bytes`,
      got: `${this.bytes.held} (input has ${this.size})`,
    });
  }

  /** A contradiction `at` bytes behind the start of the record. */
  private bad(what: string, expected: string, got: string, at: number): TraceError {
    const offset = this.bytes.offset + at;
    return new TraceError('E_BAD_RECORD', what, { source: this.source, offset, expected, got });
  }

  private u32(at: number): number {
    return this.bytes.view.getUint32(this.bytes.pos + at, this.littleEndian);
  }

  /** Low and high half of the u64 `at` bytes behind the start of the record. */
  private lo(at: number): number {
    return this.u32(this.littleEndian ? at : at + 4);
  }

  private hi(at: number): number {
    return this.u32(this.littleEndian ? at + 4 : at);
  }
}

function hex(hi: number, lo: number): string {
  return `0x${hi.toString(16).padStart(8, '0')}${lo.toString(16).padStart(8, '0')}`;
}
