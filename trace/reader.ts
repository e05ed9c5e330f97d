import { EVENT_COLUMNS } from './arrow/event-schema.ts';
import type { EventColumnName } from './arrow/event-schema.ts';
import type { BatchMessage, SchemaMessage } from './arrow/message.ts';
import { FrameReader } from './arrow/stream.ts';
import type { ByteInput } from './bytes/input.ts';
import { StreamedColumns } from './column-stream.ts';
import type { EventColumns } from './columns.ts';
import { TraceError, isTraceError } from './errors.ts';

/**
 * One event file as batches of columns. Nothing of Node is used here: the page reads with it too.
 *
 * All whole batches come first; what stops the reading before the end mark is in `damage` then.
 */
export interface EventScan {
  /** Rows in whole batches. */
  rows: number;
  batches: number;
  /** The writer closed the file: nothing is missing at its end. */
  sealed: boolean;
  /** Bytes of whole batches, header included. */
  bytes: number;
  damage?: TraceError;
  metadata: ReadonlyMap<string, string>;
}

/** Walks over the frames without reading a row: two small reads a batch. Never throws on damage. */
export function scanEvents(input: ByteInput): EventScan {
  const frames = new FrameReader(input);
  const scan: EventScan = { rows: 0, batches: 0, sealed: false, bytes: 0, metadata: new Map() };
  try {
    const schema = readEventSchema(frames, input);
    scan.metadata = schema.message.metadata;
    scan.bytes = frames.offset;
    for (let frame = frames.next(); frame !== undefined; frame = frames.next()) {
      scan.bytes = frames.offset;
      scan.batches++;
      scan.rows += (frame.message as BatchMessage).rows;
    }
    scan.sealed = frames.ended;
  } catch (error) {
    if (!isTraceError(error)) throw error;
    scan.damage = error;
  }
  return scan;
}

/**
 * Gives every whole batch of an event file, as views into the bytes of its record batch: no value is copied.
 * Each batch has memory of its own, so it stays valid. Ends at the end mark or at the first damage, which
 * scanEvents tells of; a file whose very schema is bad gives nothing.
 */
export function* readEvents(input: ByteInput): Generator<EventColumns, void, undefined> {
  const frames = new FrameReader(input);
  let places: ReadonlyMap<EventColumnName, number>;
  try {
    places = readEventSchema(frames, input).places;
  } catch (error) {
    if (isTraceError(error)) return;
    throw error;
  }
  for (;;) {
    let batch: EventColumns | undefined;
    try {
      const frame = frames.next();
      if (frame === undefined) return;
      const message = frame.message as BatchMessage;
      const body = new Uint8Array(message.bodyLength);
      if (input.read(frame.bodyAt, body) < body.length) return;
      batch = viewBatch(body.buffer, message, places);
    } catch (error) {
      if (isTraceError(error)) return;
      throw error;
    }
    yield batch;
  }
}

/**
 * The same batches for one walk over a long file: always the one object, whose columns are read when they are asked
 * for and are valid until the next batch. Gives nothing if the very schema is bad; reading a column can throw
 * (StreamedColumns).
 */
export function* streamEvents(input: ByteInput): Generator<StreamedColumns, void, undefined> {
  const frames = new FrameReader(input);
  try {
    const batch = new StreamedColumns(input, readEventSchema(frames, input).places);
    for (let frame = frames.next(); frame !== undefined; frame = frames.next()) {
      batch.move(frame.message as BatchMessage, frame.bodyAt);
      yield batch;
    }
  } catch (error) {
    if (!isTraceError(error)) throw error;
  }
}

/** Reads the schema and finds the place of each event column in it. Throws E_TRACE_DAMAGED. */
function readEventSchema(
  frames: FrameReader,
  input: ByteInput,
): { message: SchemaMessage; places: ReadonlyMap<EventColumnName, number> } {
  const message = frames.next()?.message;
  if (message?.kind !== 'schema') {
    throw new TraceError('E_TRACE_DAMAGED', 'an event file without schema', {
      source: input.name,
      offset: 0,
      expected: 'an Arrow IPC stream',
      got: input.size === 0 ? 'an empty file' : 'none',
    });
  }
  const places = new Map<EventColumnName, number>();
  for (const { name, type } of EVENT_COLUMNS) {
    const place = message.fields.findIndex((field) => field.name === name);
    if (place < 0 || message.fields[place]!.type !== type) {
      throw new TraceError('E_TRACE_DAMAGED', `column ${name} is not as the format says`, {
        source: input.name,
        offset: 0,
        expected: type,
        got: place < 0 ? 'none' : message.fields[place]!.type,
      });
    }
    places.set(name, place);
  }
  return { message, places };
}

function viewBatch(
  body: ArrayBuffer,
  message: BatchMessage,
  places: ReadonlyMap<EventColumnName, number>,
): EventColumns {
  const at = (name: EventColumnName): number => message.columns[places.get(name)!]!.at;
  const { rows } = message;
  return {
    length: rows,
    ts: new Float64Array(body, at('ts'), rows),
    kind: new Uint16Array(body, at('kind'), rows),
    cpu: new Uint16Array(body, at('cpu'), rows),
    domid: new Uint16Array(body, at('domid'), rows),
    vcpu: new Uint16Array(body, at('vcpu'), rows),
    pid: new Int32Array(body, at('pid'), rows),
    addr: new Uint32Array(body, at('addr'), rows * 2),
    data: new Uint32Array(body, at('data'), rows * 2),
    arg0: new Uint32Array(body, at('arg0'), rows),
    arg1: new Uint32Array(body, at('arg1'), rows),
    arg2: new Uint32Array(body, at('arg2'), rows),
    arg3: new Uint32Array(body, at('arg3'), rows),
  };
}
