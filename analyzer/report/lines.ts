import type { DeviceFacts } from '../../trace/manifest.ts';
import type { PassResults } from '../analyze.ts';
import type { InjectionCounts, InjectionEdges } from '../passes/injections.ts';
import type { LineIdentity, LineReport } from './document.ts';

/**
 * What became of the raises of every device line. Each raise is injected; each injection fills a list register, is
 * pended again behind an active one, is merged into one that is pending there, or finds one queued already
 * (xen/arch/arm/vgic.c, gic-vgic.c). The sums are checked, and every sum that does not hold is said.
 */
export function lineReports(results: PassResults, devices: readonly DeviceFacts[]): LineReport[] {
  const reports: LineReport[] = [];
  for (const [d, { name, spi }] of devices.entries()) {
    if (spi <= 0) continue;
    const own = results.lines[d]!;
    const at = results.injections.findIndex((c) => c.spi === spi);
    const counts = results.injections[at];
    const edges = results.edges[at];
    const raised = results.interrupts.raises > 0 ? own.raises : null;
    const line: LineReport = {
      spi,
      device: name,
      raised,
      raised_while_traced: raised === null ? null : own.raisesWhileTraced,
      injected: counts?.injected ?? null,
      lr: counts?.lr ?? null,
      repended: counts?.repended ?? null,
      merged: counts?.merged ?? null,
      already_queued: counts?.alreadyQueued ?? null,
      lowered: counts?.lowered ?? null,
      retired: counts?.retired ?? null,
      taken: own.statusReads,
      queued_at_end: edges?.queuedAtEnd ?? null,
      in_lr_at_end: edges?.filledAtEnd ?? null,
      queued_before: edges?.queuedBefore ?? null,
      in_lr_before: edges?.filledBefore ?? null,
      identities: [],
    };
    if (counts !== undefined && edges !== undefined) {
      line.identities = identities(line, counts, edges, results.interrupts.statusReads);
    }
    reports.push(line);
  }
  return reports;
}

/** `reads`: of InterruptStatus, on all lines: without any, no source shows what the guest accesses. */
function identities(line: LineReport, c: InjectionCounts, e: InjectionEdges, reads: number): LineIdentity[] {
  const equal = (what: string, left: number, right: number): LineIdentity => ({
    what,
    left,
    right,
    holds: left === right,
  });
  const list: LineIdentity[] = [];
  if (line.raised_while_traced !== null)
    list.push(equal('raised = injected', line.raised_while_traced, c.injected));
  const left = c.lr + c.repended + c.merged + c.alreadyQueued;
  list.push(
    equal(
      'injected = lr + repended + merged + already_queued',
      c.injected + e.queuedBefore - e.queuedAtEnd,
      left,
    ),
    equal('lr = retired', c.lr + e.filledBefore - e.filledAtEnd, c.retired),
  );
  if (reads > 0) {
    // One that is pended again before its handler has read InterruptStatus has no run of the handler of its own.
    const delivered = c.lr + c.repended;
    const most = delivered + e.filledBefore;
    const least = delivered - c.repended - e.filledAtEnd;
    list.push({
      what: 'lr <= taken <= lr + repended',
      left: line.taken,
      right: delivered,
      holds: line.taken >= least && line.taken <= most,
    });
  }
  return list;
}
