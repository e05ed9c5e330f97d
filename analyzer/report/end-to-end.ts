import type { Stage } from '../../trace/spans.ts';
import type { Hooks } from '../passes/plans.ts';
import { fullInterruptPlan } from '../passes/plans.ts';
import type { FamilyFigures } from '../stats/family-stats.ts';
import type { EndToEndReport, EndToEndStage } from './document.ts';
import { distribution, NO_DISTRIBUTION } from './families.ts';

const NO_POINTS = "not seen without Xen's trace points";
const NO_RUNSTATES = "not seen without the scheduler's runstates";
const NO_RAISE = "not seen without a probe on the device model's dm_op";

/**
 * The whole way of an interrupt, from the device model's raise to the guest's acknowledge, stage by stage in order
 * of time. A stage that this trace cannot show is named all the same, and why; where the trace has the sum of several
 * such stages, that follows them under its own name.
 */
export function endToEndReport(
  stats: FamilyFigures | undefined,
  hooks: Hooks,
  requests: FamilyFigures | undefined,
): EndToEndReport {
  const full = fullInterruptPlan();
  const own = stats?.plan.stages ?? [];
  const stages: EndToEndStage[] = [];
  let unseen: string[] = [];
  const ordered = inOrderOfTime(full.stages);
  for (const [n, stage] of ordered.entries()) {
    const k = own.findIndex((s) => s.name === stage.name);
    const raiseMissing = stage.from === 'raise' && !hooks.raise;
    if (k >= 0 && !raiseMissing) stages.push(seen(stats!, k, []));
    else {
      const why = raiseMissing ? NO_RAISE : hooks.tracePoints ? NO_RUNSTATES : NO_POINTS;
      stages.push({ ...outline(stage), ...NO_DISTRIBUTION, seen: false, why, sum_of: [], share: null });
      if (stage.inTotal) unseen.push(stage.name);
    }
    if (unseen.length === 0 || ordered.slice(n + 1).some((s) => s.inTotal && s.to === stage.to)) continue;
    // A stage that only this trace has, and that ends here, is the sum of what was not seen.
    const sum = own.findIndex(
      (s) => s.inTotal && s.to === stage.to && !full.stages.some((f) => f.name === s.name),
    );
    if (sum >= 0 && hooks.raise) {
      stages.push(seen(stats!, sum, unseen));
      unseen = [];
    }
  }
  return { stages, before: beforeRaise(requests) };
}

/** Asides stand before the stage that begins where they do, and preemption behind the stages of the total. */
function inOrderOfTime(stages: readonly Stage[]): Stage[] {
  const inTotal = stages.filter((s) => s.inTotal);
  const after = stages.filter((s) => !s.inTotal && s.from !== 'lr');
  const asides = stages.filter((s) => !s.inTotal && s.from === 'lr');
  const chain = inTotal.flatMap((s) => (s.from === 'lr' ? [...asides, s] : [s]));
  return [...chain, ...after];
}

function outline(stage: Stage): Pick<EndToEndStage, 'name' | 'title' | 'from' | 'to' | 'in_total' | 'bound'> {
  const { name, title, from, to, inTotal, bound } = stage;
  return { name, title, from, to, in_total: inTotal, bound };
}

function seen(stats: FamilyFigures, k: number, sumOf: string[]): EndToEndStage {
  const stage = stats.plan.stages[k]!;
  const share = stage.inTotal && stats.staged.sum > 0 ? stats.stages[k]!.sum / stats.staged.sum : null;
  return {
    ...outline(stage),
    ...distribution(stats.stages[k]!),
    seen: true,
    why: null,
    sum_of: sumOf,
    share,
  };
}

function beforeRaise(requests: FamilyFigures | undefined): EndToEndReport['before'] {
  const k = requests?.plan.stages.findIndex((s) => s.to === 'interrupt') ?? -1;
  if (requests === undefined || k < 0 || requests.stages[k]!.count === 0) return null;
  const { name, title } = requests.plan.stages[k]!;
  return { name, title, family: 'requests', ...distribution(requests.stages[k]!) };
}
