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
import { cellColumns, spanColumns, type Column, type Columns } from './page-columns.ts';

/** One batch of spans as a whole Arrow IPC stream (schema, one record batch, end), uncompressed, without nulls. */
export function spansToArrow(plan: SpanPlan, batch: SpanBatch, weight: Float32Array | null): Uint8Array {
  return toArrow(spanColumns(plan, batch, weight));
}

/** The cells that stand for all spans, in the same form. */
export const cellsToArrow = (cells: Cells): Uint8Array => toArrow(cellColumns(cells));

function toArrow({ rows, columns }: Columns): Uint8Array {
  const fields: Field[] = [];
  const children: ReturnType<typeof makeData>[] = [];
  for (const [name, data] of columns) {
    const type = typeOf(data);
    fields.push(new Field(name, type, false));
    // Zero-copy: the column is taken as it is.
    children.push(makeData({ type, length: rows, nullCount: 0, data } as Parameters<typeof makeData>[0]));
  }
  const data = makeData({ type: new Struct(fields), length: rows, nullCount: 0, children });
  return RecordBatchStreamWriter.writeAll([new RecordBatch(new Schema(fields), data)]).toUint8Array(true);
}

function typeOf(column: Column): DataType {
  if (column instanceof Float64Array) return new Float64();
  if (column instanceof Float32Array) return new Float32();
  if (column instanceof Uint32Array) return new Uint32();
  return column instanceof Uint16Array ? new Uint16() : new Uint8();
}
