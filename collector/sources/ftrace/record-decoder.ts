import type { EventBatch } from '../../../trace/columns.ts';
import { K } from '../../../trace/events.ts';
import { NO_DOMID, NO_VCPU } from '../../../trace/ids.ts';
import { packIoreqInfo } from '../../../trace/ioreq.ts';
import type { StringTable } from '../../../trace/strings.ts';
import { QemuEventParser } from '../qemu/event-line.ts';
import { COLUMN, SHAPE, type EventBinding } from './binding.ts';
import { ByteStrings } from './byte-strings.ts';
import { DOMID_FIRST_RESERVED, irqfd, privcmd } from './dm-op.ts';
import { readHigh, readLow, refOffset, type FieldRef } from './field-ref.ts';
import { SLOT_REFS } from './slot-fields.ts';

/** IOCTL_EVTCHN_NOTIFY: linux include/uapi/xen/evtchn.h. */
const EVTCHN_NOTIFY = 0x44504;

/** GUEST_MAX_VCPUS on Arm (xen/include/public/arch-arm.h). */
const MAX_VCPUS = 128;
/** What holds a record: its bytes, and the text of the part of them that the record lies in. */
export interface RecordBytes {
  readonly view: DataView;
  readonly bytes: Buffer;
  /** Place in `bytes` of the first character of `latin1()`, one character a byte. */
  readonly textStart: number;
  latin1(): string;
}

/** Turns one ftrace record into rows, by the binding of its event. Holds no state between records. */
export class RecordDecoder {
  /** How many prints held each of QEMU's events; names by the same number in `qemuNames`. */
  readonly prints: number[] = [];
  /** Texts given to `marker` that are no event of QEMU's. */
  plainMarkers = 0;
  private readonly qemu: QemuEventParser;
  private readonly strings: StringTable;
  private readonly texts: ByteStrings;

  constructor(strings: StringTable) {
    this.strings = strings;
    this.qemu = new QemuEventParser(strings);
    this.texts = new ByteStrings(strings);
  }

  get qemuNames(): readonly string[] {
    return this.qemu.names;
  }

  /**
   * Appends the rows of the record of `length` bytes at `base`; `out` has room for binding.rows. False, and
   * no row, if the record contradicts its format.
   */
  decode(
    binding: EventBinding,
    source: RecordBytes,
    base: number,
    length: number,
    ts: number,
    cpu: number,
    out: EventBatch,
  ): boolean {
    if (length < binding.minBytes) return false;
    const view = source.view;
    const pid = readLow(view, base, binding.pid) | 0;
    switch (binding.shape) {
      case SHAPE.PLAIN: {
        const row = out.push(ts, binding.kind, cpu, NO_DOMID, NO_VCPU, pid);
        const steps = binding.steps;
        for (let s = 0; s < steps.length; s += 2) setColumn(out, row, steps[s]!, view, base, steps[s + 1]!);
        return true;
      }
      case SHAPE.EVTCHN_IOCTL:
        evtchnIoctl(binding, view, base, ts, cpu, pid, out);
        return true;
      case SHAPE.PRIVCMD:
        privcmd(binding, view, base, ts, cpu, pid, out);
        return true;
      case SHAPE.IOREQ_READ:
        if (binding.standsAlone) out.push(ts, K.DOM0_EVTCHN_READ, cpu, NO_DOMID, NO_VCPU, pid);
        slotRows(binding, view, base, ts, cpu, pid, 0, out);
        return true;
      case SHAPE.IOREQ_NOTIFY:
        this.ioreqNotify(binding, view, base, ts, cpu, pid, out);
        return true;
      case SHAPE.DM_IOREQ: {
        const row = out.push(ts, binding.kind, cpu, NO_DOMID, NO_VCPU, pid);
        ioreqColumns(out, row, view, base, binding.slots, 0, false);
        return true;
      }
      case SHAPE.PRINT:
        this.print(binding, source, base, length, ts, cpu, pid, out);
        return true;
      case SHAPE.IOEVENTFD:
        ioeventfd(binding, view, base, ts, cpu, pid, out);
        return true;
      case SHAPE.IRQFD:
        irqfd(binding, view, base, ts, cpu, pid, out);
        return true;
      case SHAPE.IRQ_ENTRY:
        return this.irqEntry(binding, view, source.bytes, base, length, ts, cpu, pid, out);
      default: {
        const row = out.push(ts, binding.kind, cpu, NO_DOMID, NO_VCPU, pid);
        out.arg0[row] = binding.nameId;
        return true;
      }
    }
  }

