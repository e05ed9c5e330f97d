import { TWO_32 } from '../../trace/columns.ts';
import { IOREQ_TYPE, ioreqDir, ioreqSize, ioreqType } from '../../trace/ioreq.ts';
import { DIR_UNKNOWN, NO_DEVICE, NO_KEY, SPAN_FLAG } from '../../trace/spans.ts';
import { REG_INTERRUPT_STATUS, REG_QUEUE_NOTIFY } from '../../trace/virtio-mmio.ts';
import type { DeviceMap } from './device-map.ts';
import { D, D_WIDTH } from './dom0-record.ts';
import type { LossWindows } from './loss-windows.ts';
import type { MmioMark } from './plans.ts';
import type { RecordQueue } from './record-queue.ts';
import type { RecordingEdges } from './recording-edges.ts';
import { SEEN } from './recording-edges.ts';
import type { SpanSink } from './span-sink.ts';
import { X, X_WIDTH } from './xen-waits.ts';

/** Told of every joined access: what interrupts and requests are made of. */
export interface AccessListener {
  /**
   * `guest` = first instant of the access on the clock the trace's plan promises (trap or deschedule; the Dom0
   * interrupt in a trace without a hypervisor), NaN if that was not seen; `seen` = first instant on any clock.
   * Both axis ns. `seq` is Dom0's number of the ioreq, -1 if it has none. `preempted` = VcpuStates.preempted of the
   * vCPU when it trapped, ns; NaN if that was not seen.
   */
  access(
    device: number,
    register: number,
    dir: number,
    value: number,
    guest: number,
    seen: number,
    seq: number,
    vcpu: number,
    preempted: number,
  ): void;
}

export interface JoinCounts {
  joined: number;
  xenOnly: number;
  dom0Only: number;
  /**
   * Of dom0Only: within the time that the hypervisor's records cover, and with none lost nearby. On unpatched
   * Xen that is an ioreq answered before its vCPU was descheduled.
   */
  early: number;
}

// As the module's own constants: the JIT does not take exported ones for constant.
const { ADDR_HI: X_ADDR_HI, ADDR_LO: X_ADDR_LO, DATA_LO: X_DATA_LO, END: X_END, INFO: X_INFO } = X;
const { OFFLINE: X_OFFLINE, PREEMPTED: X_PREEMPTED, SEND: X_SEND, START: X_START } = X;
const { ADDR_HI: D_ADDR_HI, ADDR_LO: D_ADDR_LO, DATA_LO: D_DATA_LO, END: D_END, FLAGS: D_FLAGS } = D;
const { INFO: D_INFO, SEQ: D_SEQ, START: D_START } = D;
/** A record of nothing seen, of either side. */
const NOTHING = new Float64Array(Math.max(X_WIDTH, D_WIDTH)).fill(NaN);

const XEN_FIELD: Partial<Record<MmioMark, number>> = {
  trap: X.TRAP,
  send: X.SEND,
  offline: X.OFFLINE,
  wake: X.WAKE,
  running: X.RUNNING,
  done: X.DONE,
  resume: X.RESUME,
};
/** Preemption in the stage that begins there. */
const LOST_FIELD: Readonly<Record<string, number>> = {
  trap: X.LOST_TRAP,
  running: X.LOST_RUNNING,
  done: X.LOST_DONE,
};
const DOM0_FIELD: Partial<Record<MmioMark, number>> = {
  dom0_irq: D.IRQ,
  dm_read: D.READ,
  service: D.SERVICE,
  answer: D.ANSWER,
};

/**
 * Joins the two sides of every ioreq, one to one, and writes MMIO spans.
 *
 * On each vCPU both sides are disjoint intervals in order of time, and Dom0's lies within Xen's up to the
 * error of the clocks. Heads that overlap are one ioreq, unless the next on either side overlaps more; a head
 * that lies wholly before the other's stands alone. `tolerance` (ns) covers the clock error and that Xen marks
 * the vCPU descheduled a little after the event was sent.
 */
export class MmioJoin {
  readonly counts: JoinCounts = { joined: 0, xenOnly: 0, dom0Only: 0, early: 0 };
  private readonly sink: SpanSink;
  private readonly xenField: Int8Array;
  private readonly dom0Field: Int8Array;
  private readonly lostField: Int8Array;
  private readonly devices: DeviceMap;
  private readonly losses: readonly LossWindows[];
  private readonly listener: AccessListener;
  private readonly hasXen: boolean;
  private readonly hasDom0: boolean;
  private readonly tolerance: number;
  private readonly xenCovers: readonly [number, number];
  private readonly dom0Covers: readonly [number, number];
  private readonly edges: RecordingEdges;
  private readonly totalFrom: number;
  private readonly totalTo: number;

