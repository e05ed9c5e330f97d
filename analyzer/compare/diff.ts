import type { Figures } from '../conditions/evaluate.ts';
import type { Distribution, FamilyReport, GroupReport, Report } from '../report/document.ts';
import type { GroupSet } from '../report/group-sets.ts';
import { differences } from './differences.ts';

/** Spans below which a group's percentiles are chance. */
export const FEW = 10;

/** What is compared if nothing else is asked for: the same groups as the page's. */
export const NATURAL_GROUPS: readonly GroupSet[] = [
  { family: 'mmio', by: ['device', 'register'] },
  { family: 'interrupts', by: ['device'] },
  { family: 'requests', by: ['device', 'queue', 'direction'] },
];

/** Change of one percentile, B minus A. */
export interface Change {
  readonly a_ns: number | null;
  readonly b_ns: number | null;
  readonly delta_ns: number | null;
  /** Of A's. */
  readonly percent: number | null;
  /** Between which the change lies if both percentiles lie in their 95 % intervals; null: not bounded on that side. */
  readonly lo_ns: number | null;
  readonly hi_ns: number | null;
  /** The intervals of A and B do not overlap; null: too few values in one of them to tell, or none were stored. */
  readonly significant: boolean | null;
}

export interface DiffRow {
  readonly family: 'mmio' | 'interrupts' | 'injection' | 'requests';
  /** null: the whole family. */
  readonly by: Readonly<Record<string, string | number>> | null;
  /** A stage's name; null: the total. */
  readonly stage: string | null;
  readonly count_a: number;
  readonly count_b: number;
  readonly p50: Change;
  readonly p99: Change;
  readonly only_in: 'A' | 'B' | null;
}

/** What `trace diff --json` prints. */
export interface Diff {
  readonly format: 'ioreq-trace-diff';
  readonly version: 1;
  readonly a: Report['trace'];
  readonly b: Report['trace'];
  /** What makes figures of the two different things. */
  readonly differences: readonly string[];
  /** By the size of the change of p99; those of fewer than FEW spans last. */
  readonly rows: readonly DiffRow[];
}

/** Compares two recordings, group by group and stage by stage. */
export function diffReports(a: Figures, b: Figures): Diff {
  const rows: DiffRow[] = [];
  for (const family of ['mmio', 'interrupts', 'injection', 'requests'] as const) {
    const of = familyOf(a.report, family);
    const to = familyOf(b.report, family);
    if (of !== null || to !== null) rows.push(...compare(family, null, of, to));
    if (family === 'injection') continue;
    const names = new Map<string, [GroupReport | null, GroupReport | null]>();
    // Labels, not numbers: device 0 of one recording may be device 1 of the other.
    const id = ({ by }: GroupReport): string => JSON.stringify(Object.entries(by));
    for (const group of a.groups) if (group.family === family) names.set(id(group), [group, null]);
    for (const group of b.groups)
      if (group.family === family) names.set(id(group), [names.get(id(group))?.[0] ?? null, group]);
    for (const [x, y] of names.values()) rows.push(...compare(family, (x ?? y)!.by, x, y));
  }
  return {
    format: 'ioreq-trace-diff',
    version: 1,
    a: a.report.trace,
    b: b.report.trace,
    differences: differences(a.report, b.report),
    rows: rows.sort((x, y) => tells(y) - tells(x) || size(y) - size(x)),
  };
}

type Side = Pick<GroupReport, 'total' | 'stages'> | null;

function familyOf(report: Report, family: DiffRow['family']): FamilyReport | null {
  const of = family === 'injection' ? report.interrupts.injection : report[family];
  return of === null || of.total.count === 0 ? null : of;
}

function compare(family: DiffRow['family'], by: DiffRow['by'], a: Side, b: Side): DiffRow[] {
  const stages = new Set([...(a?.stages ?? []), ...(b?.stages ?? [])].map(({ name }) => name));
  const rows = [row(family, by, null, a?.total, b?.total)];
  for (const name of stages) {
    const [x, y] = [a, b].map((side) => side?.stages.find((s) => s.name === name)) as [
      Distribution | undefined,
      Distribution | undefined,
    ];
    if ((x?.count ?? 0) + (y?.count ?? 0) > 0) rows.push(row(family, by, name, x, y));
  }
  return rows;
}

function row(
  family: DiffRow['family'],
  by: DiffRow['by'],
  stage: string | null,
  a: Distribution | undefined,
  b: Distribution | undefined,
): DiffRow {
  const [inA, inB] = [a?.count ?? 0, b?.count ?? 0];
  return {
    family,
    by,
    stage,
    count_a: inA,
    count_b: inB,
    p50: change(a, b, 'p50'),
    p99: change(a, b, 'p99'),
    only_in: inB === 0 ? 'A' : inA === 0 ? 'B' : null,
  };
}

function change(a: Distribution | undefined, b: Distribution | undefined, of: 'p50' | 'p99'): Change {
  const [x, y] = [a?.[`${of}_ns`] ?? null, b?.[`${of}_ns`] ?? null];
  const delta = minus(y, x);
  const lo = minus(b?.[`${of}_lo_ns`], a?.[`${of}_hi_ns`]);
  const hi = minus(b?.[`${of}_hi_ns`], a?.[`${of}_lo_ns`]);
  return {
    a_ns: x,
    b_ns: y,
    delta_ns: delta,
    percent: delta === null || x === null || x === 0 ? null : (delta / Math.abs(x)) * 100,
    lo_ns: lo,
    hi_ns: hi,
    // One end is enough to exclude 0 on its side, but not to say that the change may be none.
    significant:
      (lo !== null && lo > 0) || (hi !== null && hi < 0) ? true : lo === null || hi === null ? null : false,
  };
}

const minus = (x: number | null | undefined, y: number | null | undefined): number | null =>
  x === null || y === null || x === undefined || y === undefined ? null : x - y;

const size = ({ p99 }: DiffRow): number => (p99.delta_ns === null ? -1 : Math.abs(p99.delta_ns));
const tells = ({ count_a: a, count_b: b }: DiffRow): number => (Math.min(a, b) >= FEW ? 1 : 0);
