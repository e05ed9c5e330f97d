import type { ClockRelation, LogClock, Manifest, SourceFacts } from '../trace/manifest.ts';
import type { OpenTrace } from '../trace/open.ts';
import { explainAlignment } from './clocks/align.ts';
import { alignLog } from './clocks/log-clock.ts';

/**
 * Finds how the hypervisor's clock lies to Dom0's, from the event files just written. Without a relation the
 * reason is given; nothing at all if the trace lacks one of the two sides.
 */
export function joinClocks(
  trace: OpenTrace,
  manifest: Manifest,
): { relation?: ClockRelation; warning?: string } {
  const xen = largest(manifest, (facts) => facts.format === 'xentrace');
  const dom0 = largest(manifest, (facts) => facts.id.startsWith('dom0'));
  if (xen === undefined || dom0 === undefined) return {};
  const hz = manifest.host.counterHz;
  if (hz === undefined) {
    return {
      warning:
        "the frequency of Xen's counter is not known (no xl dmesg, xl info or clock samples; --counter-hz gives it): " +
        "hypervisor times cannot be joined with Dom0's",
    };
  }
  const { unit } = dom0.clock;
  if (unit !== 'ns' && unit !== 'us') {
    return {
      warning: `Dom0's clock "${dom0.clock.name}" counts no seconds: hypervisor times cannot be joined with it`,
    };
  }
  const { relation, refusal } = explainAlignment({
    xen: { batches: () => trace.source(xen.id).batches(), epoch: BigInt(xen.clock.epoch), hz, id: xen.id },
    dom0: {
      batches: () => trace.source(dom0.id).batches(),
      epoch: BigInt(dom0.clock.epoch),
      clockName: dom0.clock.name,
      strings: dom0.strings,
      id: dom0.id,
      unit,
    },
    domid: manifest.domid,
  });
  if (relation !== undefined) return { relation };
  return { warning: `hypervisor times cannot be joined with Dom0's: ${refusal ?? 'no relation was found'}` };
}

/**
 * Finds where the stamps of a device model's log lie on Dom0's clock. Without a relation the reason is given;
 * nothing at all if there is no such log, or Dom0's trace holds the device model's events itself.
 */
export function joinLog(trace: OpenTrace, manifest: Manifest): { relation?: LogClock; warning?: string } {
  const ioreqs = (facts: SourceFacts): number => facts.kinds['dm.ioreq'] ?? 0;
  const log = largest(
    manifest,
    (facts) => facts.format === 'qemu-log' && facts.clock.unit === 'us' && ioreqs(facts) > 0,
  );
  const dom0 = largest(manifest, (facts) => facts.id.startsWith('dom0'));
  if (log === undefined || dom0 === undefined || ioreqs(dom0) > 0) return {};
  const { unit } = dom0.clock;
  if (unit !== 'ns' && unit !== 'us') return {};
  const { relation, refusal } = alignLog({
    log: {
      batches: () => trace.source(log.id).batches(),
      epoch: BigInt(log.clock.epoch),
      unit: 'us',
      ioreqs: ioreqs(log),
      id: log.id,
    },
    dom0: {
      batches: () => trace.source(dom0.id).batches(),
      epoch: BigInt(dom0.clock.epoch),
      unit,
      clockName: dom0.clock.name,
      lost: dom0.lost,
      id: dom0.id,
    },
    pids: manifest.deviceModels.flatMap((model) => [model.pid, ...model.threads]),
  });
  if (relation !== undefined) return { relation };
  return {
    warning: `the device model's log has no place on Dom0's clock: ${refusal ?? 'no relation was found'}`,
  };
}

/** Of several sources of one side, the one with most rows: an excerpt may lie beside the whole. */
function largest(manifest: Manifest, test: (facts: SourceFacts) => boolean): SourceFacts | undefined {
  const found = manifest.sources.filter((facts) => facts.rows > 0 && test(facts));
  return found.sort((a, b) => b.rows - a.rows)[0];
}
