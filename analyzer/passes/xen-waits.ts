import type { AxisLine } from '../../trace/axis.ts';
import { K, RUNSTATE } from '../../trace/events.ts';
import { IOREQ_TYPE, ioreqType } from '../../trace/ioreq.ts';
import type { EventColumns } from '../../trace/columns.ts';
import { RecordQueue } from './record-queue.ts';

// Module constants: a loop over events must not look a property up for every row.
const { XEN_RUNSTATE, XEN_WAKE, ARM_S2_ABORT, ARM_S2_RESUME, ARM_IOREQ_SEND, ARM_IOREQ_DONE } = K;
const { RUNNING, OFFLINE } = RUNSTATE;

/** 1 for the kinds that this pass looks at. Hypervisor kinds are below 100; the mask keeps the index inside. */
const KIND_MASK = 511;
const WANTED = new Uint8Array(KIND_MASK + 1);
for (const k of [XEN_RUNSTATE, XEN_WAKE, ARM_S2_ABORT, ARM_S2_RESUME, ARM_IOREQ_SEND, ARM_IOREQ_DONE])
  WANTED[k] = 1;
const SELECT_ROWS = 1024;

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
} as const;
export const X_WIDTH = 14;
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
 * The hypervisor's side of every ioreq of one domain, a record each, in the order of their ends on each vCPU.
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
  private readonly domid: number;
  private readonly patched: boolean;
  private readonly open: Float64Array;
  /** Scratch of `select`. */
  private readonly ours = new Int32Array(SELECT_ROWS);

  constructor(domid: number, vcpus: number, patched: boolean) {
    this.domid = domid;
    this.patched = patched;
    this.queues = Array.from({ length: vcpus }, () => new RecordQueue(WIDTH));
    this.open = new Float64Array(vcpus * WIDTH).fill(NaN);
  }

  rows(batch: EventColumns, line: AxisLine, from: number, to: number): void {
    const { scale, shift } = line;
    const { kind, domid, vcpu, ts } = batch;
    const rows = this.ours;
    let begin = from;
    while (begin < to) {
      const end = Math.min(to, begin + rows.length);
      const n = this.select(kind, domid, begin, end);
      begin = end;
      for (let r = 0; r < n; r++) {
        const i = rows[r]!;
        const v = vcpu[i]!;
        if (v >= this.queues.length) continue;
        const t = ts[i]! * scale + shift;
        const k = kind[i]!;
        if (k === XEN_RUNSTATE) this.runstate(v, batch.arg0[i]!, batch.arg1[i]!, t);
        else if (k === XEN_WAKE) this.wake(v, t);
        else this.tracePoint(batch, i, k, v, t);
      }
    }
  }

  /**
   * Indices of the rows that concern the domain, into `ours`. Kinds and domains come in an order that no branch
   * predictor knows, so this loop has no branch: every index is written, and the next one over it if it is not
   * wanted.
   */
  private select(kind: Uint16Array, domid: Uint16Array, begin: number, end: number): number {
    const { ours, domid: domain } = this;
    let n = 0;
    for (let i = begin; i < end; i++) {
      ours[n] = i;
      n += WANTED[kind[i]! & KIND_MASK]! & +(domid[i] === domain);
    }
    return n;
  }

  /** Begin of the ioreq that is open on `vcpu`, axis ns; NaN if none is. */
  openSince(vcpu: number): number {
    const at = vcpu * WIDTH;
    if (!this.patched) return this.open[at + AT.OFFLINE]!;
    return Number.isNaN(this.open[at + AT.SEND]!)
      ? NaN
      : firstOf(this.open[at + AT.TRAP]!, this.open[at + AT.SEND]!);
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

  private runstate(v: number, old: number, now: number, t: number): void {
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
      } else if (!Number.isNaN(open[at + AT.SEND]!) && Number.isNaN(open[at + AT.OFFLINE]!)) {
        open[at + AT.OFFLINE] = t;
      }
      return;
    }
    if (Number.isNaN(open[at + AT.OFFLINE]!)) return;
    if (old === OFFLINE && Number.isNaN(open[at + AT.WAKE]!)) open[at + AT.WAKE] = t;
    if (now === RUNNING && Number.isNaN(open[at + AT.RUNNING]!)) {
      open[at + AT.RUNNING] = t;
      if (!this.patched) this.emit(v, AT.OFFLINE, t);
    }
  }

  private wake(v: number, t: number): void {
    const at = v * WIDTH;
    const begun = this.patched ? this.open[at + AT.SEND]! : this.open[at + AT.OFFLINE]!;
    if (!Number.isNaN(begun) && Number.isNaN(this.open[at + AT.WAKE]!)) this.open[at + AT.WAKE] = t;
  }

  private tracePoint(batch: EventColumns, i: number, kind: number, v: number, t: number): void {
    const at = v * WIDTH;
    const open = this.open;
    switch (kind) {
      case ARM_S2_ABORT:
        if (!Number.isNaN(open[at + AT.SEND]!)) this.counts.cut++;
        this.reset(at);
        open[at + AT.TRAP] = t;
        break;
      case ARM_IOREQ_SEND:
        this.counts.send++;
        // Two sends without a resume between: the end of the first was lost.
        if (!Number.isNaN(open[at + AT.SEND]!)) {
          this.counts.cut++;
          this.reset(at);
        }
        open[at + AT.SEND] = t;
        open[at + AT.ADDR_LO] = batch.addr[2 * i]!;
        open[at + AT.ADDR_HI] = batch.addr[2 * i + 1]!;
        open[at + AT.DATA_LO] = batch.data[2 * i]!;
        open[at + AT.INFO] = batch.arg0[i]!;
        break;
      case ARM_IOREQ_DONE:
        this.counts.done++;
        if (Number.isNaN(open[at + AT.SEND]!)) break;
        open[at + AT.DONE] = t;
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
        this.emit(v, AT.TRAP, t);
        break;
    }
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