  constructor(options: {
    sink: SpanSink;
    marks: readonly MmioMark[];
    devices: DeviceMap;
    losses: readonly LossWindows[];
    listener: AccessListener;
    hasXen: boolean;
    hasDom0: boolean;
    tolerance: number;
    /** First and last instant of each side's records, axis ns. */
    xenCovers: readonly [number, number];
    dom0Covers: readonly [number, number];
    edges: RecordingEdges;
  }) {
    this.sink = options.sink;
    this.xenField = Int8Array.from(options.marks, (m) => XEN_FIELD[m] ?? -1);
    this.dom0Field = Int8Array.from(options.marks, (m) => DOM0_FIELD[m] ?? -1);
    this.lostField = Int8Array.from(options.sink.plan.preempted, (from) => LOST_FIELD[from]!);
    this.devices = options.devices;
    this.losses = options.losses;
    this.listener = options.listener;
    this.hasXen = options.hasXen;
    this.hasDom0 = options.hasDom0;
    this.tolerance = options.tolerance;
    this.xenCovers = options.xenCovers;
    this.dom0Covers = options.dom0Covers;
    this.edges = options.edges;
    this.totalFrom = options.sink.plan.totalFrom;
    this.totalTo = options.sink.plan.totalTo;
  }

  /**
   * Joins what both sides have up to `watermark` (axis ns): both streams have been read up to it.
   * `xenOpenSince`: begin of the ioreq still open on Xen's side, NaN if none. Dom0's side ends with the answer,
   * Xen's only once the vCPU runs again, any time later: an answered ioreq has to wait for it. `kernelOpenSince`: the
   * same of Dom0's side, for an ioreq that the kernel is about to answer.
   */
  drain(
    vcpu: number,
    xen: RecordQueue,
    dom0: RecordQueue,
    watermark: number,
    xenOpenSince: number,
    kernelOpenSince: number,
  ): void {
    const tolerance = this.tolerance;
    for (;;) {
      const hasX = xen.length > 0;
      const hasD = dom0.length > 0;
      if (hasX && hasD) {
        const x = xen.values;
        const d = dom0.values;
        const xAt = xen.offset(0);
        const dAt = dom0.offset(0);
        const shared = overlap(x, xAt, d, dAt);
        if (x[xAt + X_END]! + tolerance < d[dAt + D_START]!) this.emit(vcpu, xen, undefined);
        else if (d[dAt + D_END]! + tolerance < x[xAt + X_START]!) this.emit(vcpu, undefined, dom0);
        else if (
          shared < 0 &&
          (xen.length < 2 || dom0.length < 2) &&
          // They meet only within the tolerance: their true partners may still be to come.
          Math.max(x[xAt + X_END]!, d[dAt + D_END]!) + tolerance >= watermark
        )
          return;
        else if (dom0.length > 1 && overlap(x, xAt, d, dom0.offset(1)) > shared)
          this.emit(vcpu, undefined, dom0);
        else if (xen.length > 1 && overlap(x, xen.offset(1), d, dAt) > shared)
          this.emit(vcpu, xen, undefined);
        else this.emit(vcpu, xen, dom0);
      } else if (hasX) {
        const end = xen.get(0, X.END) + tolerance;
        if (this.hasDom0 && (end >= watermark || kernelOpenSince <= end)) return;
        this.emit(vcpu, xen, undefined);
      } else if (hasD) {
        const end = dom0.get(0, D.END) + tolerance;
        if (this.hasXen && (end >= watermark || xenOpenSince <= end)) return;
        this.emit(vcpu, undefined, dom0);
      } else return;
    }
  }

