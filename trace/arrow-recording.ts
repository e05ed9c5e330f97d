import {
  Binary,
  Field,
  RecordBatch,
  Schema,
  Struct,
  Uint16,
  Uint32,
  Uint64,
  Uint8,
  Utf8,
  makeData,
} from 'apache-arrow';
import type { Data, TypeMap } from 'apache-arrow';
import { META_FORMAT, META_SOURCE } from './arrow/event-schema.ts';
import { FORMAT_VERSION } from './manifest.ts';
import type { RecordingBatch } from './recording.ts';

/** The Arrow schema of a recording file: the columns of RecordingBatch, payload and rest of variable width. */
export function recordingSchema(sourceId: string): Schema {
  const fields = [
    new Field('step', new Uint32(), false),
    new Field('tag', new Uint8(), false),
    new Field('addr', new Uint64(), false),
    new Field('size', new Uint32(), false),
    new Field('value', new Uint64(), false),
    new Field('vcpu', new Uint16(), false),
    new Field('transport', new Uint16(), false),
    new Field('queue', new Uint16(), false),
    new Field('adv', new Uint32(), false),
    new Field('bytes', new Binary(), false),
    new Field('rest', new Utf8(), false),
  ];
  const metadata = [
    [META_FORMAT, String(FORMAT_VERSION)],
    [META_SOURCE, sourceId],
  ] as const;
  return new Schema(fields, new Map(metadata));
}

export function toRecordingRecordBatch(schema: Schema, batch: RecordingBatch): RecordBatch {
  const length = batch.length;
  const wide = (column: Uint32Array): BigUint64Array =>
    new BigUint64Array(column.buffer, column.byteOffset, length);
  const u16 = (column: Uint16Array): Data =>
    makeData({ type: new Uint16(), length, nullCount: 0, data: column.subarray(0, length) });
  const u32 = (column: Uint32Array): Data =>
    makeData({ type: new Uint32(), length, nullCount: 0, data: column.subarray(0, length) });
  const u64 = (column: Uint32Array): Data =>
    makeData({ type: new Uint64(), length, nullCount: 0, data: wide(column) });
  const texts = batch.rest.slice(0, length).map((text) => utf8.encode(text));
  const restStart = new Int32Array(length + 1);
  texts.forEach((text, i) => (restStart[i + 1] = restStart[i]! + text.length));
  const rest = new Uint8Array(restStart[length]!);
  texts.forEach((text, i) => {
    rest.set(text, restStart[i]);
  });
  const children: Data[] = [
    u32(batch.step),
    makeData({ type: new Uint8(), length, nullCount: 0, data: batch.tag.subarray(0, length) }),
    u64(batch.addr),
    u32(batch.size),
    u64(batch.value),
    u16(batch.vcpu),
    u16(batch.transport),
    u16(batch.queue),
    u32(batch.adv),
    makeData({
      type: new Binary(),
      length,
      nullCount: 0,
      valueOffsets: Int32Array.from(batch.bytesStart.subarray(0, length + 1)),
      data: batch.bytes.subarray(0, batch.byteLength),
    }),
    makeData({ type: new Utf8(), length, nullCount: 0, valueOffsets: restStart, data: rest }),
  ];
  const struct = makeData({ type: new Struct(schema.fields), length, nullCount: 0, children });
  return new RecordBatch(schema, struct as Data<Struct<TypeMap>>);
}

const utf8 = new TextEncoder();
