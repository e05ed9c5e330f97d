import { SIGNIFICANCE, changePoints, median } from '../clickhouse/change-point.ts';
import type { Figures } from '../conditions/evaluate.ts';
import type { Distribution, GroupReport } from '../report/document.ts';

const FAMILIES = ['mmio', 'interrupts', 'requests'] as const;
/** A recording with the value of its label. */
export interface Labelled {
  readonly value: string;
  readonly figures: Figures;
}

/** One percentile of the recordings that have one value of the label. */
export interface LabelFigure {
  /** The median of the recordings' figures, as of `trace trend`; null: none of them has such spans. */
  readonly ns: number | null;
  /** From the lowest to the highest end of the recordings' 95 % intervals; null: not bounded on that side. */
  readonly lo_ns: number | null;
  readonly hi_ns: number | null;
  /** From the value before it that has spans, and its share of that. */
  readonly delta_ns: number | null;
  readonly percent: number | null;
  /** The intervals of both do not overlap; null: too few spans to tell. */
  readonly significant: boolean | null;
}

export interface LabelCell {
  readonly value: string;
  readonly spans: number;
  readonly p50: LabelFigure;
  readonly p99: LabelFigure;
}

export interface LabelRow {
  readonly family: GroupReport['family'];
  /** null: the whole family. */
  readonly device: string | null;
  readonly values: readonly LabelCell[];
  /** Where the level of a figure changed by the test of `trace trend`, which takes eight recordings at least. */
  readonly changes: readonly { readonly of: 'p50' | 'p99'; readonly from: string; readonly p: number }[];
}

/** What `trace compare --json` prints of recordings by a label. */
export interface LabelComparison {
  readonly format: 'ioreq-trace-comparison';
  readonly version: 1;
  /** The label; null: every recording by its own path. */
  readonly by: string | null;
  /** In the order of the values, which is that of their first recordings. */
  readonly recordings: readonly { readonly value: string; readonly path: string; readonly created: string }[];
  readonly rows: readonly LabelRow[];
  readonly method: string;
}

/** Compares p50 and p99 of every device (reports grouped by it) over the values of a label. */
export function compareByLabel(by: string | null, recordings: readonly Labelled[]): LabelComparison {
  const byTime = [...recordings].sort((a, b) => order(madeAt(a), madeAt(b)));
  const values = [...new Set(byTime.map((r) => r.value))];
  const groups = values.map((value) => byTime.filter((r) => r.value === value));
  const rows: LabelRow[] = [];
  for (const family of FAMILIES) {
    const devices = new Set<string>();
    for (const { figures } of byTime)
      for (const group of figures.groups)
        if (isDevice(group, family)) devices.add(String(group.by['device']));
    for (const device of [null, ...[...devices].sort(order)]) {
      const row = rowOf(family, device, values, groups);
      if (row.values.some((cell) => cell.spans > 0)) rows.push(row);
    }
  }
  return {
    format: 'ioreq-trace-comparison',
    version: 1,
    by,
    recordings: groups.flatMap((group) =>
      group.map(({ value, figures }) => {
        const { path, created } = figures.report.trace;
        return { value, path, created };
      }),
    ),
    rows,
    method:
      'figures: medians over the recordings of a value; significant: 95 % intervals do not overlap; changes: ' +
      `Pettitt's test between values, p by permutation, at most ${SIGNIFICANCE}`,
  };
}

function rowOf(
  family: GroupReport['family'],
  device: string | null,
  values: readonly string[],
  groups: readonly (readonly Labelled[])[],
): LabelRow {
  const found = groups.map((group) =>
    group.flatMap(({ figures }) => {
      const total = distributionOf(figures, family, device);
      return total === undefined || total.count === 0 ? [] : [total];
    }),
  );
  const figures = (['p50', 'p99'] as const).map((of) => {
    let before: LabelFigure | undefined;
    return found.map((totals) => {
      const figure = figureOf(totals, of, before);
      if (figure.ns !== null) before = figure;
      return figure;
    });
  });
  const [p50, p99] = [figures[0]!, figures[1]!];
  return {
    family,
    device,
    values: values.map((value, n) => ({
      value,
      spans: found[n]!.reduce((sum, total) => sum + total.count, 0),
      p50: p50[n]!,
      p99: p99[n]!,
    })),
    changes: (['p50', 'p99'] as const).flatMap((of) => changesOf(values, found, of)),
  };
}

function figureOf(
  totals: readonly Distribution[],
  of: 'p50' | 'p99',
  before: LabelFigure | undefined,
): LabelFigure {
  const ns = orNull(median(totals.flatMap((t) => t[`${of}_ns`] ?? [])));
  const lo = bound(totals, (t) => t[`${of}_lo_ns`], Math.min);
  const hi = bound(totals, (t) => t[`${of}_hi_ns`], Math.max);
  const was = before?.ns ?? null;
  const delta = ns === null || was === null ? null : ns - was;
  return {
    ns,
    lo_ns: lo,
    hi_ns: hi,
    delta_ns: delta,
    percent: delta === null || was === null || was === 0 ? null : (delta / Math.abs(was)) * 100,
    significant: before === undefined || delta === null ? null : apart(before, lo, hi),
  };
}

/** Whether two intervals do not overlap; one end each is enough to say that they do not. */
function apart(before: LabelFigure, lo: number | null, hi: number | null): boolean | null {
  if (lo !== null && before.hi_ns !== null && lo > before.hi_ns) return true;
  if (hi !== null && before.lo_ns !== null && hi < before.lo_ns) return true;
  return lo === null || hi === null || before.lo_ns === null || before.hi_ns === null ? null : false;
}

/** null if one of them is not bounded. */
function bound(
  totals: readonly Distribution[],
  end: (total: Distribution) => number | null | undefined,
  choose: (...ends: number[]) => number,
): number | null {
  const ends = totals.map((total) => end(total) ?? NaN);
  return ends.length === 0 ? null : orNull(choose(...ends));
}

function changesOf(
  values: readonly string[],
  found: readonly (readonly Distribution[])[],
  of: 'p50' | 'p99',
): LabelRow['changes'] {
  const samples: { figure: number; first: boolean; value: string }[] = [];
  found.forEach((totals, n) => {
    let first = true;
    for (const total of totals) {
      const figure = total[`${of}_ns`];
      if (figure === null) continue;
      samples.push({ figure, first, value: values[n]! });
      first = false;
    }
  });
  const changes = changePoints(
    samples.map((s) => s.figure),
    samples.map((s) => s.first),
  );
  return changes.map(({ at, p }) => ({ of, from: samples[at]!.value, p }));
}

function distributionOf(
  { report, groups }: Figures,
  family: GroupReport['family'],
  device: string | null,
): Distribution | undefined {
  if (device === null) return report[family].total;
  return groups.find((group) => isDevice(group, family) && group.by['device'] === device)?.total;
}

function isDevice({ family, by }: GroupReport, of: GroupReport['family']): boolean {
  return family === of && Object.keys(by).join() === 'device';
}

const madeAt = ({ figures }: Labelled): string =>
  `${figures.report.trace.created} ${figures.report.trace.path}`;

const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
