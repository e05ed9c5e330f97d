import type { Column, Columns } from '../../analyzer/page/page-columns.ts';
import { readMessage, type ColumnType, type NumberType } from '../../trace/arrow/message.ts';

const ARRAYS: Partial<
  Record<NumberType, new (buffer: ArrayBufferLike, at: number, length: number) => Column>
> = { f64: Float64Array, f32: Float32Array, u32: Uint32Array, u16: Uint16Array, u8: Uint8Array };

const CONTINUATION = 0xffffffff;

/**
 * Columns of a span table by name: an Arrow IPC stream of a schema and one record batch, as the analyzer writes
 * it. They are views of `bytes`, which must begin at a multiple of 8. Throws an Error that says what is wrong
 * where, whatever the bytes are.
 */
export function arrowColumns(bytes: Uint8Array): Columns {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const columns = new Map<string, Column>();
  let fields: readonly { name: string; type: ColumnType }[] | undefined;
  for (let at = 0; at + 8 <= bytes.length;) {
    const length = view.getUint32(at + 4, true);
    if (view.getUint32(at, true) !== CONTINUATION) throw damaged(at, 'no Arrow message');
    if (length === 0) break;
    const body = at + 8 + length;
    if (length % 8 !== 0 || body > bytes.length) throw damaged(at, `an Arrow message of ${length} bytes`);
    const message = readMessage(
      bytes.subarray(at + 8, body),
      fields?.map((f) => f.type),
    );
    if (body + message.bodyLength > bytes.length) throw damaged(at, 'a batch that is cut off');
    if (message.kind === 'schema') fields = message.fields;
    else {
      for (const [k, { name, type }] of fields!.entries()) {
        const make = ARRAYS[type as NumberType];
        const place = message.columns[k]!;
        if (make !== undefined) {
          columns.set(name, new make(bytes.buffer, bytes.byteOffset + body + place.at, message.rows));
        }
      }
      return { rows: message.rows, columns };
    }
    at = body + message.bodyLength;
  }
  throw damaged(bytes.length, 'the end of the table before its rows');
}

const damaged = (at: number, what: string): Error => new Error(`byte ${at} of a span table: ${what}`);
