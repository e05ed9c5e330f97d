import type { SourceFacts } from '../trace/manifest.ts';
import type { Hooks } from './passes/plans.ts';
import { SEEN } from './passes/recording-edges.ts';
import type { Scouted } from './scout.ts';

/** Events of one kind in a source; 0 without the source. */
export function kinds(facts: SourceFacts | undefined, name: string): number {
  return facts?.kinds[name] ?? 0;
}

/** What a trace with these sources can show. `timedLog`: a device model's log has times on the axis. */
export function hooksOf(
  xen: SourceFacts | undefined,
  dom0: SourceFacts | undefined,
  scouted: Pick<Scouted, 'domid' | 'vcpuOfPort'>,
  timedLog: boolean,
): Hooks {
  return {
    tracePoints: kinds(xen, 'arm.ioreq_send') > 0,
    runstates: kinds(xen, 'xen.runstate') > 0 && scouted.domid !== undefined,
    // The kernel's own handler runs in the same hard irq.
    evtchnIrq: kinds(dom0, 'dom0.evtchn_irq') + kinds(dom0, 'dom0.ioeventfd') > 0,
    evtchnRead: kinds(dom0, 'dom0.evtchn_read') > 0,
    service: kinds(dom0, 'dm.ioreq') > 0 ? 'dom0' : timedLog ? 'dm' : undefined,
    notify:
      kinds(dom0, 'dom0.evtchn_notify') + kinds(dom0, 'dom0.ioeventfd_ret') > 0 &&
      scouted.vcpuOfPort.size > 0,
    raise: kinds(dom0, 'dom0.set_irq_level') > 0,
    requests: kinds(dom0, 'dm.virtqueue_pop') + kinds(dom0, 'dm.blk_read') + kinds(dom0, 'dm.blk_write') > 0,
  };
}

/** What of an ioreq the sources of a trace can show. */
export function shown({ tracePoints, runstates, evtchnIrq, notify }: Hooks): number {
  const hypervisor = tracePoints ? SEEN.SEND | SEEN.DONE : runstates ? SEEN.OFFLINE : 0;
  return hypervisor | (evtchnIrq ? SEEN.IRQ : 0) | (notify ? SEEN.ANSWER : 0);
}
