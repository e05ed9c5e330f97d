import { K } from '../../trace/events.ts';
import { DIR_WRITE, IOREQ_STATE, IOREQ_TYPE, ioreqDir, ioreqState, ioreqType } from '../../trace/ioreq.ts';
import { SPAN_FLAG } from '../../trace/spans.ts';
import type { EventColumns } from '../../trace/columns.ts';
import type { Dom0Counts, Dom0IoreqSink, IoreqPorts, Wanted } from './dom0-record.ts';
import { D, D_WIDTH } from './dom0-record.ts';
import type { LogContents } from './log-contents.ts';

// Module constants: a loop over events must not look a property up for every row.
const {
  DM_IOREQ,
  DM_IOREQ_READ_DONE,
  DOM0_EVTCHN_IRQ,
  DOM0_EVTCHN_NOTIFY,
  DOM0_EVTCHN_READ,
  DOM0_EVTCHN_WRITE,
  DOM0_IOEVENTFD,
  DOM0_IOEVENTFD_RET,
  DOM0_IOREQ_ANSWERED,
} = K;

/** The kinds that tell of ioreqs. */
export const IOREQ_KINDS: readonly number[] = [
  DM_IOREQ,
  DM_IOREQ_READ_DONE,
  DOM0_EVTCHN_IRQ,
  DOM0_EVTCHN_NOTIFY,
  DOM0_EVTCHN_READ,
  DOM0_EVTCHN_WRITE,
  DOM0_IOEVENTFD,
  DOM0_IOEVENTFD_RET,
  DOM0_IOREQ_ANSWERED,
];
const CONTENT = [D.ADDR_LO, D.ADDR_HI, D.DATA_LO, D.INFO];
const NO_SLOT = -1;
const NO_LANE = -1;
const CPU_MASK = 1023;

/**
 * Dom0's side of every ioreq of one domain: event-channel interrupt → the device model reads its event
 * channel → (its own trace: service) → EVTCHN_NOTIFY. One record an answer, in order of answers on each vCPU.
 *
 * The device model's thread works on one ioreq at a time: what lies between its read() of a port and its
 * NOTIFY belongs to that port's vCPU (QEMU hw/xen/xen-hvm-common.c, cpu_handle_ioreq). A domain can have several
 * device models, each with a port of its own for every vCPU: what is open is kept by port (a lane).
 *
 * A kick that an ioeventfd answers never gets that far: evtchn_interrupt and the kernel's ioeventfd_interrupt both
 * run in the port's hard irq, on one CPU, and the second answers (linux drivers/xen/privcmd.c). The device model
 * only wakes up to unmask the port.
 */
export class Dom0Ioreqs {
  readonly counts: Dom0Counts = {
    interrupts: 0,
    answers: 0,
    inKernel: 0,
    traced: 0,
    serviced: 0,
    fetched: 0,
    wrongState: 0,
    cut: 0,
    elsewhere: 0,
  };
  private readonly laneOfPort: Int16Array;
  private readonly vcpuOfLane: number[] = [];
  private readonly pids: Int32Array;
  /** Open request by lane. */
  private readonly open: Float64Array;
  /** By thread: when it last read its event channel, and the lane whose ioreq it works on. */
  /** When the row is, that `row` is told of: as an argument each would be a number in memory of its own. */
  readonly now = new Float64Array(1);
  private readonly readAt: Float64Array;
  private readonly working: Int16Array;
  /** By thread: the device model's trace told of an ioreq before its port is known. */
  private readonly pending: Float64Array;
  private readonly answered: Uint8Array;
  private readonly told: Uint8Array;
  /** By lane: the Dom0 CPU of its evtchn_interrupt that the kernel's own handler has not followed yet, else -1. */
  private readonly irqCpu: Int32Array;
  /** By lane: its last ioreq was answered in the kernel. */
  private readonly byKernel: Uint8Array;
  /** By lane: when the kernel's handler began that has not returned yet, axis ns. */
  private readonly kernelSince: Float64Array;
  /** By Dom0 CPU: the lane that the kernel's handler looks at. */
  private readonly handling = new Int16Array(CPU_MASK + 1).fill(NO_LANE);
  /** By thread: answers, and ioreqs in its own trace. */
  private readonly answersBy: Float64Array;
  private readonly servicedBy: Float64Array;
  private seq = 0;
  private lastSlot = 0;
  private readonly answers: Dom0IoreqSink;
  private readonly sink: Dom0IoreqSink | undefined;
  private readonly log: LogContents | undefined;
  private readonly wanted: Wanted | undefined;

