import { binLow, binOf, OCTAVES } from './bins.ts';
import type { SpanTable } from './table.ts';

/** What of a query the heatmap takes (query.ts says what each is). */
export interface HeatQuery {
  window: { lo: number; hi: number };
  columns: number;
  latency: { lo: number; hi: number } | null;
  linear: boolean;
}

/** Counts of spans in cells of time and latency. */
export interface Heat {
  columns: number;
  rows: number;
  /** Rows are equal parts of ns (linear), or log-linear bins (bins.ts) firstBin, firstBin + 1 ...; lowest first. */
  linear: boolean;
  subBits: number;
  firstBin: number;
  /** Edges of the lowest and the highest row, ns. */
  lo: number;
  hi: number;
  /** counts[row * columns + column]; the same of the device of the slowest span in each. */
  counts: Float32Array;
  worst: Uint16Array;
  marginal: Float64Array;
  max: number;
  /** Spans in all cells. */
  shown: number;
  /** Spans of each column, and the largest latency, ns; NaN if empty. Also those that no row is there for. */
  filled: Float64Array;
  peak: Float64Array;
}

/** Sub-buckets of an octave: 8, or 4 when the latencies span many octaves; more when they are zoomed into. */
const SUB_BITS = [7, 6, 5, 4, 3, 2] as const;
const WHOLE_SUB_BITS = 3;
const MAX_ROWS = 128;
const MIN_COLUMNS = 150;
const LINEAR_ROWS = 96;

/** Lower edge of a row, ns; of `rows`, the upper edge of the last. */
export function rowLow(heat: Heat, row: number): number {
  return heat.linear
    ? heat.lo + ((heat.hi - heat.lo) * row) / heat.rows
    : binLow(heat.firstBin + row, heat.subBits);
}

/** Rows `first` to `end - 1` of the table lie in the time shown. */
export function heatmap(
  table: SpanTable,
  query: HeatQuery,
  allowed: Uint8Array,
  first: number,
  end: number,
): Heat {
  const { start, total, usable, groupOf, weight, device } = table;
  const { lo, hi } = query.window;
  // A few hundred spans in columns of one pixel cannot be seen: few spans, wide cells.
  const columns = Math.min(query.columns, Math.max(MIN_COLUMNS, Math.ceil((end - first) / 4)));
  const axis = axisOf(table, query);
  const { rows, linear, subBits, firstBin } = axis;
  const counts = new Float32Array(rows * columns);
  const worst = new Uint16Array(rows * columns);
  const slowest = new Float64Array(rows * columns).fill(-1);
  const marginal = new Float64Array(rows);
  const filled = new Float64Array(columns);
  const peak = new Float64Array(columns).fill(NaN);
  const scale = columns / (hi - lo);
  const perRow = rows / (axis.hi - axis.lo);
  // Of the whole axis the lowest row takes in what is below it; of a part of it, nothing is outside but lies there.
  const least = query.latency === null ? -Infinity : axis.lo;
  for (let i = first; i < end; i++) {
    if (usable[i] === 0 || allowed[groupOf[i]!] === 0) continue;
    const v = total[i]!;
    const column = Math.min(columns - 1, ((start[i]! - lo) * scale) | 0);
    const w = weight === null ? 1 : weight[i]!;
    filled[column]! += w;
    if (!(peak[column]! >= v)) peak[column] = v;
    if (v < least || v >= axis.hi) continue;
    const row = Math.max(0, linear ? ((v - axis.lo) * perRow) | 0 : binOf(v, subBits) - firstBin);
    const cell = row * columns + column;
    counts[cell]! += w;
    marginal[row]! += w;
    if (v > slowest[cell]!) {
      slowest[cell] = v;
      worst[cell] = device[i]!;
    }
  }
  let max = 0;
  for (const c of counts) if (c > max) max = c;
  const shown = marginal.reduce((sum, n) => sum + n, 0);
  return { ...axis, columns, counts, worst, marginal, max, shown, filled, peak };
}

type Axis = Pick<Heat, 'rows' | 'linear' | 'subBits' | 'firstBin' | 'lo' | 'hi'>;

/** The latency axis is that of the whole family, or the part asked for: it stands still while one filters and zooms. */
function axisOf({ rows: n, usable, total }: SpanTable, { latency, linear }: HeatQuery): Axis {
  let least = Infinity;
  let most = 1;
  for (let i = 0; i < n; i++) {
    if (usable[i] === 0) continue;
    const v = total[i]!;
    if (v >= 1 && v < least) least = v;
    if (v > most) most = v;
  }
  if (least === Infinity) least = 1;
  if (linear) {
    const [lo, hi] = latency === null ? [0, most * 1.02 + 1] : [latency.lo, latency.hi];
    return { rows: LINEAR_ROWS, linear, subBits: 0, firstBin: 0, lo, hi };
  }
  const [lo, hi] = latency === null ? [least, most] : [Math.max(1, latency.lo), latency.hi];
  const fits = (bits: number): boolean => binOf(hi, bits) - binOf(lo, bits) < MAX_ROWS;
  const from = latency === null ? WHOLE_SUB_BITS : SUB_BITS[0];
  const subBits = SUB_BITS.find((bits) => bits <= from && fits(bits)) ?? 2;
  const beside = latency === null ? 2 : 0;
  const firstBin = Math.max(0, binOf(lo, subBits) - beside);
  const rows = Math.min(OCTAVES << subBits, binOf(hi, subBits) + 1 + beside) - firstBin;
  const edges = { lo: binLow(firstBin, subBits), hi: binLow(firstBin + rows, subBits) };
  return { rows, linear, subBits, firstBin, ...edges };
}
