import type { Distribution, GroupReport, Report, StageReport } from '../report/document.ts';
import type { GroupSet } from '../report/group-sets.ts';
import type { GroupKey } from '../stats/group-key.ts';
import type { Comparison, Condition, SpanFigure } from './condition.ts';
import { STATISTICS } from './condition.ts';

/** A report and groups of its spans, by whatever keys. */
export interface Figures {
  readonly report: Report;
  readonly groups: readonly GroupReport[];
}

/** A figure, with how many values it is of, or why there is none. */
interface Found {
  /** The group, as `blk0 QueueNotify write`; '' for a whole family. */
  group: string;
  value: number | null;
  count: number | null;
  why: string;
}

export interface Outcome {
  readonly condition: Condition;
  /** `missing`: there is no such figure, or too few values for it; that is no pass. */
  readonly result: 'passed' | 'failed' | 'missing';
  /** What was found, group by group. */
  readonly found: readonly {
    readonly group: string;
    readonly result: Outcome['result'];
    /** The figure, in B where there are two. ns, number or fraction as the condition's figure is. */
    readonly value: number | null;
    /** In A. */
    readonly before: number | null;
    /** What the bound is compared with: the figure, or its change. */
    readonly compared: number | null;
    readonly count: number | null;
    readonly why: string;
  }[];
}

/** The groupings that conditions speak of. */
export function groupSetsOf(conditions: readonly Condition[]): GroupSet[] {
  const sets = new Map<string, GroupSet>();
  for (const { figure } of conditions) {
    if (figure.kind !== 'spans' || figure.filter.size === 0 || figure.family === 'injection') continue;
    const by = keysOf(figure);
    sets.set(`${figure.family} ${by.join()}`, { family: figure.family, by });
  }
  return [...sets.values()];
}

/** In a fixed order; a register brings its direction. */
function keysOf({ filter }: SpanFigure): GroupKey[] {
  const order: readonly GroupKey[] = ['device', 'register', 'queue', 'vcpu', 'direction'];
  return order.filter((key) => filter.has(key) && !(key === 'direction' && filter.has('register')));
}

/** Checks a condition on one recording, or on `b` against `a`. */
export function evaluate(condition: Condition, b: Figures, a?: Figures): Outcome {
  const { bound, comparison } = condition;
  const before = a === undefined ? [] : figuresOf(condition, a);
  const after = figuresOf(condition, b);
  const found = after.map((now) => {
    const { group, count } = now;
    const missing = (why: string, was: number | null): Outcome['found'][number] => ({
      group,
      result: 'missing',
      value: now.value,
      before: was,
      compared: null,
      count,
      why,
    });
    const was = before.find((f) => f.group === group) ?? (before.length === 1 ? before[0] : undefined);
    if (now.value === null)
      return missing(a === undefined ? now.why : `in B: ${now.why}`, was?.value ?? null);
    let compared = now.value;
    if (bound.change !== null) {
      if (was?.value === undefined || was.value === null)
        return missing(`in A: ${was?.why ?? 'no such group'}`, null);
      compared = now.value - was.value;
      if (bound.change === 'relative') {
        if (was.value === 0) return missing('in A it is 0: no share of it', 0);
        compared /= Math.abs(was.value);
      }
    }
    const result = holds(compared, comparison, bound.value) ? ('failed' as const) : ('passed' as const);
    return { group, result, value: now.value, before: was?.value ?? null, compared, count, why: '' };
  });
  const results = found.map((f) => f.result);
  const result = results.includes('failed') ? 'failed' : results.includes('missing') ? 'missing' : 'passed';
  return { condition, result, found };
}

function holds(value: number, comparison: Comparison, bound: number): boolean {
  if (comparison === '>') return value > bound;
  if (comparison === '>=') return value >= bound;
  return comparison === '<' ? value < bound : value <= bound;
}

/** At least one: what is not there says why. */
function figuresOf({ figure }: Condition, { report, groups }: Figures): Found[] {
  if (figure.kind === 'number') {
    const [part, name] = figure.path.split('.') as [keyof Report, string];
    const value = (report[part] as unknown as Record<string, unknown>)[name];
    const known = typeof value === 'number' && Number.isFinite(value);
    return [{ group: '', value: known ? value : null, count: null, why: known ? '' : 'the report has none' }];
  }
  if (figure.filter.size === 0) {
    const family = figure.family === 'injection' ? report.interrupts.injection : report[figure.family];
    if (family === null) return [none('', 'not in this trace')];
    const { staged, in_kernel: inKernel } = family;
    return [read(figure, '', { ...family, parts: { staged, in_kernel: inKernel } })];
  }
  const names = new Set<string>(keysOf(figure));
  if (names.has('register')) names.add('direction');
  const matching = groups.filter(
    ({ family, by }) =>
      family === figure.family &&
      Object.keys(by).length === names.size &&
      [...names].every((key) => Object.hasOwn(by, key)) &&
      [...figure.filter].every(([key, value]) => String(by[key]) === value),
  );
  if (matching.length === 0) return [none('', 'there is no such group')];
  return matching.map((g) => read(figure, Object.values(g.by).join(' '), { ...g, parts: {} }));
}

interface Parts {
  total: Distribution;
  stages: readonly StageReport[];
  left_out: readonly { count: number }[];
  parts: Readonly<Record<string, Distribution>>;
}

function read({ part, statistic }: SpanFigure, group: string, of: Parts): Found {
  if (statistic === 'left_out') {
    const value = of.left_out.reduce((sum, { count }) => sum + count, 0);
    return { group, value, count: null, why: '' };
  }
  const stage = of.stages.find(({ name }) => name === part);
  if (statistic === 'share') {
    const value = stage?.share ?? null;
    return value === null
      ? none(group, stage === undefined ? noStage(of) : 'it is no part of the total')
      : { group, value, count: stage!.count, why: '' };
  }
  const values =
    part === null
      ? of.total
      : (stage ?? (part === 'staged' || part === 'in_kernel' ? of.parts[part] : undefined));
  if (values === undefined) return none(group, noStage(of));
  const { count } = values;
  if (statistic === 'count') return { group, value: count, count, why: '' };
  const least = STATISTICS[statistic];
  if (count < least)
    return { ...none(group, `only ${count} values; ${statistic} takes ${least} at least`), count };
  const value = values[`${statistic}_ns`];
  return { group, value, count, why: value === null ? 'the report has none' : '' };
}

const noStage = ({ stages }: Parts): string =>
  `no such stage; there are ${stages.map(({ name }) => name).join(', ') || 'none'}`;

const none = (group: string, why: string): Found => ({ group, value: null, count: null, why });
