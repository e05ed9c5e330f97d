import { binCount, binOf } from './bins.ts';
import {
  lineFigures,
  queueFigures,
  vcpuFigures,
  type LineFigures,
  type QueueFigures,
  type VcpuFigures,
} from './family-tables.ts';
import { heatmap, type Heat } from './heat.ts';
import { distribution, LADDER, type Distribution } from './quantiles.ts';
import { splitAt, stageFigures, type StageFigures, type StageSplit } from './stages.ts';
import type { Group, SpanTable } from './table.ts';

export interface Range {
  lo: number;
  hi: number;
}

/** Latency, ns, at every percentile: x is the number of nines. */
export interface Curve {
  x: number[];
  y: number[];
}

/** A box on the heatmap: start times and latencies, ns. */
export interface Box {
  time: Range;
  latency: Range;
}

export interface Query {
  /** Time shown, ns. */
  window: Range;
  brush: Box | null;
  /** Chosen groups as `device`, `device:key` or `device:key:dir`; empty = all. */
  groups: readonly string[];
  /** Columns that the heatmap has pixels for. */
  columns: number;
  /** What outliers are ordered by: a stage's index, or -1 for the total. */
  outliersBy: number;
  /** Latencies that the heatmap shows, ns; null = all. Equal parts of ns, or of their logarithm. */
  latency: Range | null;
  linear: boolean;
  /** A latency, ns: how many are slower is counted. */
  limit: number | null;
}

export interface GroupFigures extends Group {
  count: number;
  totalNs: number;
  p50: number;
  p99: number;
  max: number;
  /** Numbers of spans in equal slices of the time shown. */
  spark: Uint32Array;
}

export interface Outlier {
  row: number;
  start: number;
  total: number;
  group: number;
  vcpu: number;
  flags: number;
  stages: number[];
}

export interface Frame {
  group: number;
  /** Weighted sum of every stage, ns, then what no stage explains. */
  stages: number[];
  count: number;
}

export interface Selection {
  /** True if brush, groups and window leave nothing out. */
  everything: boolean;
  distribution: Distribution;
  /** Spans slower than the limit; 0 without one. */
  over: number;
  curve: Curve;
  /** One each of a few chosen groups, in the order of the query's; none if one or many are chosen. */
  curves: (Curve & { group: string })[];
  stages: StageFigures[];
  splits: StageSplit[];
  groups: GroupFigures[];
  outliers: Outlier[];
  frames: Frame[];
  /** By family: of interrupts and injections, of requests, of accesses. */
  lines: LineFigures[];
  queues: QueueFigures[];
  vcpus: VcpuFigures[];
}

export interface Overview {
  /** Whole trace in equal slices: middles, numbers of spans, largest latencies. */
  x: Float64Array;
  count: Float64Array;
  max: (number | null)[];
}

export interface Answer {
  heat: Heat;
  selection: Selection;
  overview: Overview;
}

const OUTLIERS = 500;
const OUTLIER_SUB_BITS = 7;
const OVERVIEW_SLICES = 480;

export function run(table: SpanTable, duration: number, query: Query): Answer {
  const allowed = allowedGroups(table.groups, query.groups);
  const whole = table.whole ?? table;
  const cells = whole.cells ?? whole;
  return {
    heat: heat(table, query, allowed),
    selection: select(table, query, allowed, duration),
    overview: overview(cells, duration, allowedGroups(cells.groups, query.groups)),
  };
}

const MIN_SLICES = 100;

/** From all spans where the page holds their counts finely enough, else from its rows. */
function heat(table: SpanTable, query: Query, allowed: Uint8Array): Heat {
  const { lo, hi } = query.window;
  const slices = Math.floor((hi - lo) / (table.meta.sliceNs ?? Infinity));
  const { cells } = table;
  const of = (from: SpanTable, groups: Uint8Array, columns: number): Heat =>
    heatmap(from, { ...query, columns }, groups, lowerBound(from.start, lo), lowerBound(from.start, hi));
  if (cells === null || query.latency !== null || query.linear || slices < MIN_SLICES)
    return of(table, allowed, query.columns);
  // As many slices in each column: else some would be darker.
  const columns = Math.floor(slices / Math.ceil(slices / query.columns));
  return of(cells, allowedGroups(cells.groups, query.groups), columns);
}

function allowedGroups(groups: readonly Group[], chosen: readonly string[]): Uint8Array {
  const allowed = new Uint8Array(groups.length);
  if (chosen.length === 0) return allowed.fill(1);
  const set = new Set(chosen);
  groups.forEach(({ device, key, dir }, g) => {
    if (set.has(`${device}`) || set.has(`${device}:${key}`) || set.has(`${device}:${key}:${dir}`))
      allowed[g] = 1;
  });
  return allowed;
}

