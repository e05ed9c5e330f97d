import { quantileInterval } from '../../analyzer/stats/interval.ts';
import { distribution } from './quantiles.ts';
import { frames, type Frame } from './query.ts';
import type { Group, SpanTable } from './table.ts';

/** One group's spans, or a whole family's, for comparing: ns. */
export interface Figures {
  /** null: the whole family. */
  group: Group | null;
  count: number;
  mean: number;
  p50: number;
  p99: number;
  /** The 95 % interval of p99; NaN where there are too few spans to bound it on that side. */
  lo: number;
  hi: number;
  /** That of the median. */
  lo50: number;
  hi50: number;
}

export interface FamilyFigures {
  all: Figures;
  groups: Figures[];
  frames: Frame[];
}

const Q = 0.99;

/**
 * Figures of all usable spans. The interval of p99 comes from ranks alone (order statistics, binomial with the normal
 * approximation): no shape of the latencies is assumed. With fewer than some 400 spans it has no upper end.
 */
export function familyFigures(table: SpanTable): FamilyFigures {
  const rows: number[] = [];
  const byGroup = table.groups.map((): number[] => []);
  for (let i = 0; i < table.rows; i++) {
    if (table.usable[i] === 0) continue;
    rows.push(i);
    byGroup[table.groupOf[i]!]!.push(i);
  }
  const groups = table.groups
    .map((group, g) => figures(table, group, byGroup[g]!))
    .filter((f) => f.count > 0);
  return { all: figures(table, null, rows), groups, frames: frames(table, Uint32Array.from(rows)) };
}

function figures(table: SpanTable, group: Group | null, rows: readonly number[]): Figures {
  const values = Float64Array.from(rows, (i) => table.total[i]!);
  const { weight } = table;
  const weights = weight === null ? null : Float32Array.from(rows, (i) => weight[i]!);
  const n = weights === null ? rows.length : weights.reduce((a, b) => a + b, 0);
  const ends = [...quantileInterval(Q, n), ...quantileInterval(0.5, n)];
  const known = ends.map((q) => (Number.isNaN(q) ? 0 : q));
  const d = distribution(values, rows.length, weights, [0.5, Q, ...known]);
  const end = (k: number): number => (Number.isNaN(ends[k]!) ? NaN : d.at[2 + k]!);
  return {
    group,
    count: d.count,
    mean: d.mean,
    p50: d.at[0]!,
    p99: d.at[1]!,
    lo: end(0),
    hi: end(1),
    lo50: end(2),
    hi50: end(3),
  };
}
