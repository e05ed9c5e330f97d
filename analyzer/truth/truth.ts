import { TraceError } from '../../trace/errors.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import type { GroupKey } from '../stats/group-key.ts';
import type { TraceView } from '../view.ts';
import { durationNs, timedStreams } from '../view.ts';
import { clockTruth } from './clock-truth.ts';
import type { MethodEstimate } from './clock-truth.ts';
import { Comparison } from './difference.ts';
import type { TruthReport } from './document.ts';
import type { Sides } from './family.ts';
import { familyTruth } from './family.ts';
import { pairInterrupts, pairMmio, pairRequests } from './identities.ts';
import { RuleChecks } from './rule-checks.ts';
import { Side } from './side.ts';
import type { SpanLog } from './span-log.ts';
import { Surroundings } from './surroundings-of.ts';
import { Preemptions } from './vcpu-runs.ts';

export interface TruthOptions {
  path: string;
  /** Keys of the groups. */
  by?: readonly GroupKey[];
  warnings?: readonly string[];
  /** What was found of the clocks' relation, by which bounds; the unpatched view carries one of them. */
  clocks?: readonly MethodEstimate[];
}

/** Throws E_NO_DATA for a trace in which there is nothing to compare. */
export function needTracePoints(view: TraceView, path: string): void {
  const { xenFacts } = timedStreams(view);
  const count = (name: string): number =>
    view.manifest.sources.reduce((sum, { kinds }) => sum + (kinds[name] ?? 0), 0);
  const sends = count('arm.ioreq_send');
  const runstates = count('xen.runstate');
  const placed = (xenFacts?.kinds['arm.ioreq_send'] ?? 0) > 0 && (xenFacts?.kinds['xen.runstate'] ?? 0) > 0;
  if (placed) return;
  const unplaced = sends > 0 && runstates > 0 ? " that have no place on Dom0's clock" : '';
  throw new TraceError('E_NO_DATA', 'the trace has no exact times to compare the estimates with', {
    source: path,
    expected: 'ioreqs by the Arm trace points (docs/XEN-PATCH.md) and runstates in one xentrace',
    got: `${sends} ioreqs by trace points, ${runstates} runstates${unplaced}`,
  });
}

/**
 * Analyzes a trace twice, as it is and as if Xen was not patched (`unpatched`: withoutTracePoints, with the clock
 * relation of an unpatched host put in), and compares them span by span. Holds the spans of both in memory, about
 * 300 bytes an ioreq.
 */
export function truthReport(view: TraceView, unpatched: TraceView, options: TruthOptions): TruthReport {
  needTracePoints(view, options.path);
  const sides: Sides = { exact: new Side(view), estimate: new Side(unpatched) };
  const { scouted } = sides.exact.results;
  const domid = scouted.domid ?? -1;
  const { devices } = view.manifest;
  const preemptions = new Preemptions(domid, scouted.vcpus);
  const { xen } = timedStreams(view);
  for (const batch of xen?.batches() ?? []) preemptions.rows(batch, xen!.line);

  const log = (side: keyof Sides, family: SpanFamily): SpanLog => sides[side].log(family)!;
  const preempted = (family: SpanFamily, e: number, from: string, to: string): boolean => {
    const exact = log('exact', family);
    const vcpu = exact.chunkOf(e).vcpu[exact.at(e)]!;
    return preemptions.within(vcpu, exact.time(e, exact.index(from)), exact.time(e, exact.index(to)));
  };
  const by = options.by ?? ['device', 'register'];
  const surroundings = new Surroundings(unpatched, domid, scouted.vcpus);
  const rules = new RuleChecks(sides, clockError(view) + clockError(unpatched), surroundings);
  const mmioPairs = pairMmio(sides);
  const mmio = familyTruth('mmio', sides, mmioPairs, {
    by,
    devices,
    preempted: (e) => preempted('mmio', e, 'trap', 'resume'),
    visit: (e, u) => {
      rules.mmio(log('exact', 'mmio'), e, log('estimate', 'mmio'), u);
    },
  });
  const injection = new Comparison();
  const interrupts = familyTruth('interrupt', sides, pairInterrupts(sides), {
    by: by.filter((key) => key === 'device'),
    devices,
    preempted: (e) => preempted('interrupt', e, 'inject', 'status_read'),
    visit: (e, u) => {
      rules.interrupt(log('exact', 'interrupt'), e, log('estimate', 'interrupt'), u, injection);
    },
  });
  const requests = familyTruth('request', sides, pairRequests(sides), {
    by: by.filter((key) => key === 'device'),
    devices,
    visit: (e, u) => {
      rules.request(log('exact', 'request'), e, log('estimate', 'request'), u);
    },
  });
  return {
    format: 'ioreq-trace-truth',
    version: 1,
    trace: {
      path: options.path,
      domid: scouted.domid ?? null,
      vcpus: scouted.vcpus,
      duration_ns: durationNs(view),
    },
    clock: clockTruth(view.manifest, options.clocks ?? []),
    mmio: { ...mmio, joined_otherwise: mmioPairs.joinedOtherwise },
    interrupts,
    requests,
    injection: { title: 'vGIC injects → list register filled, by raise → read', ...injection.report },
    rules: rules.report,
    warnings: [...(options.warnings ?? view.manifest.warnings)],
  };
}

/** How far an instant of Xen's may be from its place on Dom0's clock, ns. */
function clockError(view: TraceView): number {
  return view.manifest.clock?.maxErrorNs ?? 0;
}
