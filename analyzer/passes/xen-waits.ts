import { K, RUNSTATE } from '../../trace/events.ts';
import { IOREQ_TYPE, ioreqType } from '../../trace/ioreq.ts';
import type { EventColumns } from '../../trace/columns.ts';
import { RecordQueue } from './record-queue.ts';
import { SEEN } from './recording-edges.ts';
import type { VcpuStates } from './vcpu-states.ts';

// Module constants: a loop over events must not look a property up for every row.
const { ARM_S2_ABORT, ARM_S2_RESUME, ARM_IOREQ_SEND, ARM_IOREQ_DONE } = K;
const { RUNNING, OFFLINE } = RUNSTATE;

/** Fields of one ioreq as the hypervisor saw it; times in trace-axis ns, NaN where not seen. */
export const X = {
  TRAP: 0,
  SEND: 1,
  OFFLINE: 2,
  WAKE: 3,
  RUNNING: 4,
  DONE: 5,
  RESUME: 6,
  START: 7,
  END: 8,
  ADDR_LO: 9,
  ADDR_HI: 10,
  DATA_LO: 11,
  INFO: 12,
  /** SPAN_FLAG bits known on this side. */
  FLAGS: 13,
  /** Preemption of the vCPU, ns: trap to send, to done (from `running` if it waited), done to resume. */
  LOST_TRAP: 14,
  LOST_RUNNING: 15,
  LOST_DONE: 16,
  /** VcpuStates.preempted at the trap. */
  PREEMPTED: 17,
} as const;
export const X_WIDTH = 18;
// As the module's own constants: the JIT does not take exported ones for constant.
const AT = X;
const WIDTH = X_WIDTH;

export interface XenCounts {
  /** running → offline of the domain's vCPUs: one an ioreq, on any Xen. */
  offline: number;
  /** ARM_IOREQ_SEND and ARM_IOREQ_DONE of the domain: only with the trace points. */
  send: number;
  done: number;
  /** Aborts that Xen served itself (vGIC, vpl011 ...): no ioreq. */
  handledInXen: number;
  /** Ioreqs whose end was not seen: lost records or the end of the trace. */
  cut: number;
}

/**
 * The hypervisor's side of every ioreq of one domain, a record each, in the order of their ends on each vCPU; its rows
 * come from HypervisorEvents.
 *
 * With the Arm trace points: ABORT, SEND, (running→offline, WAKE, offline→runnable→running), DONE, RESUME; an
 * INVALIDATE is sent outside a trap and ends with DONE. Without them the wait alone shows, as
 * running→offline … offline→runnable→running (xen/common/sched/core.c picks offline, not blocked, for a vCPU
 * that waits on a Xen event channel).
 */
export class XenWaits {
  readonly counts: XenCounts = { offline: 0, send: 0, done: 0, handledInXen: 0, cut: 0 };
  /** Finished records by vCPU. */
  readonly queues: RecordQueue[];
  /** By vCPU: 1 if its first record is the end of an ioreq that had begun before the records. */
  readonly begunBefore: Uint8Array;
  /** By vCPU: 1 once the begin or the end of an ioreq was seen. */
  private readonly met: Uint8Array;
  private readonly patched: boolean;
  private readonly states: VcpuStates | undefined;
  private readonly open: Float64Array;
  /** VcpuStates.preempted at the last instant of the open ioreq. */
  private readonly marks: Float64Array;

  /** `states`: of the same vCPUs, told of every record before this pass; undefined if preemption cannot be seen. */
  constructor(vcpus: number, patched: boolean, states: VcpuStates | undefined) {
    this.patched = patched;
    this.states = states;
    this.queues = Array.from({ length: vcpus }, () => new RecordQueue(WIDTH));
    this.begunBefore = new Uint8Array(vcpus);
    this.met = new Uint8Array(vcpus);
    this.open = new Float64Array(vcpus * WIDTH).fill(NaN);
    this.marks = new Float64Array(vcpus).fill(NaN);
  }

  /** Begin of the ioreq that is open on `vcpu`, axis ns; NaN if none is. */
  openSince(vcpu: number): number {
    const at = vcpu * WIDTH;
    if (!this.patched) return this.open[at + AT.OFFLINE]!;
    return Number.isNaN(this.open[at + AT.SEND]!)
      ? NaN
      : firstOf(this.open[at + AT.TRAP]!, this.open[at + AT.SEND]!);
  }

  /** SEEN bits of the ioreq that is open on `vcpu`. */
  openSeen(vcpu: number): number {
    const at = vcpu * WIDTH;
    const has = (field: number, bit: number): number => (Number.isNaN(this.open[at + field]!) ? 0 : bit);
    if (!this.patched) return has(AT.OFFLINE, SEEN.OFFLINE);
    const sent = has(AT.SEND, SEEN.SEND);
    return sent === 0 ? 0 : sent | has(AT.DONE, SEEN.DONE);
  }

