import type { AxisLine } from '../trace/axis.ts';
import type { EventColumns } from '../trace/columns.ts';
import { K, RUNSTATE } from '../trace/events.ts';
import { DOM0, DOMID_IDLE, NO_DOMID } from '../trace/ids.ts';
import { IOREQ_STATE, ioreqState } from '../trace/ioreq.ts';
import type { Manifest } from '../trace/manifest.ts';
import { LossWindows } from './passes/loss-windows.ts';
import { PortVotes } from './passes/port-votes.ts';
import type { TimedStream } from './streams.ts';
import { RowsLane, walk } from './streams.ts';

// Module constants: a loop over events must not look a property up for every row.
const {
  DM_IOREQ,
  DM_SET_IRQ,
  DOM0_EVTCHN_NOTIFY,
  DOM0_IOEVENTFD,
  DOM0_IOREQ_ANSWERED,
  DOM0_LOST,
  DOM0_SET_IRQ_LEVEL,
  XEN_LOST,
  XEN_RUNSTATE,
} = K;

/** Kinds are below 400 (events.ts); the mask keeps an index inside. */
const KIND_MASK = 511;
const CPU_MASK = 1023;
const SELECT_ROWS = 1024;
const XEN_WANTED = kindTable([XEN_LOST, XEN_RUNSTATE]);
const DOM0_WANTED = kindTable([DOM0_LOST, DOM0_EVTCHN_NOTIFY, DOM0_IOREQ_ANSWERED, DOM0_IOEVENTFD]);
/** Where the device model's threads are to be found out. */
const DOM0_WANTED_UNKNOWN = kindTable([
  DOM0_LOST,
  DOM0_EVTCHN_NOTIFY,
  DOM0_IOREQ_ANSWERED,
  DOM0_IOEVENTFD,
  DM_IOREQ,
  DM_SET_IRQ,
  DOM0_SET_IRQ_LEVEL,
]);

function kindTable(wanted: readonly number[]): Uint8Array {
  const table = new Uint8Array(KIND_MASK + 1);
  for (const k of wanted) table[k] = 1;
  return table;
}

/**
 * Indices of the rows in [begin, end) of wanted kinds, into `rows`. Without a branch, for kinds come in an order that
 * no predictor knows: every index is written, and the next one over it if it is not wanted.
 */
function select(wanted: Uint8Array, kind: Uint16Array, begin: number, end: number, rows: Int32Array): number {
  let n = 0;
  for (let i = begin; i < end; i++) {
    rows[n] = i;
    n += wanted[kind[i]! & KIND_MASK]!;
  }
  return n;
}

/** GUEST_MAX_VCPUS on Arm (xen/include/public/arch-arm.h). */
const MAX_VCPUS = 128;

/** What one look over the events tells before the passes run. */
export interface Scouted {
  domid: number | undefined;
  vcpus: number;
  /** Threads of the domain's device models that answer ioreqs. */
  pids: number[];
  vcpuOfPort: Map<number, number>;
  /** How the ports were tied to vCPUs: 'kernel' (ioeventfd), 'waits', 'slots', 'order', 'none'. */
  portsBy: string;
  /** EVTCHN_NOTIFYs on those ports. */
  answers: number;
  xenLosses: LossWindows;
  dom0Losses: LossWindows;
}