  private emit(vcpu: number, xen: RecordQueue | undefined, dom0: RecordQueue | undefined): void {
    const { sink } = this;
    const c = sink.columns;
    const row = sink.row();
    let flags = 0;
    if (xen === undefined) this.counts.dom0Only++;
    else if (dom0 === undefined) this.counts.xenOnly++;
    else this.counts.joined++;
    if (this.hasXen && this.hasDom0 && (xen === undefined || dom0 === undefined))
      flags |= SPAN_FLAG.ONE_SIDED;
    // What a side does not have is NaN, as all that it did not see.
    const x = xen === undefined ? NOTHING : xen.values;
    const d = dom0 === undefined ? NOTHING : dom0.values;
    const xAt = xen === undefined ? 0 : xen.offset(0);
    const dAt = dom0 === undefined ? 0 : dom0.offset(0);

    const { at, preempted } = c;
    const { xenField, dom0Field, lostField } = this;
    let complete = true;
    for (let b = 0; b < xenField.length; b++) {
      const f = xenField[b]!;
      const time = f >= 0 ? x[xAt + f]! : d[dAt + dom0Field[b]!]!;
      at[b]![row] = time;
      if (Number.isNaN(time)) complete = false;
    }
    for (let p = 0; p < lostField.length; p++) preempted[p]![row] = x[xAt + lostField[p]!]!;
    if (!complete) flags |= SPAN_FLAG.INCOMPLETE;
    if (!Number.isNaN(x[xAt + X_SEND]!) && Number.isNaN(x[xAt + X_OFFLINE]!)) flags |= SPAN_FLAG.NO_WAIT;

    const start = firstNumber(x[xAt + X_START]!, d[dAt + D_START]!);
    const end = firstNumber(x[xAt + X_END]!, d[dAt + D_END]!);
    for (const windows of this.losses) if (windows.touches(start, end)) flags |= SPAN_FLAG.LOSS;
    if ((flags & SPAN_FLAG.LOSS) === 0) this.atEdge(vcpu, xen, dom0, start, end);

    // Dom0's content holds the value answered; the hypervisor's is what the guest sent.
    const dom0Told = !Number.isNaN(d[dAt + D_INFO]!);
    const info = dom0Told ? d[dAt + D_INFO]! : x[xAt + X_INFO]!;
    const told = !Number.isNaN(info);
    const value = dom0Told ? d[dAt + D_DATA_LO]! : told ? x[xAt + X_DATA_LO]! : NaN;
    let device: number = NO_DEVICE;
    let key: number = NO_KEY;
    let dir: number = DIR_UNKNOWN;
    let type = 255;
    if (told) {
      dir = ioreqDir(info);
      type = ioreqType(info);
      if (type === IOREQ_TYPE.INVALIDATE) flags |= SPAN_FLAG.INVALIDATE;
      else {
        const address = dom0Told
          ? d[dAt + D_ADDR_LO]! + d[dAt + D_ADDR_HI]! * TWO_32
          : x[xAt + X_ADDR_LO]! + x[xAt + X_ADDR_HI]! * TWO_32;
        device = this.devices.find(address);
        if (device !== NO_DEVICE) key = address - this.devices.devices[device]!.base;
      }
    }
    if (dom0 !== undefined) flags |= d[dAt + D_FLAGS]!;
    // Without a probe on the kernel's handler: a kick that it answered never reaches the device model.
    else if (this.hasDom0 && key === REG_QUEUE_NOTIFY) flags |= SPAN_FLAG.KERNEL;
    const data = Number.isNaN(value) ? 0 : value;
    c.start[row] = start;
    c.total[row] = at[this.totalTo]![row]! - at[this.totalFrom]![row]!;
    c.device[row] = device;
    c.key[row] = key;
    c.vcpu[row] = vcpu;
    c.dir[row] = dir;
    c.type[row] = type;
    c.flags[row] = flags;
    c.amount[row] = told ? ioreqSize(info) : 0;
    c.value[row] = data;
    c.group[row] = 0;

    if (xen === undefined && key === REG_INTERRUPT_STATUS && this.outsideXen(start, end))
      this.edges.statusReads++;
    if (device !== NO_DEVICE) {
      const seq = dom0 === undefined ? -1 : d[dAt + D_SEQ]!;
      const guest = this.hasXen && xen === undefined ? NaN : start;
      this.listener.access(device, key, dir, data >>> 0, guest, start, seq, vcpu, x[xAt + X_PREEMPTED]!);
    }
    if (xen !== undefined) xen.shift();
    if (dom0 !== undefined) dom0.shift();
    sink.commit();
  }

  private outsideXen(start: number, end: number): boolean {
    return this.hasXen && !within(this.xenCovers, start, end);
  }

  /** Tells what each side holds of an ioreq, and counts one that was answered early. */
  private atEdge(
    vcpu: number,
    xen: RecordQueue | undefined,
    dom0: RecordQueue | undefined,
    start: number,
    end: number,
  ): void {
    const outside =
      (xen === undefined && this.outsideXen(start, end)) ||
      (this.hasDom0 && dom0 === undefined && !within(this.dom0Covers, start, end));
    let seen = 0;
    if (xen !== undefined) {
      const x = xen.values;
      const at = xen.offset(0);
      if (!Number.isNaN(x[at + X_SEND]!)) seen |= SEEN.SEND;
      if (!Number.isNaN(x[at + X.DONE]!)) seen |= SEEN.DONE;
      if (!Number.isNaN(x[at + X_OFFLINE]!)) seen |= SEEN.OFFLINE;
    }
    if (dom0 !== undefined) {
      seen |= SEEN.ANSWER;
      if (!Number.isNaN(dom0.values[dom0.offset(0) + D.IRQ]!)) seen |= SEEN.IRQ;
    }
    const early = xen === undefined && !outside;
    // An early one leaves no wait: that is told apart, unless it may be one that had begun before the records.
    const begins = this.edges.add(vcpu, seen, outside);
    if (early && !begins) {
      this.counts.early++;
      this.edges.explained(vcpu, SEEN.OFFLINE);
    }
  }
}

function within([from, to]: readonly [number, number], start: number, end: number): boolean {
  return start >= from && end <= to;
}

/** Length in ns of what the records at `xAt` and `dAt` share; negative = distance apart. */
function overlap(x: Float64Array, xAt: number, d: Float64Array, dAt: number): number {
  return Math.min(x[xAt + X_END]!, d[dAt + D_END]!) - Math.max(x[xAt + X_START]!, d[dAt + D_START]!);
}

function firstNumber(a: number, b: number): number {
  return Number.isNaN(a) ? b : a;
}
