import type { AxisLine } from '../../trace/axis.ts';
import { K } from '../../trace/events.ts';
import { IOREQ_STATE, ioreqState } from '../../trace/ioreq.ts';
import type { EventColumns } from '../../trace/columns.ts';
import type { LogContents } from './log-contents.ts';
import { RecordQueue } from './record-queue.ts';

// Module constants: a loop over events must not look a property up for every row.
const {
  DM_IOREQ,
  DM_IOREQ_READ_DONE,
  DOM0_EVTCHN_IRQ,
  DOM0_EVTCHN_NOTIFY,
  DOM0_EVTCHN_READ,
  DOM0_EVTCHN_WRITE,
  DOM0_IOREQ_ANSWERED,
} = K;

/** Fields of one ioreq as Dom0 and the device model saw it; times in trace-axis ns, NaN where not seen. */
export const D = {
  IRQ: 0,
  READ: 1,
  SERVICE: 2,
  ANSWER: 3,
  START: 4,
  END: 5,
  ADDR_LO: 6,
  ADDR_HI: 7,
  DATA_LO: 8,
  INFO: 9,
  FLAGS: 10,
  /** Running number over the domain, in the order in which the device model takes them up. */
  SEQ: 11,
  PID: 12,
} as const;
export const D_WIDTH = 13;
const CONTENT = [D.ADDR_LO, D.ADDR_HI, D.DATA_LO, D.INFO];

export interface Dom0Counts {
  /** Event-channel interrupts on the device model's ioreq ports. */
  interrupts: number;
  /** EVTCHN_NOTIFY by the device model on those ports: answers. */
  answers: number;
  /** Ioreqs in the device model's own trace (handle_ioreq). */
  serviced: number;
  /** Ioreqs whose content was fetched from the ioreq page at the answer (state RESP_READY). */
  fetched: number;
  /** Fetched slots whose state was not what it must be. */
  wrongState: number;
  cut: number;
}

/** What the scout found out about the device model: see scout.ts. */
export interface IoreqPorts {
  /** Thread ids that answer ioreqs. */
  pids: readonly number[];
  /** Local event-channel ports of ioreqs and the vCPU each stands for. */
  vcpuOfPort: ReadonlyMap<number, number>;
}

/** Called once an ioreq, as soon as its content is known, with the record at `at` (times after that are NaN). */
export type Dom0IoreqSink = (vcpu: number, record: Float64Array, at: number) => void;

const NO_SLOT = -1;

/**
 * Dom0's side of every ioreq of one domain: event-channel interrupt → the device model reads its event
 * channel → (its own trace: service) → EVTCHN_NOTIFY. One record an answer, in order of answers on each vCPU.
 *
 * The device model's thread works on one ioreq at a time: what lies between its read() of a port and its
 * NOTIFY belongs to that port's vCPU (QEMU hw/xen/xen-hvm-common.c, cpu_handle_ioreq).
 */
export class Dom0Ioreqs {
  readonly counts: Dom0Counts = { interrupts: 0, answers: 0, serviced: 0, fetched: 0, wrongState: 0, cut: 0 };
  readonly queues: RecordQueue[];
  private readonly vcpuOfPort: Int16Array;
  private readonly pids: Int32Array;
  /** Open request by vCPU. */
  private readonly open: Float64Array;
  /** By thread: when it last read its event channel, and the vCPU whose ioreq it works on. */
  private readonly readAt: Float64Array;
  private readonly working: Int16Array;
  /** By thread: the device model's trace told of an ioreq before its port is known. */
  private readonly pending: Float64Array;
  private readonly answered: Uint8Array;
  private readonly told: Uint8Array;
  private seq = 0;
  private lastSlot = 0;
  private readonly sink: Dom0IoreqSink | undefined;
  private readonly log: LogContents | undefined;

  /** `log`: contents for a trace whose Dom0 events hold none. */
  constructor(vcpus: number, ports: IoreqPorts, sink?: Dom0IoreqSink, log?: LogContents) {
    this.sink = sink;
    this.log = log;
    this.queues = Array.from({ length: vcpus }, () => new RecordQueue(D_WIDTH));
    let top = 0;
    for (const port of ports.vcpuOfPort.keys()) top = Math.max(top, port);
    this.vcpuOfPort = new Int16Array(top + 1).fill(-1);
    for (const [port, vcpu] of ports.vcpuOfPort) if (vcpu < vcpus) this.vcpuOfPort[port] = vcpu;
    this.pids = Int32Array.from(ports.pids);
    this.open = new Float64Array(vcpus * D_WIDTH).fill(NaN);
    this.readAt = new Float64Array(this.pids.length).fill(NaN);
    this.working = new Int16Array(this.pids.length).fill(-1);
    this.pending = new Float64Array(this.pids.length * D_WIDTH).fill(NaN);
    this.answered = new Uint8Array(vcpus);
    this.told = new Uint8Array(vcpus);
  }