  /** Ends what is still open: counted, not given out. */
  finish(): void {
    for (let v = 0; v < this.queues.length; v++) {
      const at = v * WIDTH;
      const begun = this.patched ? this.open[at + AT.SEND]! : this.open[at + AT.OFFLINE]!;
      if (!Number.isNaN(begun)) this.counts.cut++;
      this.reset(at);
    }
  }

  runstate(v: number, old: number, now: number, t: number): void {
    const at = v * WIDTH;
    const open = this.open;
    if (now === OFFLINE && old === RUNNING) {
      this.counts.offline++;
      if (!this.patched) {
        if (!Number.isNaN(open[at + AT.OFFLINE]!)) {
          this.counts.cut++;
          this.reset(at);
        }
        open[at + AT.OFFLINE] = t;
      } else if (!Number.isNaN(open[at + AT.SEND]!) && Number.isNaN(open[at + AT.DONE]!)) {
        if (Number.isNaN(open[at + AT.OFFLINE]!)) open[at + AT.OFFLINE] = t;
        // Woken for nothing, it waits again: the wake that counts is the last one.
        open[at + AT.WAKE] = open[at + AT.RUNNING] = NaN;
      }
      return;
    }
    if (Number.isNaN(open[at + AT.OFFLINE]!)) return;
    if (old === OFFLINE && Number.isNaN(open[at + AT.WAKE]!)) open[at + AT.WAKE] = t;
    if (now === RUNNING && Number.isNaN(open[at + AT.RUNNING]!)) {
      open[at + AT.RUNNING] = t;
      if (this.patched) this.mark(v);
      else this.emit(v, AT.OFFLINE, t);
    }
  }

  wake(v: number, t: number): void {
    const at = v * WIDTH;
    const begun = this.patched ? this.open[at + AT.SEND]! : this.open[at + AT.OFFLINE]!;
    if (!Number.isNaN(begun) && Number.isNaN(this.open[at + AT.WAKE]!)) this.open[at + AT.WAKE] = t;
  }

  tracePoint(batch: EventColumns, i: number, kind: number, v: number, t: number): void {
    const at = v * WIDTH;
    const open = this.open;
    switch (kind) {
      case ARM_S2_ABORT:
        if (!Number.isNaN(open[at + AT.SEND]!)) this.counts.cut++;
        this.reset(at);
        open[at + AT.TRAP] = t;
        open[at + AT.PREEMPTED] = this.mark(v);
        break;
      case ARM_IOREQ_SEND:
        this.counts.send++;
        // Two sends without a resume between: the end of the first was lost.
        if (!Number.isNaN(open[at + AT.SEND]!)) {
          this.counts.cut++;
          this.reset(at);
        }
        this.met[v] = 1;
        open[at + AT.SEND] = t;
        open[at + AT.LOST_TRAP] = this.sinceMark(v);
        open[at + AT.ADDR_LO] = batch.addr[2 * i]!;
        open[at + AT.ADDR_HI] = batch.addr[2 * i + 1]!;
        open[at + AT.DATA_LO] = batch.data[2 * i]!;
        open[at + AT.INFO] = batch.arg0[i]!;
        break;
      case ARM_IOREQ_DONE:
        this.counts.done++;
        if (this.met[v] === 0) this.begunBefore[v] = 1;
        this.met[v] = 1;
        if (Number.isNaN(open[at + AT.SEND]!)) break;
        open[at + AT.DONE] = t;
        open[at + AT.LOST_RUNNING] = this.sinceMark(v);
        if (ioreqType(open[at + AT.INFO]!) === IOREQ_TYPE.INVALIDATE || Number.isNaN(open[at + AT.TRAP]!)) {
          this.emit(v, AT.SEND, t);
        }
        break;
      case ARM_S2_RESUME:
        if (Number.isNaN(open[at + AT.TRAP]!)) break;
        if (Number.isNaN(open[at + AT.SEND]!)) {
          this.counts.handledInXen++;
          this.reset(at);
          break;
        }
        open[at + AT.RESUME] = t;
        open[at + AT.LOST_DONE] = this.sinceMark(v);
        this.emit(v, AT.TRAP, t);
        break;
    }
  }

  /** An instant of the open ioreq: preemption is counted anew from here. Gives the vCPU's reading, ns. */
  private mark(v: number): number {
    const reading = this.states === undefined ? NaN : this.states.preempted[v]!;
    this.marks[v] = reading;
    return reading;
  }

  /** Preemption since the last instant, ns; NaN if there was none. */
  private sinceMark(v: number): number {
    const before = this.marks[v]!;
    return this.mark(v) - before;
  }

  private emit(v: number, start: number, end: number): void {
    const at = v * WIDTH;
    this.open[at + AT.START] = this.open[at + start]!;
    this.open[at + AT.END] = end;
    this.open[at + AT.FLAGS] = 0;
    this.queues[v]!.push(this.open, at);
    this.reset(at);
  }

  private reset(at: number): void {
    const { open } = this;
    for (let f = 0; f < WIDTH; f++) open[at + f] = NaN;
  }
}

function firstOf(a: number, b: number): number {
  return Number.isNaN(a) ? b : a;
}