  /**
   * `answers` is told of every finished record, `sink` as soon as its content is known (times after that are NaN then).
   * `log`: contents for a trace whose Dom0 events hold none. `wanted`: of a recording of some devices (--device). One
   * probe reads the slots of all vCPUs, and fires for any of them: ioreqs of other devices come along, but not all.
   */
  constructor(
    vcpus: number,
    ports: IoreqPorts,
    answers: Dom0IoreqSink,
    sink?: Dom0IoreqSink,
    log?: LogContents,
    wanted?: Wanted,
  ) {
    this.sink = sink;
    this.log = log;
    this.wanted = wanted;
    this.answers = answers;
    let top = 0;
    for (const port of ports.vcpuOfPort.keys()) top = Math.max(top, port);
    this.laneOfPort = new Int16Array(top + 1).fill(NO_LANE);
    for (const [port, vcpu] of ports.vcpuOfPort) {
      if (vcpu < vcpus) this.laneOfPort[port] = this.vcpuOfLane.push(vcpu) - 1;
    }
    const lanes = this.vcpuOfLane.length;
    this.pids = Int32Array.from(ports.pids);
    this.open = new Float64Array(lanes * D_WIDTH).fill(NaN);
    this.readAt = new Float64Array(this.pids.length).fill(NaN);
    this.working = new Int16Array(this.pids.length).fill(NO_LANE);
    this.pending = new Float64Array(this.pids.length * D_WIDTH).fill(NaN);
    this.answered = new Uint8Array(lanes);
    this.told = new Uint8Array(lanes);
    this.irqCpu = new Int32Array(lanes).fill(-1);
    this.byKernel = new Uint8Array(lanes);
    this.kernelSince = new Float64Array(lanes).fill(NaN);
    this.answersBy = new Float64Array(this.pids.length);
    this.servicedBy = new Float64Array(this.pids.length);
  }

  /** Row `i` of `batch`, of kind `k` at `now[0]`, axis ns; kinds that are not of IOREQ_KINDS do nothing. */
  row(batch: EventColumns, i: number, k: number): void {
    switch (k) {
      case DOM0_EVTCHN_IRQ:
        this.interrupt(batch.arg1[i]!, batch.cpu[i]!);
        break;
      case DOM0_EVTCHN_READ:
        this.read(batch.pid[i]!);
        break;
      case DOM0_EVTCHN_WRITE:
        this.unmask(batch.pid[i]!, batch.arg1[i]!);
        break;
      case DM_IOREQ:
        this.service(batch, i);
        break;
      case DM_IOREQ_READ_DONE:
        this.readDone(batch, i);
        break;
      case DOM0_EVTCHN_NOTIFY:
        this.answer(batch.pid[i]!, batch.arg1[i]!);
        break;
      case DOM0_IOREQ_ANSWERED:
        this.fetched(batch, i);
        break;
      case DOM0_IOEVENTFD:
        this.kernelLooks(batch, i);
        break;
      case DOM0_IOEVENTFD_RET:
        this.kernelDone(batch.cpu[i]! & CPU_MASK, batch.data[2 * i]!);
        break;
      default:
    }
  }

  /**
   * Gives out the ioreqs that were answered before `time`. Held until then because the fetched content may
   * stand right behind the NOTIFY in the ring buffer.
   */
  settle(time: number): void {
    for (let l = 0; l < this.answered.length; l++) {
      if (this.answered[l] === 1 && this.answerOf(l) < time) this.emit(l);
    }
  }

