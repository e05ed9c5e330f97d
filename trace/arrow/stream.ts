import type { ByteInput } from '../bytes/input.ts';
import { TraceError } from '../errors.ts';
import { BadFlatbuffer } from './flatbuffer.ts';
import type { BatchMessage, ColumnType, SchemaMessage } from './message.ts';
import { readMessage } from './message.ts';

/**
 * The frames of an Arrow IPC stream: 0xffffffff, length of the metadata (u32), metadata, body; the end is
 * 0xffffffff 0 (Arrow columnar format, "Encapsulated message format"). Bodies are not touched here.
 */
export interface Frame {
  readonly message: SchemaMessage | BatchMessage;
  /** File offset of the frame's first byte. */
  readonly at: number;
  /** File offset of the body. */
  readonly bodyAt: number;
}

const CONTINUATION = 0xffffffff;
/** Metadata of a batch of 12 columns is about 1 kB; the schema's about 2 kB. */
const MAX_METADATA = 1 << 20;
/** A body larger than this is no batch of 64 k rows. Also the largest allocation a file can cause. */
const MAX_BODY = 1 << 28;

export class FrameReader {
  /** True once the end mark was read. */
  ended = false;
  private readonly input: ByteInput;
  private readonly prefix = new Uint8Array(8);
  private readonly prefixView = new DataView(this.prefix.buffer);
  private metadata = new Uint8Array(4096);
  private columns: readonly ColumnType[] | undefined;
  private position = 0;

  constructor(input: ByteInput) {
    this.input = input;
  }

  /** File offset of the next frame. */
  get offset(): number {
    return this.position;
  }

  /**
   * The next frame whose body lies wholly in the file; undefined at the end of the stream: at the end mark
   * (`ended`), or at the end of the file where only a killed writer leaves it.
   * Throws E_TRACE_DAMAGED (offset, expected, got) if the frame is cut off or contradicts the format.
   */
  next(): Frame | undefined {
    if (this.ended) return undefined;
    const at = this.position;
    const left = this.input.size - at;
    if (left === 0) return undefined;
    if (this.input.read(at, this.prefix) < 8) throw this.cut(at, 8, left, 'the frame of a message');
    const mark = this.prefixView.getUint32(0, true);
    const bytes = this.prefixView.getUint32(4, true);
    if (mark !== CONTINUATION) {
      throw this.damaged(at, 'no frame of a message', 'ffffffff', mark.toString(16).padStart(8, '0'));
    }
    if (bytes === 0) {
      this.ended = true;
      this.position = at + 8;
      return undefined;
    }
    if (bytes > MAX_METADATA || bytes % 8 !== 0) {
      throw this.damaged(
        at + 4,
        'no plausible metadata length',
        `a multiple of 8 up to ${MAX_METADATA}`,
        String(bytes),
      );
    }
    if (bytes > left - 8) throw this.cut(at, 8 + bytes, left, 'metadata');
    if (bytes > this.metadata.length) this.metadata = new Uint8Array(bytes);
    const metadata = this.metadata.subarray(0, bytes);
    if (this.input.read(at + 8, metadata) < bytes) throw this.cut(at, 8 + bytes, left, 'metadata');
    const message = this.parse(metadata, at);
    const bodyAt = at + 8 + bytes;
    if (message.bodyLength > MAX_BODY) {
      throw this.damaged(at, 'no plausible body', `at most ${MAX_BODY} bytes`, String(message.bodyLength));
    }
    if (message.bodyLength > this.input.size - bodyAt) {
      throw this.cut(at, 8 + bytes + message.bodyLength, left, 'a record batch');
    }
    if (message.kind === 'schema') this.columns = message.fields.map((field) => field.type);
    this.position = bodyAt + message.bodyLength;
    return { message, at, bodyAt };
  }

  private parse(metadata: Uint8Array, at: number): SchemaMessage | BatchMessage {
    let message: SchemaMessage | BatchMessage;
    try {
      message = readMessage(metadata, this.columns);
    } catch (error) {
      if (!(error instanceof BadFlatbuffer)) throw error;
      throw this.damaged(
        at,
        'metadata contradicts the Arrow format',
        'a schema or a batch of its columns',
        error.message,
      );
    }
    if (message.kind === 'schema' && this.columns !== undefined) {
      throw this.damaged(at, 'a second schema', 'a record batch', 'a schema');
    }
    return message;
  }

  private cut(at: number, wanted: number, left: number, what: string): TraceError {
    return this.damaged(at, `the file ends inside ${what}`, `${wanted} bytes`, String(left));
  }

  private damaged(offset: number, what: string, expected: string, got: string): TraceError {
    return new TraceError('E_TRACE_DAMAGED', what, { source: this.input.name, offset, expected, got });
  }
}