/** First row that starts at or after `time`. */
function lowerBound(start: Float64Array, time: number): number {
  let lo = 0;
  let hi = start.length;
  while (lo < hi) {
    const mid = (lo + hi) >>> 1;
    if (start[mid]! < time) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

/** Rows that window, box and groups choose, of those that count in figures. */
export function chosenRows(table: SpanTable, query: Query): Uint32Array {
  const { rows, allowed } = inBox(table, query);
  return rows.filter((i) => allowed[table.groupOf[i]!] === 1);
}

/** Rows in the window and the box, of every group; and which groups are chosen. */
function inBox(table: SpanTable, query: Query): { rows: Uint32Array; allowed: Uint8Array } {
  const { start, total, usable } = table;
  const { window, brush } = query;
  const lo = brush === null ? window.lo : Math.max(window.lo, brush.time.lo);
  const hi = brush === null ? window.hi : Math.min(window.hi, brush.time.hi);
  const least = brush === null ? -Infinity : brush.latency.lo;
  const most = brush === null ? Infinity : brush.latency.hi;
  const first = lowerBound(start, lo);
  const end = Math.max(first, lowerBound(start, hi));
  const rows = new Uint32Array(end - first);
  let n = 0;
  for (let i = first; i < end; i++) {
    if (usable[i] === 1 && total[i]! >= least && total[i]! <= most) rows[n++] = i;
  }
  return { rows: rows.subarray(0, n), allowed: allowedGroups(table.groups, query.groups) };
}

function select(table: SpanTable, query: Query, allowed: Uint8Array, duration: number): Selection {
  const { total, weight } = table;
  const { family } = table.plan;
  const { window, brush } = query;
  const box = inBox(table, query).rows;
  const rows = box.filter((i) => allowed[table.groupOf[i]!] === 1);
  const n = rows.length;
  const values = gather(total, rows);
  const weights = weight === null ? null : gatherWeights(weight, rows);
  const curve: Curve = { x: [], y: [] };
  const dist = distribution(values, n, weights, LADDER, curve);
  const several = query.groups.length > 1 && query.groups.length <= MOST_CURVES;
  return {
    everything: brush === null && query.groups.length === 0 && window.lo <= 0 && window.hi >= duration,
    distribution: dist,
    over: slower(values, weights, query.limit ?? Infinity),
    curve,
    curves: several ? query.groups.map((group) => ({ ...curveOf(table, rows, group), group })) : [],
    stages: stageFigures(table, rows, weights),
    splits: splitAt(table, rows, values, weights, dist),
    groups: groupFigures(table, box, window),
    outliers: outliers(table, rows, query.outliersBy),
    frames: frames(table, rows),
    lines: family === 'interrupt' || family === 'injection' ? lineFigures(table, rows) : [],
    queues: family === 'request' ? queueFigures(table, rows) : [],
    vcpus: family === 'mmio' ? vcpuFigures(table, rows) : [],
  };
}

/** More lines than this are a tangle. */
const MOST_CURVES = 6;

function curveOf(table: SpanTable, rows: Uint32Array, group: string): Curve {
  const allowed = allowedGroups(table.groups, [group]);
  const own = rows.filter((i) => allowed[table.groupOf[i]!] === 1);
  const curve: Curve = { x: [], y: [] };
  const weights = table.weight === null ? null : gatherWeights(table.weight, own);
  distribution(gather(table.total, own), own.length, weights, [], curve);
  return curve;
}

function slower(values: Float64Array, weights: Float32Array | null, limit: number): number {
  let n = 0;
  for (let k = 0; k < values.length; k++) if (values[k]! > limit) n += weights === null ? 1 : weights[k]!;
  return n;
}

function gather(column: Float64Array, rows: Uint32Array): Float64Array {
  const out = new Float64Array(rows.length);
  for (let k = 0; k < rows.length; k++) out[k] = column[rows[k]!]!;
  return out;
}

function gatherWeights(column: Float32Array, rows: Uint32Array): Float32Array {
  const out = new Float32Array(rows.length);
  for (let k = 0; k < rows.length; k++) out[k] = column[rows[k]!]!;
  return out;
}

/** Figures of each group and, with key -1 and dir -1, of each device: a counting sort by group first. */
function groupFigures(table: SpanTable, rows: Uint32Array, window: Range): GroupFigures[] {
  const { groupOf, groups, total, weight } = table;
  const figures: GroupFigures[] = [];
  const add = (id: Group, members: Uint32Array): void => {
    if (members.length === 0) return;
    const w = weight === null ? null : gatherWeights(weight, members);
    const d = distribution(gather(total, members), members.length, w, [0.5, 0.99]);
    figures.push({
      ...id,
      count: d.count,
      totalNs: d.mean * d.count,
      p50: d.at[0]!,
      p99: d.at[1]!,
      max: d.max,
      spark: sparkOf(table, members, window),
    });
  };
  for (const [id, list] of partition(rows, (i) => groupOf[i]!, groups.length)) add(groups[id]!, list);
  const devices = [...new Set(groups.map((g) => g.device))];
  const deviceOf = groups.map((g) => devices.indexOf(g.device));
  for (const [id, list] of partition(rows, (i) => deviceOf[groupOf[i]!]!, devices.length)) {
    add({ device: devices[id]!, key: -1, dir: -1 }, list);
  }
  return figures;
}

const SPARK = 24;

function sparkOf(table: SpanTable, rows: Uint32Array, { lo, hi }: Range): Uint32Array {
  const spark = new Uint32Array(SPARK);
  for (const row of rows) spark[Math.min(SPARK - 1, ((table.start[row]! - lo) / (hi - lo)) * SPARK) | 0]!++;
  return spark;
}

function* partition(
  rows: Uint32Array,
  of: (row: number) => number,
  parts: number,
): Generator<[number, Uint32Array]> {
  const offsets = new Uint32Array(parts + 1);
  for (const row of rows) offsets[of(row) + 1]!++;
  for (let p = 0; p < parts; p++) offsets[p + 1]! += offsets[p]!;
  const sorted = new Uint32Array(rows.length);
  const next = offsets.slice();
  for (const row of rows) sorted[next[of(row)]!++] = row;
  for (let p = 0; p < parts; p++) yield [p, sorted.subarray(offsets[p], offsets[p + 1])];
}

/** The slowest rows by total or by one stage, slowest first. */
function outliers(table: SpanTable, rows: Uint32Array, by: number): Outlier[] {
  const value =
    by < 0
      ? (row: number): number => table.total[row]!
      : (row: number): number => table.lengths.ns(table, by, row);
  const keys = new Float64Array(rows.length);
  const bins = new Uint32Array(binCount(OUTLIER_SUB_BITS));
  for (let k = 0; k < rows.length; k++) {
    const v = value(rows[k]!);
    keys[k] = v;
    if (!Number.isNaN(v)) bins[binOf(v, OUTLIER_SUB_BITS)]!++;
  }
  // The bin from which on there are enough: only what lies in it and above is sorted.
  let least = bins.length - 1;
  for (let above = bins[least]!; least > 0 && above < OUTLIERS; above += bins[least]!) least--;
  const picked: { row: number; key: number }[] = [];
  for (let k = 0; k < rows.length; k++) {
    const key = keys[k]!;
    if (!Number.isNaN(key) && binOf(key, OUTLIER_SUB_BITS) >= least) picked.push({ row: rows[k]!, key });
  }
  picked.sort((a, b) => b.key - a.key || a.row - b.row);
  return picked.slice(0, OUTLIERS).map(({ row }) => ({
    row,
    start: table.start[row]!,
    total: table.total[row]!,
    group: table.groupOf[row]!,
    vcpu: table.vcpu[row]!,
    flags: table.flags[row]!,
    stages: table.plan.stages.map((_, s) => table.lengths.ns(table, s, row)),
  }));
}

export function frames(table: SpanTable, rows: Uint32Array): Frame[] {
  const stages = table.plan.stages.length;
  const width = stages + 1;
  const sums = new Float64Array(table.groups.length * width);
  const counts = new Float64Array(table.groups.length);
  const rest = new Float64Array(rows.length);
  for (let k = 0; k < rows.length; k++) {
    const row = rows[k]!;
    rest[k] = table.total[row]!;
    counts[table.groupOf[row]!]! += table.weight === null ? 1 : table.weight[row]!;
  }
  for (let s = 0; s < stages; s++) {
    if (table.plan.stages[s]?.inTotal !== true) continue;
    for (let k = 0; k < rows.length; k++) {
      const row = rows[k]!;
      const d = table.lengths.ns(table, s, row);
      if (Number.isNaN(d)) continue;
      rest[k]! -= d;
      sums[table.groupOf[row]! * width + s]! += table.weight === null ? d : d * table.weight[row]!;
    }
  }
  for (let k = 0; k < rows.length; k++) {
    const row = rows[k]!;
    // Sums of absolute times round in their last bits; what is below a nanosecond is that, not a gap.
    const left = rest[k]! > 1 ? rest[k]! : 0;
    sums[table.groupOf[row]! * width + stages]! += table.weight === null ? left : left * table.weight[row]!;
  }
  const out: Frame[] = [];
  table.groups.forEach((_, g) => {
    if (counts[g]! > 0) {
      out.push({ group: g, stages: [...sums.subarray(g * width, (g + 1) * width)], count: counts[g]! });
    }
  });
  return out;
}

function overview(table: SpanTable, duration: number, allowed: Uint8Array): Overview {
  const x = new Float64Array(OVERVIEW_SLICES);
  const count = new Float64Array(OVERVIEW_SLICES);
  const max: (number | null)[] = new Array<number | null>(OVERVIEW_SLICES).fill(null);
  const slice = duration / OVERVIEW_SLICES;
  for (let s = 0; s < OVERVIEW_SLICES; s++) x[s] = (s + 0.5) * slice;
  const { start, total, usable, groupOf, weight } = table;
  for (let i = 0; i < table.rows; i++) {
    if (usable[i] === 0 || allowed[groupOf[i]!] === 0) continue;
    const s = Math.max(0, Math.min(OVERVIEW_SLICES - 1, (start[i]! / slice) | 0));
    count[s]! += weight === null ? 1 : weight[i]!;
    const known = max[s] ?? null;
    if (known === null || total[i]! > known) max[s] = Math.max(1, total[i]!);
  }
  return { x, count, max };
}
