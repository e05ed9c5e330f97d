import type { ClockRelation, Manifest } from '../../trace/manifest.ts';
import type { ClockMethodTruth, ClockTruth } from './document.ts';

/** A relation of the clocks by some of the bounds, or why they give none. */
export interface MethodEstimate {
  name: string;
  /** Whether an unpatched Xen gives what it needs. */
  unpatched: boolean;
  relation?: ClockRelation;
  refusal?: string;
}

/**
 * Each estimate of the clocks' relation against the known constant. Without one (a patched Xen that does not tell its
 * counter offsets) the relation by all bounds is shown, and nothing is judged.
 */
export function clockTruth(
  { clock, sources }: Pick<Manifest, 'clock' | 'sources'>,
  estimates: readonly MethodEstimate[],
): ClockTruth {
  const exact = clock?.exact === true;
  const dom0 = sources.find((s) => s.id === clock?.dom0);
  const unitNs = dom0?.clock.unit === 'us' ? 1000 : 1;
  const spanNs = dom0 === undefined ? 0 : (dom0.lastTs - dom0.firstTs) * unitNs;
  return {
    offset_ns: clock?.offsetNs ?? null,
    error_ns: clock?.errorNs ?? null,
    exact,
    methods: estimates.map((estimate) => judge(estimate, exact ? clock : undefined, spanNs)),
  };
}

function judge(
  { name, unpatched, relation, refusal }: MethodEstimate,
  truth: ClockRelation | undefined,
  spanNs: number,
): ClockMethodTruth {
  const off = relation === undefined || truth === undefined ? undefined : offBy(relation, truth, spanNs);
  return {
    name,
    unpatched,
    offset_ns: relation?.offsetNs ?? null,
    error_ns: relation?.errorNs ?? null,
    max_error_ns: relation?.maxErrorNs ?? null,
    off_by_ns: off === undefined ? null : Math.abs(off[0]) > Math.abs(off[1]) ? off[0] : off[1],
    holds:
      off === undefined
        ? null
        : Math.abs(off[0]) <= relation!.errorNs + truth!.errorNs &&
          Math.abs(off[1]) <= relation!.maxErrorNs + truth!.maxErrorNs,
    pairs: relation?.methods.reduce((sum, method) => sum + method.pairs, 0) ?? 0,
    refusal: refusal ?? null,
  };
}

/** Estimated minus true offset, ns, at the estimate's reference and `spanNs` later. */
function offBy(relation: ClockRelation, truth: ClockRelation, spanNs: number): [number, number] {
  const later = Number(BigInt(relation.referenceDom0Ns) - BigInt(truth.referenceDom0Ns));
  const atReference = relation.offsetNs - (truth.offsetNs + truth.rate * later);
  return [atReference, atReference + (relation.rate - truth.rate) * spanNs];
}