/** Finds the traced domain, its vCPUs, the device model's ioreq ports and where records were lost. */
export function scout(
  manifest: Manifest,
  xen: TimedStream | undefined,
  dom0: TimedStream | undefined,
  xenEpoch: bigint,
): Scouted {
  const domid = manifest.domid ?? busiestDomain(xen);
  const xenLosses = new LossWindows();
  const dom0Losses = new LossWindows();
  const votes = new PortVotes(MAX_VCPUS);
  const known = manifest.deviceModels.flatMap((m) => [m.pid, ...m.threads]);
  const discovered = new Set<number>();
  /** By Dom0 CPU: its event before, axis ns. Kept only if something was lost. */
  const lastOnCpu = new Float64Array(CPU_MASK + 1).fill(-Infinity);
  let vcpus = manifest.vcpus ?? 1;

  const rows = new Int32Array(SELECT_ROWS);
  const xenRow = (batch: EventColumns, i: number, t: number): void => {
    if (batch.kind[i] === XEN_LOST) {
      const first = (BigInt(batch.data[2 * i + 1]!) << 32n) | BigInt(batch.data[2 * i]!);
      const { scale, shift } = xen!.line;
      const begin = first === 0n ? -Infinity : Number(first - xenEpoch) * scale + shift;
      xenLosses.add(Math.min(begin, t), t);
    } else if (batch.domid[i] === domid) {
      const v = batch.vcpu[i]!;
      if (v >= MAX_VCPUS) return;
      if (v >= vcpus) vcpus = v + 1;
      if (batch.arg1[i] === RUNSTATE.OFFLINE) votes.waitBegins(v, t);
      else if (batch.arg0[i] === RUNSTATE.OFFLINE) votes.waitEnds(v, t);
    }
  };
  const xenRows = (batch: EventColumns, { scale, shift }: AxisLine, from: number, to: number): void => {
    const { ts, kind } = batch;
    for (let begin = from; begin < to; begin += SELECT_ROWS) {
      const n = select(XEN_WANTED, kind, begin, Math.min(to, begin + SELECT_ROWS), rows);
      for (let r = 0; r < n; r++) xenRow(batch, rows[r]!, ts[rows[r]!]! * scale + shift);
    }
  };
  const dom0Row = (batch: EventColumns, i: number, t: number): void => {
    switch (batch.kind[i]) {
      case DOM0_LOST:
        dom0Losses.add(lastOnCpu[batch.cpu[i]! & CPU_MASK]!, t);
        break;
      case DOM0_EVTCHN_NOTIFY:
        votes.notify(batch.pid[i]!, batch.arg1[i]!, t);
        break;
      case DOM0_IOREQ_ANSWERED:
        if (ioreqState(batch.arg0[i]!) === IOREQ_STATE.RESP_READY) votes.slot(batch.arg2[i]!, batch.vcpu[i]!);
        if (batch.vcpu[i]! >= vcpus && ioreqState(batch.arg0[i]!) !== 0)
          vcpus = Math.min(MAX_VCPUS, batch.vcpu[i]! + 1);
        break;
      case DOM0_IOEVENTFD: {
        const d = batch.domid[i]!;
        if (d === NO_DOMID || domid === undefined || d === domid)
          votes.told(batch.arg1[i]!, batch.vcpu[i]!, d !== NO_DOMID && d === domid);
        if (d === domid && batch.vcpu[i]! < MAX_VCPUS) vcpus = Math.max(vcpus, batch.vcpu[i]! + 1);
        break;
      }
      case DM_IOREQ:
      case DM_SET_IRQ:
        if (discovered.size < 256) discovered.add(batch.pid[i]!);
        break;
      case DOM0_SET_IRQ_LEVEL:
        if ((domid === undefined || batch.domid[i] === domid) && discovered.size < 256)
          discovered.add(batch.pid[i]!);
        break;
      default:
    }
  };
  const wanted = known.length > 0 ? DOM0_WANTED : DOM0_WANTED_UNKNOWN;
  // Of a Dom0 trace without losses nobody asks what each CPU saw last.
  const dom0Lost =
    dom0 === undefined || (manifest.sources.find((s) => s.id === dom0.id)?.kinds['dom0.lost'] ?? 0) > 0;
  const dom0Rows = (batch: EventColumns, { scale, shift }: AxisLine, from: number, to: number): void => {
    const { ts, kind } = batch;
    if (dom0Lost) {
      const { cpu } = batch;
      for (let i = from; i < to; i++) {
        const t = ts[i]! * scale + shift;
        if (wanted[kind[i]! & KIND_MASK] === 1) dom0Row(batch, i, t);
        lastOnCpu[cpu[i]! & CPU_MASK] = t;
      }
      return;
    }
    for (let begin = from; begin < to; begin += SELECT_ROWS) {
      const n = select(wanted, kind, begin, Math.min(to, begin + SELECT_ROWS), rows);
      for (let r = 0; r < n; r++) dom0Row(batch, rows[r]!, ts[rows[r]!]! * scale + shift);
    }
  };

  const lanes: RowsLane[] = [];
  if (xen !== undefined) lanes.push(new RowsLane(xen, xenRows));
  if (dom0 !== undefined) lanes.push(new RowsLane(dom0, dom0Rows));
  walk(lanes, (watermark) => {
    votes.settle(watermark);
  });
  const pids = known.length > 0 ? known : [...discovered];
  const { vcpuOfPort, by, pids: answering, answers } = votes.decide(pids, vcpus);
  return { domid, vcpus, pids: answering, vcpuOfPort, portsBy: by, answers, xenLosses, dom0Losses };
}

/** Without a stated domain: the one that most often waits as a vCPU with an ioreq does. */
function busiestDomain(xen: TimedStream | undefined): number | undefined {
  if (xen === undefined) return undefined;
  const waits = new Uint32Array(65_536);
  for (const batch of xen.batches()) {
    for (let i = 0; i < batch.length; i++) {
      if (batch.kind[i] === XEN_RUNSTATE && batch.arg1[i] === RUNSTATE.OFFLINE) waits[batch.domid[i]!]!++;
    }
  }
  let best = -1;
  for (let d = 1; d < DOMID_IDLE; d++) if (waits[d]! > 0 && (best < 0 || waits[d]! > waits[best]!)) best = d;
  return best > DOM0 ? best : undefined;
}
