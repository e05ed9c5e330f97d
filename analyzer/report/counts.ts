import type { Manifest } from '../../trace/manifest.ts';
import type { PassResults } from '../analyze.ts';
import { SEEN } from '../passes/recording-edges.ts';
import type { Counts, SourceCount } from './document.ts';

const SENT = 'hypervisor: sent';
const DONE = 'hypervisor: done';
const INTERRUPTS = 'Dom0: event-channel interrupts';
const ANSWERS = 'Dom0: answers';
const RUNSTATES = 'hypervisor: running→offline';
const PAGE = 'Dom0: ioreq page at the answer';
const TRACED = "device model's trace in Dom0's buffer";
const LOG = "device model's log";

/** Of each vCPU one ioreq can be under way at the begin and one at the end; more come from one side being on alone. */
const MANY_AT_EDGES = 2;

/** What a source lacks of an ioreq that was under way when its records began or ended. */
const EDGE_OF: Readonly<Record<string, number>> = {
  [SENT]: SEEN.SEND,
  [DONE]: SEEN.DONE,
  [RUNSTATES]: SEEN.OFFLINE,
  [INTERRUPTS]: SEEN.IRQ,
  [ANSWERS]: SEEN.ANSWER,
  [PAGE]: SEEN.ANSWER,
};

/** What was counted, by which source, and whether the sources agree. Disagreement is a warning. */
export function countsReport(manifest: Manifest, results: PassResults, warnings: string[]): Counts {
  const bySource = sourceCounts(manifest, results);
  const ioreqs = bySource[0]?.ioreqs ?? 0;
  // An ioreq that is answered before Xen has descheduled the vCPU leaves no runstate pair: it is in the join.
  const early = results.hooks.tracePoints || results.xen.offline === 0 ? 0 : results.join.early;
  // A device model's own trace shows what that device model answered: not what the kernel or another one did.
  const { dom0 } = results;
  const unseen: Readonly<Record<string, number>> = {
    [RUNSTATES]: early,
    [PAGE]: dom0.inKernel,
    [TRACED]: dom0.answers - dom0.traced,
    [LOG]: dom0.inKernel,
  };
  const { recordingEdges: edges } = results;
  const explained = ({ what, ioreqs: held }: SourceCount): number => {
    const bit = EDGE_OF[what];
    return held + (unseen[what] ?? 0) + (bit === undefined ? 0 : edges.notHeld(bit));
  };
  const [whole] = bySource.map(explained);
  const agree = bySource.every((s) => explained(s) === whole);
  // With --device, only the content of some ioreqs was recorded, but every wait and interrupt.
  const some = (manifest.recording?.only?.length ?? 0) > 0;
  if (!agree && !some) {
    const list = bySource.map((s) => `${s.what} ${s.ioreqs}`).join(', ');
    warnings.push(`the sources disagree on the number of ioreqs: ${list}`);
  } else if (agree && early > 0) {
    warnings.push(
      `ioreqs answered before Xen had descheduled the vCPU: ${early}; they left no wait to be timed`,
    );
  }
  if (dom0.elsewhere > 0) {
    const names = manifest.recording?.only?.join(', ') ?? '';
    warnings.push(`left out: ${dom0.elsewhere} ioreqs of other devices than ${names}, which was asked for`);
  }
  if (agree && edges.ioreqs > MANY_AT_EDGES * results.scouted.vcpus) {
    warnings.push(
      `${edges.ioreqs} ioreqs lie where only the hypervisor's or only Dom0's records were on: they are not timed`,
    );
  }
  const { access, delivered } = results;
  const { raises } = results.interrupts;
  const statusReads = Math.max(results.interrupts.statusReads, access.statusReads);
  const [interrupts, interruptsBy] =
    statusReads > 0
      ? [statusReads, 'status_reads']
      : delivered !== undefined
        ? [delivered, 'vgic']
        : [raises, 'raises'];
  // One interrupt a line can have been delivered before Xen's records began, and be read within them.
  const unknown = edges.ioreqs > 0 ? edges.statusReads + manifest.devices.length : 0;
  if (delivered !== undefined && delivered + unknown < statusReads) {
    warnings.push(
      `the guest read InterruptStatus ${statusReads} times for ${delivered} interrupts that the vGIC delivered`,
    );
  }
  const lost = manifest.sources.reduce((sum, s) => sum + s.lost, 0);
  if (lost > 0) warnings.push(`${lost} records were lost: spans that may have been touched are left out`);
  return {
    ioreqs,
    reads: access.reads,
    writes: access.writes,
    invalidates: access.invalidates,
    unknown_content: access.unknown,
    interrupts,
    interrupts_by: interruptsBy,
    vgic_deliveries: delivered ?? null,
    raises,
    raised_by_irqfd: results.interrupts.inKernel,
    answered_by_ioeventfd: dom0.inKernel,
    notifies: access.notifies,
    lost,
    events: manifest.sources.reduce((sum, s) => sum + s.rows, 0),
    by_source: bySource,
    sources_agree: agree,
    at_edges: edges.ioreqs,
  };
}

/** Ioreqs as each source saw them, the surest first. Only sources that see ioreqs are listed. */
function sourceCounts(manifest: Manifest, results: PassResults): SourceCount[] {
  const list: SourceCount[] = [];
  const add = (source: string | undefined, what: string, ioreqs: number): void => {
    if (source !== undefined && ioreqs > 0) list.push({ source, what, ioreqs });
  };
  const { hooks, xen, dom0 } = results;
  const xenId = results.xenSource?.id;
  const dom0Id = results.dom0Source?.id;
  if (hooks.tracePoints) {
    add(xenId, SENT, xen.send);
    add(xenId, DONE, xen.done);
  }
  add(dom0Id, INTERRUPTS, dom0.interrupts);
  add(dom0Id, ANSWERS, dom0.answers);
  add(dom0Id, PAGE, dom0.fetched);
  add(dom0Id, TRACED, dom0.serviced);
  for (const s of manifest.sources) {
    if (s.id === dom0Id || s.id === xenId) continue;
    add(s.id, LOG, s.kinds['dm.ioreq'] ?? 0);
    add(s.id, 'recorded accesses', (s.kinds['rec.read'] ?? 0) + (s.kinds['rec.write'] ?? 0));
  }
  // A vCPU that is answered before it is descheduled leaves no runstate pair: said in the spans, not here.
  if (!hooks.tracePoints) add(xenId, RUNSTATES, xen.offline);
  return list;
}