  rows(batch: EventColumns, line: AxisLine, from: number, to: number): void {
    const { ts } = batch;
    const { scale, shift } = line;
    const kind = batch.kind;
    for (let i = from; i < to; i++) {
      const k = kind[i]!;
      if (k < DOM0_EVTCHN_IRQ || k > DM_IOREQ_READ_DONE) continue;
      switch (k) {
        case DOM0_EVTCHN_IRQ:
          this.interrupt(batch.arg1[i]!, ts[i]! * scale + shift);
          break;
        case DOM0_EVTCHN_READ:
          this.read(batch.pid[i]!, ts[i]! * scale + shift);
          break;
        case DOM0_EVTCHN_WRITE:
          this.unmask(batch.pid[i]!, batch.arg1[i]!);
          break;
        case DM_IOREQ:
          this.service(batch, i, ts[i]! * scale + shift);
          break;
        case DM_IOREQ_READ_DONE:
          this.readDone(batch, i);
          break;
        case DOM0_EVTCHN_NOTIFY:
          this.answer(batch.pid[i]!, batch.arg1[i]!, ts[i]! * scale + shift);
          break;
        case DOM0_IOREQ_ANSWERED:
          this.fetched(batch, i);
          break;
        default:
      }
    }
  }

  /**
   * Gives out the ioreqs that were answered before `time`. Held until then because the fetched content may
   * stand right behind the NOTIFY in the ring buffer.
   */
  settle(time: number): void {
    for (let v = 0; v < this.queues.length; v++) {
      if (this.answered[v] === 1 && this.open[v * D_WIDTH + D.ANSWER]! < time) this.emit(v);
    }
  }

  finish(): void {
    for (let v = 0; v < this.queues.length; v++) {
      if (this.answered[v] === 1) this.emit(v);
      else if (!Number.isNaN(this.open[v * D_WIDTH + D.IRQ]!)) this.counts.cut++;
    }
  }

  /** The vCPU whose ioreq thread `pid` works on, -1 if none; and its content, for the passes beside this one. */
  workingOn(pid: number): number {
    const slot = this.slotOf(pid);
    return slot === NO_SLOT ? -1 : this.working[slot]!;
  }

  /** Address (low half) of the ioreq open on `vcpu`; NaN if it is not known. */
  openAddress(vcpu: number): number {
    return this.open[vcpu * D_WIDTH + D.ADDR_LO]!;
  }

  private slotOf(pid: number): number {
    if (this.pids[this.lastSlot] === pid) return this.lastSlot;
    for (let s = 0; s < this.pids.length; s++) {
      if (this.pids[s] === pid) {
        this.lastSlot = s;
        return s;
      }
    }
    return NO_SLOT;
  }

  private vcpuOf(port: number): number {
    return port < this.vcpuOfPort.length ? this.vcpuOfPort[port]! : -1;
  }

  private interrupt(port: number, t: number): void {
    const v = this.vcpuOf(port);
    if (v < 0) return;
    this.counts.interrupts++;
    if (this.answered[v] === 1) this.emit(v);
    const at = v * D_WIDTH;
    if (!Number.isNaN(this.open[at + D.IRQ]!)) this.counts.cut++;
    this.reset(v);
    this.open[at + D.IRQ] = t;
  }

  private read(pid: number, t: number): void {
    const slot = this.slotOf(pid);
    if (slot === NO_SLOT) return;
    // The thread is at its event channel again: what it answered before is complete.
    for (let v = 0; v < this.queues.length; v++) {
      if (this.answered[v] === 1 && this.open[v * D_WIDTH + D.PID] === pid) this.emit(v);
    }
    this.readAt[slot] = t;
  }

  private unmask(pid: number, port: number): void {
    const slot = this.slotOf(pid);
    const v = this.vcpuOf(port);
    if (slot === NO_SLOT || v < 0) return;
    this.take(slot, v);
  }

  /** Thread `slot` now works on vCPU `v`. */
  private take(slot: number, v: number): void {
    if (this.answered[v] === 1) this.emit(v);
    this.working[slot] = v;
    const at = v * D_WIDTH;
    if (Number.isNaN(this.open[at + D.READ]!)) this.open[at + D.READ] = this.readAt[slot]!;
    this.readAt[slot] = NaN;
    this.open[at + D.SEQ] = this.seq++;
  }

  private service(batch: EventColumns, i: number, t: number): void {
    const slot = this.slotOf(batch.pid[i]!);
    if (slot === NO_SLOT) return;
    const v = this.working[slot]!;
    const known = v >= 0 && this.answered[v] === 0;
    const record = known ? this.open : this.pending;
    const at = (known ? v : slot) * D_WIDTH;
    // QEMU's uprobe and its own trace may both tell of it: the first is the instant, both the same ioreq.
    const again = !Number.isNaN(record[at + D.SERVICE]!);
    if (!again) {
      record[at + D.SERVICE] = t;
      this.counts.serviced++;
    }
    setContent(record, at, batch, i);
    if (known) this.tell(v);
  }

