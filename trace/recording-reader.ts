import type { BatchMessage, ColumnType, SchemaMessage } from './arrow/message.ts';
import { FrameReader } from './arrow/stream.ts';
import type { ByteInput } from './bytes/input.ts';
import { TraceError } from './errors.ts';
import { RecordingBatch } from './recording.ts';

const COLUMNS: readonly { readonly name: string; readonly type: ColumnType }[] = [
  { name: 'step', type: 'u32' },
  { name: 'tag', type: 'u8' },
  { name: 'addr', type: 'u64' },
  { name: 'size', type: 'u32' },
  { name: 'value', type: 'u64' },
  { name: 'vcpu', type: 'u16' },
  { name: 'transport', type: 'u16' },
  { name: 'queue', type: 'u16' },
  { name: 'adv', type: 'u32' },
  { name: 'bytes', type: 'binary' },
  { name: 'rest', type: 'utf8' },
];

/**
 * Gives every whole batch of a recording file; number columns and payloads are views into the file's bytes.
 * Throws E_TRACE_DAMAGED after the last whole batch if the file does not end as it must: a replay may not go
 * on with a part of a recording without knowing it.
 */
export function* readRecording(input: ByteInput): Generator<RecordingBatch, void, undefined> {
  const frames = new FrameReader(input);
  const schema = frames.next()?.message;
  if (schema?.kind !== 'schema') throw damaged(input, 0, 'an Arrow IPC stream', 'none');
  checkSchema(schema, input);
  for (let frame = frames.next(); frame !== undefined; frame = frames.next()) {
    const message = frame.message as BatchMessage;
    const body = new Uint8Array(message.bodyLength);
    if (input.read(frame.bodyAt, body) < body.length) break;
    yield view(body.buffer, message, input, frame.at);
  }
  if (!frames.ended) throw damaged(input, frames.offset, 'the end mark', 'the end of the file');
}

function checkSchema({ fields }: SchemaMessage, input: ByteInput): void {
  const names = (list: readonly { name: string; type: string }[]): string =>
    list.map(({ name, type }) => `${name} ${type}`).join(', ');
  if (names(fields) !== names(COLUMNS)) throw damaged(input, 0, names(COLUMNS), names(fields));
}

function view(body: ArrayBuffer, message: BatchMessage, input: ByteInput, at: number): RecordingBatch {
  const { rows, columns } = message;
  const place = (name: string): BatchMessage['columns'][number] =>
    columns[COLUMNS.findIndex((column) => column.name === name)]!;
  const bytes = place('bytes');
  const rest = place('rest');
  const bytesStart = starts(body, bytes, rows, input, at);
  const restStart = starts(body, rest, rows, input, at);
  const texts = new Uint8Array(body, rest.at, rest.length);
  return Object.assign(new RecordingBatch(0), {
    capacity: rows,
    length: rows,
    step: new Uint32Array(body, place('step').at, rows),
    tag: new Uint8Array(body, place('tag').at, rows),
    addr: new Uint32Array(body, place('addr').at, 2 * rows),
    size: new Uint32Array(body, place('size').at, rows),
    value: new Uint32Array(body, place('value').at, 2 * rows),
    vcpu: new Uint16Array(body, place('vcpu').at, rows),
    transport: new Uint16Array(body, place('transport').at, rows),
    queue: new Uint16Array(body, place('queue').at, rows),
    adv: new Uint32Array(body, place('adv').at, rows),
    bytesStart,
    bytes: new Uint8Array(body, bytes.at, bytes.length),
    rest: Array.from({ length: rows }, (_, i) => utf8.decode(texts.subarray(restStart[i], restStart[i + 1]))),
  });
}

/** The offsets of a variable-width column: rising, within its bytes. */
function starts(
  body: ArrayBuffer,
  { offsetsAt, length }: BatchMessage['columns'][number],
  rows: number,
  input: ByteInput,
  at: number,
): Uint32Array {
  if (rows === 0) return new Uint32Array(1);
  const offsets = new Uint32Array(body, offsetsAt, rows + 1);
  for (let i = 0; i <= rows; i++) {
    const least = i === 0 ? 0 : offsets[i - 1]!;
    if (offsets[i]! >= least && offsets[i]! <= length) continue;
    throw damaged(input, at, `offsets from ${least} to ${length}`, `${offsets[i]!} in row ${i}`);
  }
  return offsets;
}

function damaged(input: ByteInput, offset: number, expected: string, got: string): TraceError {
  return new TraceError('E_TRACE_DAMAGED', 'the recording is damaged', {
    source: input.name,
    offset,
    expected,
    got,
  });
}

const utf8 = new TextDecoder('utf-8', { fatal: false });
