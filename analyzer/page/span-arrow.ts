import {
  Field,
  Float32,
  Float64,
  makeData,
  RecordBatch,
  RecordBatchStreamWriter,
  Schema,
  Struct,
  Uint16,
  Uint32,
  Uint8,
  type DataType,
} from 'apache-arrow';
import type { SpanBatch, SpanPlan } from '../../trace/spans.ts';
import type { Cells } from './page-cells.ts';
import { boundaryColumn, preemptedColumn, SPAN_COLUMNS } from './page-format.ts';

/**
 * One batch of spans as a whole Arrow IPC stream (schema, one record batch, end), uncompressed. Zero-copy into
 * Arrow: the columns are taken as they are. A float64 that is NaN is a missing boundary; there are no nulls.
 */
export function spansToArrow(plan: SpanPlan, batch: SpanBatch, weight: Float32Array | null): Uint8Array {
  const rows = batch.length;
  const table = new Columns(rows);
  const add = table.add.bind(table);
  const f64 = (name: string, data: Float64Array): void => {
    add(name, new Float64(), data.subarray(0, rows));
  };
  f64(SPAN_COLUMNS.start, batch.start);
  f64(SPAN_COLUMNS.total, batch.total);
  add(SPAN_COLUMNS.device, new Uint16(), batch.device.subarray(0, rows));
  add(SPAN_COLUMNS.key, new Uint32(), batch.key.subarray(0, rows));
  add(SPAN_COLUMNS.vcpu, new Uint16(), batch.vcpu.subarray(0, rows));
  add(SPAN_COLUMNS.dir, new Uint8(), batch.dir.subarray(0, rows));
  add(SPAN_COLUMNS.type, new Uint8(), batch.type.subarray(0, rows));
  add(SPAN_COLUMNS.flags, new Uint16(), batch.flags.subarray(0, rows));
  add(SPAN_COLUMNS.amount, new Uint32(), batch.amount.subarray(0, rows));
  add(SPAN_COLUMNS.value, new Uint32(), batch.value.subarray(0, rows));
  add(SPAN_COLUMNS.group, new Uint32(), batch.group.subarray(0, rows));
  if (weight !== null) add(SPAN_COLUMNS.weight, new Float32(), weight);
  plan.boundaries.forEach((boundary, b) => {
    f64(boundaryColumn(boundary.name), batch.at[b]!);
  });
  plan.preempted.forEach((from, p) => {
    f64(preemptedColumn(from), batch.preempted[p]!);
  });
  return table.stream();
}

/** The cells that stand for all spans, in the same form. */
export function cellsToArrow(cells: Cells): Uint8Array {
  const table = new Columns(cells.rows);
  table.add(SPAN_COLUMNS.start, new Float64(), cells.start);
  table.add(SPAN_COLUMNS.total, new Float64(), cells.total);
  table.add(SPAN_COLUMNS.device, new Uint16(), cells.device);
  table.add(SPAN_COLUMNS.key, new Uint32(), cells.key);
  table.add(SPAN_COLUMNS.dir, new Uint8(), cells.dir);
  table.add(SPAN_COLUMNS.weight, new Float32(), cells.weight);
  return table.stream();
}

class Columns {
  private readonly rows: number;
  private readonly fields: Field[] = [];
  private readonly children: ReturnType<typeof makeData>[] = [];

  constructor(rows: number) {
    this.rows = rows;
  }

  add(name: string, type: DataType, data: ArrayBufferView): void {
    this.fields.push(new Field(name, type, false));
    const column = { type, length: this.rows, nullCount: 0, data };
    this.children.push(makeData(column as Parameters<typeof makeData>[0]));
  }

  /** Schema, one record batch, end. */
  stream(): Uint8Array {
    const type = new Struct(this.fields);
    const data = makeData({ type, length: this.rows, nullCount: 0, children: this.children });
    const schema = new Schema(this.fields);
    return RecordBatchStreamWriter.writeAll([new RecordBatch(schema, data)]).toUint8Array(true);
  }
}
