import type { SpanBatch, SpanPlan } from '../../trace/spans.ts';
import type { Cells } from './page-cells.ts';
import { boundaryColumn, preemptedColumn, SPAN_COLUMNS } from './page-format.ts';

export type Column = Float64Array | Float32Array | Uint32Array | Uint16Array | Uint8Array;

/** A span table as the page has it: `rows` values in each column. A float64 that is NaN is a missing boundary. */
export interface Columns {
  rows: number;
  columns: Map<string, Column>;
}

/** The columns of a batch of spans, as they are: nothing is copied. `weight`: spans that a row stands for. */
export function spanColumns(plan: SpanPlan, batch: SpanBatch, weight: Float32Array | null): Columns {
  const rows = batch.length;
  const columns = new Map<string, Column>();
  const add = (name: string, data: Column): void => {
    columns.set(name, data.subarray(0, rows));
  };
  add(SPAN_COLUMNS.start, batch.start);
  add(SPAN_COLUMNS.total, batch.total);
  add(SPAN_COLUMNS.device, batch.device);
  add(SPAN_COLUMNS.key, batch.key);
  add(SPAN_COLUMNS.vcpu, batch.vcpu);
  add(SPAN_COLUMNS.dir, batch.dir);
  add(SPAN_COLUMNS.type, batch.type);
  add(SPAN_COLUMNS.flags, batch.flags);
  add(SPAN_COLUMNS.amount, batch.amount);
  add(SPAN_COLUMNS.value, batch.value);
  add(SPAN_COLUMNS.group, batch.group);
  if (weight !== null) add(SPAN_COLUMNS.weight, weight);
  plan.boundaries.forEach(({ name }, b) => {
    add(boundaryColumn(name), batch.at[b]!);
  });
  plan.preempted.forEach((from, p) => {
    add(preemptedColumn(from), batch.preempted[p]!);
  });
  return { rows, columns };
}

/** The cells that stand for all spans, in the same form. */
export function cellColumns({ rows, start, total, device, key, dir, weight }: Cells): Columns {
  const { start: s, total: t, device: d, key: k, dir: r, weight: w } = SPAN_COLUMNS;
  const columns: [string, Column][] = [
    [s, start],
    [t, total],
    [d, device],
    [k, key],
    [r, dir],
    [w, weight],
  ];
  return { rows, columns: new Map(columns) };
}
