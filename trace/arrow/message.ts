import { BadFlatbuffer, Flat } from './flatbuffer.ts';

/**
 * Messages of an Arrow IPC stream (format/Message.fbs, format/Schema.fbs, metadata version V4/V5), for streams
 * of flat columns of numbers, texts and bytes. apache-arrow reads them too; this reader is here because traces come from
 * strangers (every offset checked, no allocation that the file does not back), because it gives typed-array
 * views without a vector layer between, and because the page needs no 200 kB library for it.
 */
export type NumberType = 'f64' | 'u64' | 'i64' | 'u32' | 'i32' | 'u16' | 'i16' | 'u8' | 'i8' | 'f32';
/** Variable width: i32 offsets (one more than rows) and the bytes they point into. */
export type ColumnType = NumberType | 'utf8' | 'binary';

const WIDTH: Readonly<Record<NumberType, number>> = {
  f64: 8,
  u64: 8,
  i64: 8,
  u32: 4,
  i32: 4,
  f32: 4,
  u16: 2,
  i16: 2,
  u8: 1,
  i8: 1,
};

export interface SchemaMessage {
  readonly kind: 'schema';
  readonly bodyLength: number;
  readonly fields: readonly { readonly name: string; readonly type: ColumnType }[];
  readonly metadata: ReadonlyMap<string, string>;
}

export interface BatchMessage {
  readonly kind: 'batch';
  readonly bodyLength: number;
  readonly rows: number;
  /** Where each column lies in the body, in the schema's order. */
  readonly columns: readonly ColumnPlace[];
}

export interface ColumnPlace {
  /** First byte of the values, a multiple of 8. */
  readonly at: number;
  /** Bytes of the values. */
  readonly length: number;
  /** First byte of a variable-width column's offsets, a multiple of 8; -1 for numbers. */
  readonly offsetsAt: number;
}

const HEADER_SCHEMA = 1;
const HEADER_RECORD_BATCH = 3;
const TYPE_INT = 2;
const TYPE_FLOAT = 3;
const TYPE_BINARY = 4;
const TYPE_UTF8 = 5;
const MAX_FIELDS = 256;

/** Reads one message's metadata. `columns` are the schema's, undefined until it was met. Throws BadFlatbuffer. */
export function readMessage(
  bytes: Uint8Array,
  columns: readonly ColumnType[] | undefined,
): SchemaMessage | BatchMessage {
  const flat = new Flat(bytes);
  const message = flat.indirect(0);
  const typeAt = flat.field(message, 1);
  const type = typeAt === 0 ? 0 : flat.u8(typeAt);
  const header = flat.table(message, 2);
  const lengthAt = flat.field(message, 3);
  const bodyLength = lengthAt === 0 ? 0 : flat.size64(lengthAt, 'the body length');
  if (header === 0) throw new BadFlatbuffer('a message without header');
  if (bodyLength % 8 !== 0) throw new BadFlatbuffer(`a body of ${bodyLength} bytes, no multiple of 8`);
  if (type === HEADER_SCHEMA) return { ...readSchema(flat, header), bodyLength };
  if (type !== HEADER_RECORD_BATCH) throw new BadFlatbuffer(`a message of type ${type}`);
  if (columns === undefined) throw new BadFlatbuffer('a record batch before the schema');
  return readBatch(flat, header, bodyLength, columns);
}

function readSchema(flat: Flat, schema: number): Omit<SchemaMessage, 'bodyLength'> {
  const endianAt = flat.field(schema, 0);
  if (endianAt !== 0 && flat.i16(endianAt) !== 0) throw new BadFlatbuffer('columns that are big endian');
  const list = flat.vector(schema, 1, 4);
  if (list.count > MAX_FIELDS) throw new BadFlatbuffer(`${list.count} columns`);
  const fields: { name: string; type: ColumnType }[] = [];
  for (let i = 0; i < list.count; i++) {
    const field = flat.indirect(list.at + 4 * i);
    const name = flat.text(field, 0);
    if (flat.table(field, 4) !== 0) throw new BadFlatbuffer(`column ${name} with a dictionary`);
    fields.push({ name, type: columnType(flat, field, name) });
  }
  const metadata = new Map<string, string>();
  const pairs = flat.vector(schema, 2, 4);
  if (pairs.count > MAX_FIELDS) throw new BadFlatbuffer(`${pairs.count} metadata entries`);
  for (let i = 0; i < pairs.count; i++) {
    const pair = flat.indirect(pairs.at + 4 * i);
    metadata.set(flat.text(pair, 0), flat.text(pair, 1));
  }
  return { kind: 'schema', fields, metadata };
}

