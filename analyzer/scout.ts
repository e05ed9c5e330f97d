import type { AxisLine } from '../trace/axis.ts';
import type { EventColumns } from '../trace/columns.ts';
import { K, RUNSTATE } from '../trace/events.ts';
import { DOM0, DOMID_IDLE, NO_DOMID } from '../trace/ids.ts';
import { IOREQ_STATE, ioreqState } from '../trace/ioreq.ts';
import type { Manifest } from '../trace/manifest.ts';
import { LossWindows } from './passes/loss-windows.ts';
import { PortVotes } from './passes/port-votes.ts';
import type { TimedStream } from './streams.ts';
import { walk } from './streams.ts';

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
  const lastOnCpu = new Float64Array(1024).fill(-Infinity);
  let vcpus = manifest.vcpus ?? 1;

  const xenRows = (batch: EventColumns, line: AxisLine, from: number, to: number): void => {
    const { ts } = batch;
    const { scale, shift } = line;
    for (let i = from; i < to; i++) {
      const k = batch.kind[i]!;
      if (k === XEN_LOST) {
        const first = (BigInt(batch.data[2 * i + 1]!) << 32n) | BigInt(batch.data[2 * i]!);
        const begin = first === 0n ? -Infinity : Number(first - xenEpoch) * scale + shift;
        xenLosses.add(Math.min(begin, ts[i]! * scale + shift), ts[i]! * scale + shift);
      } else if (k === XEN_RUNSTATE && batch.domid[i] === domid) {
        const v = batch.vcpu[i]!;
        if (v >= MAX_VCPUS) continue;
        if (v >= vcpus) vcpus = v + 1;
        if (batch.arg1[i] === RUNSTATE.OFFLINE) votes.waitBegins(v, ts[i]! * scale + shift);
        else if (batch.arg0[i] === RUNSTATE.OFFLINE) votes.waitEnds(v, ts[i]! * scale + shift);
      }
    }
  };
  const dom0Rows = (batch: EventColumns, line: AxisLine, from: number, to: number): void => {
    const { ts } = batch;
    const { scale, shift } = line;
    for (let i = from; i < to; i++) {
      const cpu = batch.cpu[i]! & 1023;
      switch (batch.kind[i]) {
        case DOM0_LOST:
          dom0Losses.add(lastOnCpu[cpu]!, ts[i]! * scale + shift);
          break;
        case DOM0_EVTCHN_NOTIFY:
          votes.notify(batch.pid[i]!, batch.arg1[i]!, ts[i]! * scale + shift);
          break;
        case DOM0_IOREQ_ANSWERED:
          if (ioreqState(batch.arg0[i]!) === IOREQ_STATE.RESP_READY)
            votes.slot(batch.arg2[i]!, batch.vcpu[i]!);
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
      lastOnCpu[cpu] = ts[i]! * scale + shift;
    }
  };

  const streams = [xen, dom0].filter((s) => s !== undefined);
  walk(
    streams,
    (n, batch, line, from, to) => {
      (streams[n] === xen ? xenRows : dom0Rows)(batch, line, from, to);
    },
    (watermark) => {
      votes.settle(watermark);
    },
  );
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
