import {
  boundaryColumn,
  preemptedColumn,
  SPAN_COLUMNS,
  type PageTable,
} from '../../analyzer/page/page-format.ts';
import type { Column, Columns } from '../../analyzer/page/page-columns.ts';
import { SPAN_FLAG, StageLengths, type SpanFamily, type SpanPlan } from '../../trace/spans.ts';

/** Spans with the same device, key and direction: what filters, the tree and the flame graph speak of. */
export interface Group {
  device: number;
  key: number;
  dir: number;
}

/** One family's spans as columns, ordered by start. Row numbers are stable for the page's life. */
export interface SpanTable {
  plan: SpanPlan;
  meta: PageTable;
  rows: number;
  start: Float64Array;
  total: Float64Array;
  device: Uint16Array;
  key: Uint32Array;
  vcpu: Uint16Array;
  dir: Uint8Array;
  type: Uint8Array;
  flags: Uint16Array;
  amount: Uint32Array;
  value: Uint32Array;
  group: Uint32Array;
  /** Spans a row stands for; null = 1 each. */
  weight: Float32Array | null;
  at: Float64Array[];
  preempted: Float64Array[];
  lengths: StageLengths;
  /** 1 where the span counts in figures: complete, and no record lost while it was open. */
  usable: Uint8Array;
  groupOf: Uint32Array;
  groups: Group[];
  /** Of a sample: all spans, those of a slice of time and a bin of latency in one row, `weight` of them. */
  cells: SpanTable | null;
  /** Of all rows of a stretch of time (part.ts): the table of the whole time. */
  whole?: SpanTable;
}

/** Flags that keep a span out of every figure (trace/spans.ts). */
const UNUSABLE = SPAN_FLAG.LOSS | SPAN_FLAG.INVALIDATE;

export function spanTable({ rows, columns: arrow }: Columns, meta: PageTable): SpanTable {
  const at = meta.plan.boundaries.map((b) => column(arrow, boundaryColumn(b.name), Float64Array));
  const weight = arrow.has(SPAN_COLUMNS.weight) ? column(arrow, SPAN_COLUMNS.weight, Float32Array) : null;
  const table: SpanTable = {
    plan: meta.plan,
    meta,
    rows,
    start: column(arrow, SPAN_COLUMNS.start, Float64Array),
    total: column(arrow, SPAN_COLUMNS.total, Float64Array),
    device: column(arrow, SPAN_COLUMNS.device, Uint16Array),
    key: column(arrow, SPAN_COLUMNS.key, Uint32Array),
    vcpu: column(arrow, SPAN_COLUMNS.vcpu, Uint16Array),
    dir: column(arrow, SPAN_COLUMNS.dir, Uint8Array),
    type: column(arrow, SPAN_COLUMNS.type, Uint8Array),
    flags: column(arrow, SPAN_COLUMNS.flags, Uint16Array),
    amount: column(arrow, SPAN_COLUMNS.amount, Uint32Array),
    value: column(arrow, SPAN_COLUMNS.value, Uint32Array),
    group: column(arrow, SPAN_COLUMNS.group, Uint32Array),
    weight,
    at,
    preempted: meta.plan.preempted.map((from) => column(arrow, preemptedColumn(from), Float64Array)),
    lengths: new StageLengths(meta.plan),
    usable: new Uint8Array(rows),
    groupOf: new Uint32Array(rows),
    groups: [],
    cells: null,
  };
  for (let i = 0; i < rows; i++) {
    table.usable[i] = !Number.isNaN(table.total[i]!) && (table.flags[i]! & UNUSABLE) === 0 ? 1 : 0;
  }
  groupRows(table);
  return table;
}

/** What a family that the page does not hold looks like. */
export function emptyTable(family: SpanFamily): SpanTable {
  const plan: SpanPlan = {
    family,
    title: '',
    boundaries: [],
    stages: [],
    totalFrom: 0,
    totalTo: 0,
    preempted: [],
  };
  const none = new Float64Array(0);
  const bytes = new Uint8Array(0);
  const halves = new Uint16Array(0);
  const words = new Uint32Array(0);
  return {
    plan,
    meta: { family, plan, spans: 0, rows: 0, slowest: 0, weight: 1 },
    rows: 0,
    start: none,
    total: none,
    device: halves,
    key: words,
    vcpu: halves,
    dir: bytes,
    type: bytes,
    flags: halves,
    amount: words,
    value: words,
    group: words,
    weight: null,
    at: [],
    preempted: [],
    lengths: new StageLengths(plan),
    usable: bytes,
    groupOf: words,
    groups: [],
    cells: null,
  };
}

/** Cells (analyzer/page/page-cells.ts) as a table of which only these columns are there: enough for heatmap and overview. */
export function cellTable({ rows, columns: arrow }: Columns, meta: PageTable): SpanTable {
  const cells: SpanTable = {
    ...emptyTable(meta.family),
    plan: meta.plan,
    meta,
    rows,
    start: column(arrow, SPAN_COLUMNS.start, Float64Array),
    total: column(arrow, SPAN_COLUMNS.total, Float64Array),
    device: column(arrow, SPAN_COLUMNS.device, Uint16Array),
    key: column(arrow, SPAN_COLUMNS.key, Uint32Array),
    dir: column(arrow, SPAN_COLUMNS.dir, Uint8Array),
    weight: column(arrow, SPAN_COLUMNS.weight, Float32Array),
    usable: new Uint8Array(rows).fill(1),
    groupOf: new Uint32Array(rows),
    groups: [],
  };
  groupRows(cells);
  return cells;
}

type ColumnClass<T> = new (length: number) => T;

function column<T extends Column>(arrow: ReadonlyMap<string, Column>, name: string, type: ColumnClass<T>): T {
  const values = arrow.get(name);
  if (!(values instanceof type)) throw new Error(`the page's span table lacks column ${name}`);
  return values;
}

/** Numbers the groups in order of appearance, with an open hash table instead of a Map entry a row. */
export function groupRows(table: SpanTable): void {
  let slots = new Int32Array(1024).fill(-1);
  const { device, key, dir, groups, groupOf } = table;
  const find = (d: number, k: number, r: number): number => {
    let h = (Math.imul(k ^ (d << 16) ^ (r << 8), 0x9e3779b1) >>> 0) & (slots.length - 1);
    for (;;) {
      const g = slots[h]!;
      if (g < 0) return h;
      const known = groups[g]!;
      if (known.device === d && known.key === k && known.dir === r) return h;
      h = (h + 1) & (slots.length - 1);
    }
  };
  for (let i = 0; i < table.rows; i++) {
    const slot = find(device[i]!, key[i]!, dir[i]!);
    let g = slots[slot]!;
    if (g < 0) {
      g = groups.length;
      groups.push({ device: device[i]!, key: key[i]!, dir: dir[i]! });
      slots[slot] = g;
      if (groups.length * 2 > slots.length) {
        slots = new Int32Array(slots.length * 2).fill(-1);
        groups.forEach((known, n) => (slots[find(known.device, known.key, known.dir)] = n));
      }
    }
    groupOf[i] = g;
  }
}