function columnType(flat: Flat, field: number, name: string): ColumnType {
  const tagAt = flat.field(field, 2);
  const tag = tagAt === 0 ? 0 : flat.u8(tagAt);
  const type = flat.table(field, 3);
  if (type !== 0 && tag === TYPE_INT) {
    const bitsAt = flat.field(type, 0);
    const signedAt = flat.field(type, 1);
    const bits = bitsAt === 0 ? 0 : flat.i32(bitsAt);
    const signed = signedAt !== 0 && flat.u8(signedAt) !== 0;
    if (bits === 8) return signed ? 'i8' : 'u8';
    if (bits === 16) return signed ? 'i16' : 'u16';
    if (bits === 32) return signed ? 'i32' : 'u32';
    if (bits === 64) return signed ? 'i64' : 'u64';
  }
  if (type !== 0 && tag === TYPE_FLOAT) {
    const precisionAt = flat.field(type, 0);
    const precision = precisionAt === 0 ? 0 : flat.i16(precisionAt);
    if (precision === 1) return 'f32';
    if (precision === 2) return 'f64';
  }
  if (tag === TYPE_BINARY) return 'binary';
  if (tag === TYPE_UTF8) return 'utf8';
  throw new BadFlatbuffer(`column ${name} of type ${tag}, no number, text or bytes`);
}

/**
 * Each column has one node (16 bytes: length, nulls) and two buffers (16 bytes each: offset, length): validity
 * and values; one of variable width has its offsets between them.
 */
function readBatch(
  flat: Flat,
  header: number,
  bodyLength: number,
  types: readonly ColumnType[],
): BatchMessage {
  const rowsAt = flat.field(header, 0);
  const rows = rowsAt === 0 ? 0 : flat.size64(rowsAt, 'the number of rows');
  const nodes = flat.vector(header, 1, 16);
  const buffers = flat.vector(header, 2, 16);
  if (flat.table(header, 3) !== 0) throw new BadFlatbuffer('a compressed body');
  const wide = types.filter(isWide).length;
  if (nodes.count !== types.length || buffers.count !== 2 * types.length + wide) {
    throw new BadFlatbuffer(`${nodes.count} nodes and ${buffers.count} buffers for ${types.length} columns`);
  }
  const bufferAt = (index: number, least: number): { at: number; length: number } => {
    const at = flat.size64(buffers.at + 16 * index, 'a buffer offset');
    const length = flat.size64(buffers.at + 16 * index + 8, 'a buffer length');
    if (at % 8 !== 0 || at + length > bodyLength || length < least) {
      throw new BadFlatbuffer(
        `buffer ${index} at ${at} + ${length} in a body of ${bodyLength}, ${rows} rows`,
      );
    }
    return { at, length };
  };
  const columns: ColumnPlace[] = [];
  let buffer = 0;
  for (let i = 0; i < types.length; i++) {
    const nodeRows = flat.size64(nodes.at + 16 * i, 'the length of a column');
    const nulls = flat.size64(nodes.at + 16 * i + 8, 'the null count');
    if (nodeRows !== rows || nulls !== 0) {
      throw new BadFlatbuffer(`column ${i} of ${nodeRows} rows with ${nulls} nulls in a batch of ${rows}`);
    }
    buffer++;
    const type = types[i]!;
    if (type === 'utf8' || type === 'binary') {
      const offsets = bufferAt(buffer++, rows === 0 ? 0 : 4 * (rows + 1));
      columns.push({ ...bufferAt(buffer++, 0), offsetsAt: offsets.at });
    } else {
      columns.push({ ...bufferAt(buffer++, rows * WIDTH[type]), offsetsAt: -1 });
    }
  }
  return { kind: 'batch', bodyLength, rows, columns };
}

function isWide(type: ColumnType): boolean {
  return type === 'utf8' || type === 'binary';
}
