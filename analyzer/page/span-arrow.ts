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
import { boundaryColumn, preemptedColumn, SPAN_COLUMNS } from './page-format.ts';

/**
 * One batch of spans as a whole Arrow IPC stream (schema, one record batch, end), uncompressed. Zero-copy into
 * Arrow: the columns are taken as they are. A float64 that is NaN is a missing boundary; there are no nulls.
 */
export function spansToArrow(plan: SpanPlan, batch: SpanBatch, weight: Float32Array | null): Uint8Array {
  const rows = batch.length;
  const fields: Field[] = [];
  const children: ReturnType<typeof makeData>[] = [];
  const add = (name: string, type: DataType, data: ArrayBufferView): void => {
    fields.push(new Field(name, type, false));
    children.push(makeData({ type, length: rows, nullCount: 0, data } as Parameters<typeof makeData>[0]));
  };
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
  const type = new Struct(fields);
  const data = makeData({ type, length: rows, nullCount: 0, children });
  const schema = new Schema(fields);
  return RecordBatchStreamWriter.writeAll([new RecordBatch(schema, data)]).toUint8Array(true);
}
