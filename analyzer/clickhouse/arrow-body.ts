import {
  Data,
  Field,
  Float64,
  List,
  RecordBatch,
  Schema,
  Struct,
  Uint16,
  Uint32,
  Uint8,
  makeData,
} from 'apache-arrow';
import type { DataType, TypeMap } from 'apache-arrow';
import { EVENT_COLUMNS } from '../../trace/arrow/event-schema.ts';
import { eventSchema, toRecordBatch } from '../../trace/arrow-events.ts';
import { DirectStreamWriter } from '../../trace/arrow-file.ts';
import type { EventColumns } from '../../trace/columns.ts';
import type { SpanBatch, SpanPlan } from '../../trace/spans.ts';

const CLICKHOUSE_TYPES: Readonly<Record<string, string>> = {
  f64: 'Float64',
  u16: 'UInt16',
  u32: 'UInt32',
  i32: 'Int32',
  u64: 'UInt64',
};

/** What ClickHouse reads an event of the stream below as; `n` is its place in the block of rows. */
export const EVENT_INPUT = [
  'n UInt32',
  ...EVENT_COLUMNS.map(({ name, type }) => `${name} ${CLICKHOUSE_TYPES[type]!}`),
].join(', ');

/** Rows [from, to) of a batch, as views. */
export function eventRows(batch: EventColumns, from: number, to: number): EventColumns {
  return {
    length: to - from,
    ts: batch.ts.subarray(from, to),
    kind: batch.kind.subarray(from, to),
    cpu: batch.cpu.subarray(from, to),
    domid: batch.domid.subarray(from, to),
    vcpu: batch.vcpu.subarray(from, to),
    pid: batch.pid.subarray(from, to),
    addr: batch.addr.subarray(2 * from, 2 * to),
    data: batch.data.subarray(2 * from, 2 * to),
    arg0: batch.arg0.subarray(from, to),
    arg1: batch.arg1.subarray(from, to),
    arg2: batch.arg2.subarray(from, to),
    arg3: batch.arg3.subarray(from, to),
  };
}

/** An Arrow IPC stream of events: `n` ascends from 0. Pieces are views into the batches: nothing is held or copied. */
export function* eventBody(
  source: string,
  batches: Iterable<EventColumns>,
): Generator<Uint8Array, void, undefined> {
  const events = eventSchema(source);
  const schema = new Schema([new Field('n', new Uint32(), false), ...events.fields]);
  let first = 0;
  yield* arrowStream(schema, function* () {
    for (const batch of batches) {
      const numbers = new Uint32Array(batch.length);
      for (let i = 0; i < numbers.length; i++) numbers[i] = first + i;
      first += batch.length;
      const columns = toRecordBatch(events, batch).data.children;
      const n = makeData({ type: new Uint32(), length: batch.length, nullCount: 0, data: numbers });
      yield recordBatch(schema, batch.length, [n, ...columns]);
    }
  });
}

/** Columns of SpanBatch with one number a span. */
type NumberColumn = Exclude<keyof SpanBatch, 'length' | 'capacity' | 'full' | 'at' | 'preempted'>;

const SPAN_FIELDS: readonly (readonly [name: NumberColumn, type: DataType, clickhouse: string])[] = [
  ['start', new Float64(), 'Float64'],
  ['total', new Float64(), 'Float64'],
  ['device', new Uint16(), 'UInt16'],
  ['key', new Uint32(), 'UInt32'],
  ['vcpu', new Uint16(), 'UInt16'],
  ['dir', new Uint8(), 'UInt8'],
  ['type', new Uint8(), 'UInt8'],
  ['flags', new Uint16(), 'UInt16'],
  ['amount', new Uint32(), 'UInt32'],
  ['value', new Uint32(), 'UInt32'],
  ['group', new Uint32(), 'UInt32'],
];

export const SPAN_NUMBERS = SPAN_FIELDS.map(([name]) => name);

export const SPAN_COLUMNS: readonly string[] = [...SPAN_NUMBERS, 'at', 'preempted'];

export const SPAN_INPUT = [
  ...SPAN_FIELDS.map(([name, , type]) => `\`${name}\` ${type}`),
  'at Array(Float64)',
  'preempted Array(Float64)',
].join(', ');

const times = (): List<Float64> => new List(new Field('item', new Float64(), false));

export function spanSchema(): Schema {
  return new Schema([
    ...SPAN_FIELDS.map(([name, type]) => new Field(name, type, false)),
    new Field('at', times(), false),
    new Field('preempted', times(), false),
  ]);
}

/** A batch of spans as an Arrow record batch with memory of its own. */
export function spanRecordBatch(schema: Schema, plan: SpanPlan, batch: SpanBatch): RecordBatch {
  const rows = batch.length;
  const children = SPAN_FIELDS.map(([name, type]) => {
    const data = batch[name].slice(0, rows);
    return new Data(type, 0, rows, 0, [undefined, data]);
  });
  children.push(
    lists(batch.at, plan.boundaries.length, rows),
    lists(batch.preempted, plan.preempted.length, rows),
  );
  return recordBatch(schema, rows, children);
}

function lists(columns: readonly Float64Array[], width: number, rows: number): Data {
  const values = new Float64Array(rows * width);
  for (let k = 0; k < width; k++) {
    const column = columns[k]!;
    for (let i = 0; i < rows; i++) values[i * width + k] = column[i]!;
  }
  const offsets = Int32Array.from({ length: rows + 1 }, (_, i) => i * width);
  const child = makeData({ type: new Float64(), length: values.length, nullCount: 0, data: values });
  return makeData({ type: times(), length: rows, nullCount: 0, valueOffsets: offsets, child });
}

export function* arrowStream(
  schema: Schema,
  batches: () => Iterable<RecordBatch>,
): Generator<Uint8Array, void, undefined> {
  let pieces: Uint8Array[] = [];
  const writer = new DirectStreamWriter(schema, (bytes) => {
    pieces.push(bytes);
  });
  for (const batch of batches()) {
    writer.batch(batch);
    const ready = pieces;
    pieces = [];
    yield* ready;
  }
  writer.end();
  yield* pieces;
}

function recordBatch(schema: Schema, length: number, children: Data[]): RecordBatch {
  const struct = makeData({ type: new Struct(schema.fields), length, nullCount: 0, children });
  return new RecordBatch(schema, struct as Data<Struct<TypeMap>>);
}