  private ioreqNotify(
    binding: EventBinding,
    view: DataView,
    base: number,
    ts: number,
    cpu: number,
    pid: number,
    out: EventBatch,
  ): void {
    const cmd = binding.refs[0]!;
    if (cmd < 0 || readLow(view, base, cmd) === EVTCHN_NOTIFY) {
      const port = readLow(view, base, binding.refs[1]!);
      slotRows(binding, view, base, ts, cpu, pid, port, out);
      if (!binding.standsAlone) return;
      const row = out.push(ts, K.DOM0_EVTCHN_NOTIFY, cpu, NO_DOMID, NO_VCPU, pid);
      out.arg1[row] = port;
    } else if (binding.standsAlone) {
      evtchnIoctl(binding, view, base, ts, cpu, pid, out);
    } else {
      // Another ioctl answers no ioreq: what was fetched with it means nothing.
      const row = out.push(ts, K.DOM0_OTHER, cpu, NO_DOMID, NO_VCPU, pid);
      out.arg0[row] = this.strings.intern(binding.name);
    }
  }

  /** Text of trace_marker: an event of QEMU's ftrace backend, or anything. */
  private print(
    binding: EventBinding,
    source: RecordBytes,
    base: number,
    length: number,
    ts: number,
    cpu: number,
    pid: number,
    out: EventBatch,
  ): void {
    const { bytes, textStart } = source;
    const start = base + binding.refs[0]!;
    const last = base + length;
    let end = start;
    while (end < last && bytes[end] !== 0) end++;
    while (end > start && isLineEnd(bytes[end - 1]!)) end--;
    // Events are ASCII: bytes are characters. Anything else only has to be told apart from them.
    if (this.qemuEvent(source.latin1(), start - textStart, end - textStart, out, ts, cpu, pid)) return;
    const row = out.push(ts, K.DOM0_MARKER, cpu, NO_DOMID, NO_VCPU, pid);
    out.arg0[row] = this.texts.intern(bytes, start, end);
  }

  /** Appends the row of a trace_marker text that is already a string (Latin-1: a character a byte). */
  marker(text: string, out: EventBatch, ts: number, cpu: number, pid: number): void {
    if (this.qemuEvent(text, 0, text.length, out, ts, cpu, pid)) return;
    const row = out.push(ts, K.DOM0_MARKER, cpu, NO_DOMID, NO_VCPU, pid);
    this.plainMarkers++;
    out.arg0[row] = this.strings.intern(Buffer.from(text, 'latin1').toString('utf8'));
  }

  private qemuEvent(
    text: string,
    start: number,
    end: number,
    out: EventBatch,
    ts: number,
    cpu: number,
    pid: number,
  ): boolean {
    const event = this.qemu.parse(text, start, end, out, ts, cpu, pid);
    if (event < 0) return false;
    while (this.prints.length <= event) this.prints.push(0);
    this.prints[event]!++;
    return true;
  }

  private irqEntry(
    binding: EventBinding,
    view: DataView,
    bytes: Buffer,
    base: number,
    length: number,
    ts: number,
    cpu: number,
    pid: number,
    out: EventBatch,
  ): boolean {
    const place = view.getUint32(base + refOffset(binding.refs[1]!), true);
    const start = (place & 0xffff) + binding.refs[2]!;
    const end = start + (place >>> 16);
    if (end > length) return false;
    const row = out.push(ts, binding.kind, cpu, NO_DOMID, NO_VCPU, pid);
    const irq = readLow(view, base, binding.refs[0]!);
    out.arg0[row] = irq;
    out.arg1[row] = this.texts.internLike(irq, bytes, base + start, base + end);
    return true;
  }
}

function isLineEnd(byte: number): boolean {
  return byte === 0x0a || byte === 0x0d;
}

