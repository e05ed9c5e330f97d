import type { ClockRelation, Manifest, SourceFacts } from '../trace/manifest.ts';
import type { OpenTrace } from '../trace/open.ts';
import { explainAlignment } from './clocks/align.ts';

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

/** Of several sources of one side, the one with most rows: an excerpt may lie beside the whole. */
function largest(manifest: Manifest, test: (facts: SourceFacts) => boolean): SourceFacts | undefined {
  const found = manifest.sources.filter((facts) => facts.rows > 0 && test(facts));
  return found.sort((a, b) => b.rows - a.rows)[0];
}