  /**
   * When the kernel began to look at an ioreq of `vcpu` that it may or may not answer, axis ns; NaN if at none. The
   * guest can be on its way before the handler has returned: Dom0's vCPU may have to wait for its CPU in there.
   */
  kernelOpenSince(vcpu: number): number {
    let first = NaN;
    for (let l = 0; l < this.kernelSince.length; l++) {
      const since = this.kernelSince[l]!;
      if (this.vcpuOfLane[l] === vcpu && !Number.isNaN(since) && !(first <= since)) first = since;
    }
    return first;
  }

  /** Whether an ioreq of `vcpu` has interrupted Dom0 and is not answered yet. */
  isOpen(vcpu: number): boolean {
    return this.answered.some(
      (done, l) =>
        done === 0 && this.vcpuOfLane[l] === vcpu && !Number.isNaN(this.open[l * D_WIDTH + D.IRQ]!),
    );
  }

  finish(): void {
    this.kernelSince.fill(NaN);
    for (let l = 0; l < this.answered.length; l++) {
      if (this.answered[l] === 1) this.emit(l);
      else if (!Number.isNaN(this.open[l * D_WIDTH + D.IRQ]!)) this.counts.cut++;
    }
    for (let slot = 0; slot < this.pids.length; slot++) {
      if (this.servicedBy[slot]! > 0) this.counts.traced += this.answersBy[slot]!;
    }
  }

