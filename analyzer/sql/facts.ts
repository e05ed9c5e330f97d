import type { Manifest } from '../../trace/manifest.ts';
import type { PassResults } from '../analyze.ts';
import { DESCHEDULE_SLACK_NS } from '../analyze.ts';
import { chosenLog } from '../chosen-log.ts';
import type { LossWindows } from '../passes/loss-windows.ts';
import type { Hooks } from '../passes/plans.ts';
import { timedStreams } from '../view.ts';

/** A source with its place on the axis: axis ns = ts * scale + shift. */
export interface SqlSource {
  readonly id: string;
  readonly scale: number;
  readonly shift: number;
  /** Events by kind name. */
  readonly kinds: Readonly<Record<string, number>>;
  /** First and last instant, axis ns. */
  readonly covers: readonly [number, number];
}

/** Windows in which records may be missing, axis ns, sorted and apart from each other. */
export interface SqlLosses {
  readonly from: readonly number[];
  readonly to: readonly number[];
}

/**
 * What the statements must know of a trace before they read its events: found by the scout when the trace is loaded
 * and kept beside it. Plain JSON.
 */
export interface SqlFacts {
  readonly domid: number | null;
  readonly vcpus: number;
  /** Threads that answer ioreqs, and the event-channel ports they answer on with the vCPU of each. */
  readonly pids: readonly number[];
  readonly ports: readonly (readonly [port: number, vcpu: number])[];
  readonly hooks: Hooks;
  readonly xen: SqlSource | null;
  readonly dom0: SqlSource | null;
  /** The device model's log that gives contents or times of ioreqs; scale NaN-free, null where it has no time. */
  readonly log: {
    readonly id: string;
    readonly line: readonly [number, number] | null;
    readonly timesOnly: boolean;
  } | null;
  readonly xenLosses: SqlLosses;
  readonly dom0Losses: SqlLosses;
  /** The device model's queues in the order in which they were met, and whether all their devices are certain. */
  readonly queues: PassResults['queues'];
  readonly devices: readonly { base: number; size: number; spi: number; kind: string }[];
  /** Error of the relation between Xen's clock and Dom0's, ns; and with what the vCPU takes to be descheduled. */
  readonly clockError: number;
  readonly tolerance: number;
}

export function sqlFacts(
  manifest: Manifest,
  { hooks, scouted, queues }: Pick<PassResults, 'hooks' | 'scouted' | 'queues'>,
): SqlFacts {
  const never = (): never => {
    throw new RangeError('facts are made of the manifest alone');
  };
  const { xen, dom0, xenFacts, dom0Facts } = timedStreams({ manifest, source: never });
  const source = (stream: typeof xen, facts: typeof xenFacts): SqlSource | null => {
    if (stream === undefined || facts === undefined) return null;
    const { scale, shift } = stream.line;
    const covers: [number, number] = [facts.firstTs * scale + shift, facts.lastTs * scale + shift];
    return { id: stream.id, scale, shift, kinds: { ...facts.kinds }, covers };
  };
  const log = chosenLog(manifest, dom0Facts, scouted);
  const clockError = manifest.clock?.maxErrorNs ?? 0;
  return {
    domid: scouted.domid ?? null,
    vcpus: scouted.vcpus,
    pids: scouted.pids,
    ports: [...scouted.vcpuOfPort].filter(([, vcpu]) => vcpu < scouted.vcpus),
    hooks,
    xen: source(xen, xenFacts),
    dom0: source(dom0, dom0Facts),
    log:
      log === undefined
        ? null
        : {
            id: log.log.id,
            line: log.line === undefined ? null : [log.line.scale, log.line.shift],
            timesOnly: log.timesOnly,
          },
    xenLosses: losses(scouted.xenLosses),
    dom0Losses: losses(scouted.dom0Losses),
    queues,
    devices: manifest.devices.map((d) => ({ base: d.base, size: d.size, spi: d.spi, kind: d.kind })),
    clockError,
    tolerance: clockError + DESCHEDULE_SLACK_NS,
  };
}

/** Infinity has no place in JSON; no instant lies beyond the largest number. */
function losses(windows: LossWindows): SqlLosses {
  const finite = (t: number): number => Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, t));
  const { from, to } = windows.bounds();
  return { from: from.map(finite), to: to.map(finite) };
}
