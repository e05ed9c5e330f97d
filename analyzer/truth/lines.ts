import type { SpanFamily, SpanPlan, Stage } from '../../trace/spans.ts';

/** One stage as both analyses show it: indices of its ends in either plan. */
export interface Line {
  readonly name: string;
  readonly title: string;
  readonly exact: readonly [number, number];
  readonly estimate: readonly [number, number];
  /** A part of the estimate's total. */
  readonly inTotal: boolean;
}

/** A stage that only the exact analysis has. */
export interface Unseen {
  readonly name: string;
  readonly title: string;
  readonly exact: readonly [number, number];
  readonly hiddenIn: string;
}

/** An instant that the estimate takes for an earlier one: from `exact` of the one plan to `estimate` of the other. */
export interface Shift {
  readonly name: string;
  readonly title: string;
  readonly exact: number;
  readonly estimate: number;
  readonly hiddenIn: string;
}

export interface FamilyLines {
  readonly total: Line;
  readonly stages: readonly Line[];
  readonly unseen: readonly Unseen[];
  readonly shifts: readonly Shift[];
}

/** An unpatched Xen shows no ioreq before it marks the vCPU descheduled. */
const INSTEAD: Readonly<Record<string, string>> = { offline: 'send' };

const LATE = 'vCPU traps → vCPU descheduled';
const SHIFTS: Readonly<Record<SpanFamily, readonly Omit<Shift, 'exact' | 'estimate'>[]>> = {
  mmio: [
    {
      name: 'send→offline',
      title: 'ioreq ready, event sent → vCPU descheduled',
      hiddenIn: 'no number: before the wait begins',
    },
  ],
  interrupt: [{ name: 'status_read→status_read', title: LATE, hiddenIn: 'raise→status_read' }],
  request: [{ name: 'notify→notify', title: LATE, hiddenIn: 'no number: before the request begins' }],
  injection: [],
};

/** Which stages of two plans of one family can be compared, and what only the exact one shows. */
export function familyLines(exact: SpanPlan, estimate: SpanPlan): FamilyLines {
  const at = (plan: SpanPlan, name: string): number => plan.boundaries.findIndex((b) => b.name === name);
  const total: Line = {
    name: 'total',
    title: exact.title === estimate.title ? exact.title : `${exact.title}, by ${estimate.title}`,
    exact: [exact.totalFrom, exact.totalTo],
    estimate: [estimate.totalFrom, estimate.totalTo],
    inTotal: true,
  };
  const stages: Line[] = [];
  for (const stage of estimate.stages.filter(isLength)) {
    const from = at(exact, INSTEAD[stage.from] ?? stage.from);
    const to = at(exact, INSTEAD[stage.to] ?? stage.to);
    if (from < 0 || to < 0) continue;
    // Where the total is one stage, its line says it all.
    if (
      stage.from === nameAt(estimate, estimate.totalFrom) &&
      stage.to === nameAt(estimate, estimate.totalTo)
    )
      continue;
    const same = exact.stages.find(
      (s) => isLength(s) && at(exact, s.from) === from && at(exact, s.to) === to,
    );
    stages.push({
      name: stage.name,
      title: same?.title ?? stage.title,
      exact: [from, to],
      estimate: [at(estimate, stage.from), at(estimate, stage.to)],
      inTotal: stage.inTotal,
    });
  }
  const unseen = exact.stages.filter(isLength).flatMap((stage): Unseen[] => {
    const [from, to] = [at(exact, stage.from), at(exact, stage.to)];
    if (stages.some((line) => line.exact[0] === from && line.exact[1] === to)) return [];
    const around = [...stages, total].find((line) => line.exact[0] <= from && line.exact[1] >= to);
    return [
      {
        name: stage.name,
        title: stage.title,
        exact: [from, to],
        hiddenIn: hidden(around, from, exact, estimate),
      },
    ];
  });
  const shifts = SHIFTS[exact.family].flatMap((shift): Shift[] => {
    const [from, to] = shift.name.split('→') as [string, string];
    const ends = { exact: at(exact, from), estimate: at(estimate, to) };
    const onXen = estimate.boundaries[ends.estimate]?.clock === 'xen';
    return ends.exact < 0 || ends.estimate < 0 || !onXen ? [] : [{ ...shift, ...ends }];
  });
  return { total, stages, unseen, shifts };
}

/** Not what is told apart from the stages that it happened in. */
function isLength(stage: Stage): boolean {
  return stage.name !== 'preempted';
}

function nameAt(plan: SpanPlan, boundary: number): string {
  return plan.boundaries[boundary]!.name;
}

/** The number of the estimate that holds a stage of the exact plan which begins at boundary `from`. */
function hidden(around: Line | undefined, from: number, exact: SpanPlan, estimate: SpanPlan): string {
  const within = around !== undefined && around.name !== 'total';
  if (within) return around.name;
  if (exact.family === 'mmio') {
    const begin = exact.boundaries.findIndex((b) => b.name === 'send');
    return from < begin ? 'no number: before the wait begins' : 'no number: after the wait ends';
  }
  return around === undefined
    ? 'no number'
    : `${nameAt(estimate, estimate.totalFrom)}→${nameAt(estimate, estimate.totalTo)}`;
}