function setColumn(
  out: EventBatch,
  row: number,
  column: number,
  view: DataView,
  base: number,
  ref: FieldRef,
): void {
  // Four or eight bytes, which nearly all fields have, start with their low half.
  const low =
    (ref & 12) === 0 || ref < 0 ? readLow(view, base, ref) : view.getUint32(base + (ref >> 5), true);
  switch (column) {
    case COLUMN.ADDR:
      out.addr[2 * row] = low;
      out.addr[2 * row + 1] = readHigh(view, base, ref);
      break;
    case COLUMN.DATA:
      out.data[2 * row] = low;
      out.data[2 * row + 1] = readHigh(view, base, ref);
      break;
    case COLUMN.ARG0:
      out.arg0[row] = low;
      break;
    case COLUMN.ARG1:
      out.arg1[row] = low;
      break;
    case COLUMN.ARG2:
      out.arg2[row] = low;
      break;
    case COLUMN.ARG3:
      out.arg3[row] = low;
      break;
    case COLUMN.DOMID:
      out.domid[row] = low;
      break;
    default:
      out.pid[row] = low;
  }
}

function evtchnIoctl(
  binding: EventBinding,
  view: DataView,
  base: number,
  ts: number,
  cpu: number,
  pid: number,
  out: EventBatch,
): void {
  const cmd = readLow(view, base, binding.refs[0]!);
  const argument = readLow(view, base, binding.refs[1]!);
  const notify = cmd === EVTCHN_NOTIFY;
  const kind = notify ? K.DOM0_EVTCHN_NOTIFY : K.DOM0_EVTCHN_IOCTL;
  const row = out.push(ts, kind, cpu, NO_DOMID, NO_VCPU, pid);
  if (!notify) out.arg0[row] = cmd;
  out.arg1[row] = argument;
}

/** The kernel's handler of the ioreq port of one vCPU: one row, with that vCPU's slot if it was fetched. */
function ioeventfd(
  binding: EventBinding,
  view: DataView,
  base: number,
  ts: number,
  cpu: number,
  pid: number,
  out: EventBatch,
): void {
  const { refs, slots } = binding;
  const vcpu = readLow(view, base, refs[0]!);
  const domid = refs[3]! < 0 ? NO_DOMID : readLow(view, base, refs[3]!);
  const known = vcpu < MAX_VCPUS;
  const row = out.push(
    ts,
    binding.kind,
    cpu,
    domid < DOMID_FIRST_RESERVED ? domid : NO_DOMID,
    known ? vcpu : NO_VCPU,
    pid,
  );
  if (known && vcpu * SLOT_REFS < slots.length) {
    ioreqColumns(out, row, view, base, slots, vcpu * SLOT_REFS, true);
  }
  out.arg1[row] = readLow(view, base, refs[1]!);
  out.arg2[row] = readLow(view, base, refs[2]!);
}

function slotRows(
  binding: EventBinding,
  view: DataView,
  base: number,
  ts: number,
  cpu: number,
  pid: number,
  port: number,
  out: EventBatch,
): void {
  const slots = binding.slots;
  for (let s = 0; s < slots.length; s += SLOT_REFS) {
    const row = out.push(ts, binding.kind, cpu, NO_DOMID, s / SLOT_REFS, pid);
    ioreqColumns(out, row, view, base, slots, s, true);
    out.arg2[row] = port;
  }
}

/** Byte 30 of struct ioreq: bits 0-3 state, bit 4 data_is_ptr, bit 5 dir. */
function ioreqColumns(
  out: EventBatch,
  row: number,
  view: DataView,
  base: number,
  refs: Int32Array,
  at: number,
  withState: boolean,
): void {
  setColumn(out, row, COLUMN.ADDR, view, base, refs[at]!);
  setColumn(out, row, COLUMN.DATA, view, base, refs[at + 1]!);
  const bits = readLow(view, base, refs[at + 4]!);
  const state = withState ? bits & 15 : 0;
  const size = readLow(view, base, refs[at + 2]!);
  const type = readLow(view, base, refs[at + 5]!);
  out.arg0[row] = packIoreqInfo(size, bits >>> 5, bits >>> 4, state, type);
  out.arg1[row] = readLow(view, base, refs[at + 3]!);
}
