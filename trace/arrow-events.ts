import {
  Field,
  Float64,
  Int32,
  RecordBatch,
  Schema,
  Struct,
  Uint16,
  Uint32,
  Uint64,
  makeData,
} from 'apache-arrow';
import type { Data, DataType, TypeMap } from 'apache-arrow';
import { EVENT_COLUMNS, META_FORMAT, META_SOURCE } from './arrow/event-schema.ts';
import type { EventColumnName } from './arrow/event-schema.ts';
import type { ColumnType } from './arrow/message.ts';
import type { EventColumns } from './columns.ts';
import { FORMAT_VERSION } from './manifest.ts';

const TYPES: Partial<Record<ColumnType, DataType>> = {
  f64: new Float64(),
  u64: new Uint64(),
  u32: new Uint32(),
  i32: new Int32(),
  u16: new Uint16(),
};

/** The Arrow schema of an event file: columns of event-schema.ts, none nullable, with version and source id. */
export function eventSchema(sourceId: string): Schema {
  const fields = EVENT_COLUMNS.map(({ name, type }) => new Field(name, arrowType(type), false));
  return new Schema(
    fields,
    new Map([
      [META_FORMAT, String(FORMAT_VERSION)],
      [META_SOURCE, sourceId],
    ]),
  );
}

/** A batch's first `length` rows as an Arrow record batch over the same memory. */
export function toRecordBatch(schema: Schema, batch: EventColumns): RecordBatch {
  const rows = batch.length;
  const children = EVENT_COLUMNS.map(({ name }) => columnData(batch, name, rows));
  const struct = makeData({
    type: new Struct(schema.fields),
    length: rows,
    nullCount: 0,
    children,
  });
  return new RecordBatch(schema, struct as Data<Struct<TypeMap>>);
}

function columnData(batch: EventColumns, name: EventColumnName, rows: number): Data {
  switch (name) {
    case 'ts':
      return makeData({ type: new Float64(), length: rows, nullCount: 0, data: batch.ts.subarray(0, rows) });
    case 'pid':
      return makeData({ type: new Int32(), length: rows, nullCount: 0, data: batch.pid.subarray(0, rows) });
    case 'kind':
    case 'cpu':
    case 'domid':
    case 'vcpu':
      return makeData({
        type: new Uint16(),
        length: rows,
        nullCount: 0,
        data: batch[name].subarray(0, rows),
      });
    case 'addr':
    case 'data':
      return makeData({ type: new Uint64(), length: rows, nullCount: 0, data: wide(batch[name], rows) });
    case 'arg0':
    case 'arg1':
    case 'arg2':
    case 'arg3':
      return makeData({
        type: new Uint32(),
        length: rows,
        nullCount: 0,
        data: batch[name].subarray(0, rows),
      });
  }
}

/** The u32 halves seen as 64-bit values; copied only if they do not lie at a multiple of 8. */
function wide(column: Uint32Array, rows: number): BigUint64Array {
  const halves = column.byteOffset % 8 === 0 ? column : column.slice(0, 2 * rows);
  return new BigUint64Array(halves.buffer, halves.byteOffset, rows);
}

function arrowType(type: ColumnType): DataType {
  const known = TYPES[type];
  if (known === undefined) throw new RangeError(`no event column has type ${type}`);
  return known;
}