  /** Address (low half) of the ioreq that thread `pid` works on; NaN if there is none or it is not known. */
  addressAt(pid: number): number {
    const slot = this.slotOf(pid);
    const lane = slot === NO_SLOT ? NO_LANE : this.working[slot]!;
    return lane === NO_LANE ? NaN : this.open[lane * D_WIDTH + D.ADDR_LO]!;
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

  private laneOf(port: number): number {
    return port < this.laneOfPort.length ? this.laneOfPort[port]! : NO_LANE;
  }

  private interrupt(port: number, cpu: number): void {
    const lane = this.laneOf(port);
    if (lane === NO_LANE) return;
    this.irqCpu[lane] = cpu;
    this.counts.interrupts++;
    this.release(lane);
    const at = lane * D_WIDTH;
    if (!Number.isNaN(this.open[at + D.IRQ]!)) this.counts.cut++;
    this.reset(lane);
    this.byKernel[lane] = 0;
    this.kernelSince[lane] = NaN;
    this.open[at + D.IRQ] = this.now[0]!;
  }

  /** A new ioreq of the lane's vCPU: what other device models answered for it before is complete. */
  private release(lane: number): void {
    const vcpu = this.vcpuOfLane[lane]!;
    for (;;) {
      let first = NO_LANE;
      for (let l = 0; l < this.answered.length; l++) {
        if (this.answered[l] === 0 || this.vcpuOfLane[l] !== vcpu) continue;
        if (first === NO_LANE || this.answerOf(l) < this.answerOf(first)) first = l;
      }
      if (first === NO_LANE) return;
      this.emit(first);
    }
  }

  private answerOf(lane: number): number {
    return this.open[lane * D_WIDTH + D.ANSWER]!;
  }

  /** The kernel's handler begins, in the hard irq of the port: behind evtchn_interrupt, where that is traced. */
  private kernelLooks(batch: EventColumns, i: number): void {
    const t = this.now[0]!;
    const cpu = batch.cpu[i]!;
    const port = batch.arg1[i]!;
    const lane = this.laneOf(port);
    this.handling[cpu & CPU_MASK] = NO_LANE;
    if (lane === NO_LANE) return;
    const at = lane * D_WIDTH;
    if (this.irqCpu[lane] !== cpu) this.interrupt(port, cpu);
    this.irqCpu[lane] = -1;
    // Woken on another CPU by evtchn_interrupt, the device model can have answered by now.
    if (this.answered[lane] === 1 || Number.isNaN(this.open[at + D.IRQ]!)) return;
    this.handling[cpu & CPU_MASK] = lane;
    this.open[at + D.ANSWER] = t;
    this.kernelSince[lane] = t;
    const info = batch.arg0[i]!;
    // What the guest asks: of a read the answer is still to come.
    if (ioreqState(info) !== IOREQ_STATE.READY) return;
    setContent(this.open, at, batch, i);
    // The eventfd is signalled before the handler returns: what it starts may show up before that.
    this.open[at + D.SEQ] = this.seq++;
    if (ioreqType(info) === IOREQ_TYPE.COPY && ioreqDir(info) === DIR_WRITE) this.tell(lane);
  }

  /** It returns: 1 = it answered; else the device model will. */
  private kernelDone(cpu: number, ret: number): void {
    const lane = this.handling[cpu]!;
    this.handling[cpu] = NO_LANE;
    if (lane === NO_LANE) return;
    const at = lane * D_WIDTH;
    this.kernelSince[lane] = NaN;
    if (this.answered[lane] === 1) return;
    if (ret !== 1) {
      this.open[at + D.ANSWER] = NaN;
      this.told[lane] = 0;
      return;
    }
    this.counts.answers++;
    this.counts.inKernel++;
    // Woken by evtchn_interrupt, the device model may have read its event channel already.
    this.open[at + D.READ] = NaN;
    for (let slot = 0; slot < this.working.length; slot++) {
      if (this.working[slot] === lane) this.working[slot] = NO_LANE;
    }
    if (Number.isNaN(this.open[at + D.SEQ]!)) this.open[at + D.SEQ] = this.seq++;
    this.answered[lane] = 1;
    this.byKernel[lane] = 1;
    if (!Number.isNaN(this.open[at + D.INFO]!)) this.tell(lane);
  }

  private read(pid: number): void {
    const slot = this.slotOf(pid);
    if (slot === NO_SLOT) return;
    // The thread is at its event channel again: what it answered before is complete.
    for (let l = 0; l < this.answered.length; l++) {
      if (this.answered[l] === 1 && this.open[l * D_WIDTH + D.PID] === pid) this.emit(l);
    }
    this.readAt[slot] = this.now[0]!;
  }

  private unmask(pid: number, port: number): void {
    const slot = this.slotOf(pid);
    const lane = this.laneOf(port);
    // Unmasked only: the kernel has answered that one.
    if (slot === NO_SLOT || lane === NO_LANE || this.byKernel[lane] === 1) return;
    this.take(slot, lane);
  }

  /** Thread `slot` now works on the ioreq of `lane`. */
  private take(slot: number, lane: number): void {
    this.release(lane);
    this.working[slot] = lane;
    const at = lane * D_WIDTH;
    if (Number.isNaN(this.open[at + D.READ]!)) this.open[at + D.READ] = this.readAt[slot]!;
    this.readAt[slot] = NaN;
    this.open[at + D.SEQ] = this.seq++;
  }

  private service(batch: EventColumns, i: number): void {
    const slot = this.slotOf(batch.pid[i]!);
    if (slot === NO_SLOT) return;
    const lane = this.working[slot]!;
    const known = lane !== NO_LANE && this.answered[lane] === 0;
    const record = known ? this.open : this.pending;
    const at = (known ? lane : slot) * D_WIDTH;
    // QEMU's uprobe and its own trace may both tell of it: the first is the instant, both the same ioreq.
    const again = !Number.isNaN(record[at + D.SERVICE]!);
    if (!again) {
      record[at + D.SERVICE] = this.now[0]!;
      this.counts.serviced++;
      this.servicedBy[slot]!++;
    }
    setContent(record, at, batch, i);
    if (known) this.tell(lane);
  }

  private readDone(batch: EventColumns, i: number): void {
    const slot = this.slotOf(batch.pid[i]!);
    if (slot === NO_SLOT) return;
    const lane = this.working[slot]!;
    if (lane !== NO_LANE && this.answered[lane] === 0)
      this.open[lane * D_WIDTH + D.DATA_LO] = batch.data[2 * i]!;
    else this.pending[slot * D_WIDTH + D.DATA_LO] = batch.data[2 * i]!;
  }

  private answer(pid: number, port: number): void {
    const t = this.now[0]!;
    const lane = this.laneOf(port);
    if (lane === NO_LANE) return;
    const slot = this.slotOf(pid);
    if (slot === NO_SLOT) return;
    const at = lane * D_WIDTH;
    if (this.answered[lane] === 1) this.emit(lane);
    if (this.working[slot] !== lane) this.take(slot, lane);
    const pending = slot * D_WIDTH;
    if (Number.isNaN(this.open[at + D.SERVICE]!) && !Number.isNaN(this.pending[pending + D.SERVICE]!)) {
      this.open[at + D.SERVICE] = this.pending[pending + D.SERVICE]!;
      for (const f of CONTENT) this.open[at + f] = this.pending[pending + f]!;
      this.tell(lane);
    }
    this.pending.fill(NaN, pending, pending + D_WIDTH);
    this.counts.answers++;
    this.answersBy[slot]!++;
    if (this.log?.next() === true) this.fromLog(this.log, at, t);
    this.open[at + D.ANSWER] = t;
    this.open[at + D.PID] = pid;
    this.answered[lane] = 1;
    this.working[slot] = NO_LANE;
    if (!Number.isNaN(this.open[at + D.INFO]!)) this.tell(lane);
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
    const lane = this.laneOf(batch.arg2[i]!);
    if (lane === NO_LANE || batch.vcpu[i] !== this.vcpuOfLane[lane]) return;
    if (ioreqState(batch.arg0[i]!) !== IOREQ_STATE.RESP_READY) {
      this.counts.wrongState++;
      return;
    }
    this.counts.fetched++;
    setContent(this.open, lane * D_WIDTH, batch, i);
    if (this.answered[lane] === 1) this.tell(lane);
  }

  /** Whether the open ioreq of `lane` is known to be of a device that was not to be recorded. */
  private isElsewhere(lane: number): boolean {
    if (this.wanted === undefined) return false;
    const at = lane * D_WIDTH;
    const info = this.open[at + D.INFO]!;
    if (Number.isNaN(info) || ioreqType(info) !== IOREQ_TYPE.COPY) return false;
    return !this.wanted(this.open[at + D.ADDR_LO]!, this.open[at + D.ADDR_HI]!);
  }

  /** Takes back what was counted of the answered ioreq of `lane`. */
  private leaveOut(lane: number): void {
    const { counts } = this;
    const at = lane * D_WIDTH;
    counts.elsewhere++;
    counts.answers--;
    if (this.byKernel[lane] === 1) counts.inKernel--;
    else {
      if (ioreqState(this.open[at + D.INFO]!) === IOREQ_STATE.RESP_READY) counts.fetched--;
      const slot = this.slotOf(this.open[at + D.PID]!);
      if (slot !== NO_SLOT) this.answersBy[slot]!--;
    }
    this.reset(lane);
  }

  private tell(lane: number): void {
    if (this.told[lane] === 1 || this.isElsewhere(lane)) return;
    this.told[lane] = 1;
    this.sink?.(this.vcpuOfLane[lane]!, this.open, lane * D_WIDTH);
  }

  private emit(lane: number): void {
    if (this.isElsewhere(lane)) {
      this.leaveOut(lane);
      return;
    }
    const at = lane * D_WIDTH;
    const open = this.open;
    const irq = open[at + D.IRQ]!;
    const read = open[at + D.READ]!;
    const answer = open[at + D.ANSWER]!;
    open[at + D.START] = Number.isNaN(irq) ? (Number.isNaN(read) ? answer : read) : irq;
    open[at + D.END] = answer;
    open[at + D.FLAGS] = this.byKernel[lane] === 1 ? SPAN_FLAG.KERNEL : 0;
    if (!Number.isNaN(open[at + D.INFO]!)) this.tell(lane);
    this.answers(this.vcpuOfLane[lane]!, open, at);
    this.reset(lane);
  }

  private reset(lane: number): void {
    this.answered[lane] = 0;
    this.told[lane] = 0;
    this.open.fill(NaN, lane * D_WIDTH, (lane + 1) * D_WIDTH);
  }
}

function setContent(record: Float64Array, at: number, batch: EventColumns, i: number): void {
  record[at + D.ADDR_LO] = batch.addr[2 * i]!;
  record[at + D.ADDR_HI] = batch.addr[2 * i + 1]!;
  record[at + D.DATA_LO] = batch.data[2 * i]!;
  record[at + D.INFO] = batch.arg0[i]!;
}
