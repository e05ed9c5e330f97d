import type { DeviceFacts } from '../../trace/manifest.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import { SPAN_FLAG } from '../../trace/spans.ts';
import { LEFT_OUT, leftOutReason } from '../stats/family-stats.ts';
import type { GroupKey } from '../stats/group-key.ts';
import { compositeKey, compositeLabel } from '../stats/group-key.ts';
import { Comparison } from './difference.ts';
import type { FamilyTruth, PairingReport } from './document.ts';
import { familyLines } from './lines.ts';
import type { Pairs } from './pairing.ts';
import type { Side } from './side.ts';
import type { SpanLog } from './span-log.ts';
import { Split } from './splits.ts';

export interface Sides {
  readonly exact: Side;
  readonly estimate: Side;
}

/** Told of every pair that is compared. */
export type PairVisitor = (exact: number, estimate: number) => void;

export interface FamilyOptions {
  by: readonly GroupKey[];
  devices: readonly DeviceFacts[];
  /** Whether the vCPU was preempted in exact row `e`; undefined: the family is not split by that. */
  preempted?: (e: number) => boolean;
  visit?: PairVisitor;
}

const EARLY = 'not timed unpatched: answered before the vCPU was descheduled';
/** Groups beyond this many are not made: a `by` over hostile data must not fill the memory. */
const MAX_GROUPS = 4096;

/** Compares the paired spans of one family. A span that either analysis leaves out is counted, not compared. */
export function familyTruth(
  family: SpanFamily,
  sides: Sides,
  pairs: Pairs,
  options: FamilyOptions,
): FamilyTruth {
  const exact = sides.exact.log(family);
  const estimate = sides.estimate.log(family);
  if (exact === undefined || estimate === undefined)
    return { pairing: unpaired(exact, estimate), splits: [], groups: [] };
  const lines = familyLines(exact.plan, estimate.plan);
  const all = new Split(lines);
  const undisturbed = new Split(lines);
  const preempted = new Split(lines);
  const groups = new Map<number, Comparison>();
  const why = new Map<string, number>();
  const keys = options.by;
  for (let n = 0; n < pairs.length; n++) {
    const e = pairs.exact[n]!;
    const u = pairs.estimate[n]!;
    const reason = notCompared(exact, e, estimate, u);
    if (reason !== undefined) {
      why.set(reason, (why.get(reason) ?? 0) + 1);
      continue;
    }
    options.visit?.(e, u);
    all.add(exact, e, estimate, u, sides);
    if (options.preempted !== undefined)
      (options.preempted(e) ? preempted : undisturbed).add(exact, e, estimate, u, sides);
    const key = keys.length === 0 ? -1 : compositeKey(family, keys, exact.chunkOf(e), exact.at(e));
    if (key < 0 || (groups.size >= MAX_GROUPS && !groups.has(key))) continue;
    let group = groups.get(key);
    if (group === undefined) groups.set(key, (group = new Comparison()));
    group.add(exact.chunkOf(e).total[exact.at(e)]!, estimate.chunkOf(u).total[estimate.at(u)]!);
  }
  const split = options.preempted !== undefined;
  return {
    pairing: {
      ...unpaired(exact, estimate),
      paired: pairs.length,
      only_exact: exact.length - pairs.length,
      only_estimate: estimate.length - pairs.length,
      not_compared: [...why].map(([reason, count]) => ({ why: reason, count })),
    },
    splits: [
      all.report('all'),
      ...(split ? [undisturbed.report('undisturbed'), preempted.report('preempted')] : []),
    ],
    groups: [...groups]
      .sort((a, b) => b[1].exact.sum - a[1].exact.sum || a[0] - b[0])
      .map(([key, c]) => ({ by: compositeLabel(family, keys, key, options.devices), total: c.report })),
  };
}

function notCompared(exact: SpanLog, e: number, estimate: SpanLog, u: number): string | undefined {
  const [a, i] = [exact.chunkOf(e), exact.at(e)];
  const [b, j] = [estimate.chunkOf(u), estimate.at(u)];
  const ofExact = leftOutReason(a, i);
  if (ofExact >= 0) return LEFT_OUT[ofExact];
  const ofEstimate = leftOutReason(b, j);
  if (ofEstimate < 0) return undefined;
  return (a.flags[i]! & SPAN_FLAG.NO_WAIT) !== 0 ? EARLY : `unpatched: ${LEFT_OUT[ofEstimate]!}`;
}

function unpaired(exact: SpanLog | undefined, estimate: SpanLog | undefined): PairingReport {
  const a = exact?.length ?? 0;
  const b = estimate?.length ?? 0;
  const cut = (exact?.cut ?? 0) + (estimate?.cut ?? 0);
  return { exact: a, estimate: b, paired: 0, not_compared: [], only_exact: a, only_estimate: b, cut };
}