  private readDone(batch: EventColumns, i: number): void {
    const slot = this.slotOf(batch.pid[i]!);
    if (slot === NO_SLOT) return;
    const v = this.working[slot]!;
    if (v >= 0 && this.answered[v] === 0) this.open[v * D_WIDTH + D.DATA_LO] = batch.data[2 * i]!;
    else this.pending[slot * D_WIDTH + D.DATA_LO] = batch.data[2 * i]!;
  }

  private answer(pid: number, port: number, t: number): void {
    const v = this.vcpuOf(port);
    if (v < 0) return;
    const slot = this.slotOf(pid);
    if (slot === NO_SLOT) return;
    const at = v * D_WIDTH;
    if (this.answered[v] === 1) this.emit(v);
    if (this.working[slot] !== v) this.take(slot, v);
    const pending = slot * D_WIDTH;
    if (Number.isNaN(this.open[at + D.SERVICE]!) && !Number.isNaN(this.pending[pending + D.SERVICE]!)) {
      this.open[at + D.SERVICE] = this.pending[pending + D.SERVICE]!;
      for (const f of CONTENT) this.open[at + f] = this.pending[pending + f]!;
      this.tell(v);
    }
    this.pending.fill(NaN, pending, pending + D_WIDTH);
    this.counts.answers++;
    if (this.log?.next() === true) this.fromLog(this.log, at, t);
    this.open[at + D.ANSWER] = t;
    this.open[at + D.PID] = pid;
    this.answered[v] = 1;
    this.working[slot] = -1;
    if (!Number.isNaN(this.open[at + D.INFO]!)) this.tell(v);
  }

  private fromLog(log: LogContents, at: number, answer: number): void {
    if (Number.isNaN(this.open[at + D.SERVICE]!)) this.open[at + D.SERVICE] = this.logged(at, answer, log.at);
    if (log.timesOnly) return;
    this.open[at + D.ADDR_LO] = log.addrLo;
    this.open[at + D.ADDR_HI] = log.addrHi;
    this.open[at + D.DATA_LO] = log.dataLo;
    this.open[at + D.INFO] = log.info;
  }

  /**
   * When the ioreq at `at` was begun, by the log's clock. That is known to an error only; but it certainly was
   * after the device model took it up and before `answer`.
   */
  private logged(at: number, answer: number, stamp: number): number {
    if (Number.isNaN(stamp)) return NaN;
    const read = this.open[at + D.READ]!;
    const from = Number.isNaN(read) ? this.open[at + D.IRQ]! : read;
    return Math.min(answer, Number.isNaN(from) ? stamp : Math.max(from, stamp));
  }

  /** One slot of the ioreq page, read at the entry of the NOTIFY for port arg2. */
  private fetched(batch: EventColumns, i: number): void {
    const v = this.vcpuOf(batch.arg2[i]!);
    if (v < 0 || batch.vcpu[i] !== v) return;
    if (ioreqState(batch.arg0[i]!) !== IOREQ_STATE.RESP_READY) {
      this.counts.wrongState++;
      return;
    }
    this.counts.fetched++;
    setContent(this.open, v * D_WIDTH, batch, i);
    if (this.answered[v] === 1) this.tell(v);
  }

  private tell(v: number): void {
    if (this.told[v] === 1) return;
    this.told[v] = 1;
    this.sink?.(v, this.open, v * D_WIDTH);
  }

  private emit(v: number): void {
    const at = v * D_WIDTH;
    const open = this.open;
    const irq = open[at + D.IRQ]!;
    const read = open[at + D.READ]!;
    const answer = open[at + D.ANSWER]!;
    open[at + D.START] = Number.isNaN(irq) ? (Number.isNaN(read) ? answer : read) : irq;
    open[at + D.END] = answer;
    open[at + D.FLAGS] = 0;
    if (!Number.isNaN(open[at + D.INFO]!)) this.tell(v);
    this.queues[v]!.push(open, at);
    this.reset(v);
  }

  private reset(v: number): void {
    this.answered[v] = 0;
    this.told[v] = 0;
    this.open.fill(NaN, v * D_WIDTH, (v + 1) * D_WIDTH);
  }
}

function setContent(record: Float64Array, at: number, batch: EventColumns, i: number): void {
  record[at + D.ADDR_LO] = batch.addr[2 * i]!;
  record[at + D.ADDR_HI] = batch.addr[2 * i + 1]!;
  record[at + D.DATA_LO] = batch.data[2 * i]!;
  record[at + D.INFO] = batch.arg0[i]!;
}
