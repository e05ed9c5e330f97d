import type { Readable, Writable } from 'node:stream';
import type { DebugProtocol } from '@vscode/debugprotocol';

/** Most bytes of a header, and of a message: far more than an editor sends. */
const MOST_HEADER = 8192;
const MOST_BODY = 16 << 20;

/**
 * Messages of the Debug Adapter Protocol over two streams: `Content-Length: N`, an empty line, N bytes of JSON
 * (microsoft.github.io/debug-adapter-protocol, "Base Protocol"). What is not a message ends the connection: there
 * is no telling where the next one would begin.
 */
export class Connection {
  private readonly output: Writable;
  private seq = 1;
  private readonly pieces: Buffer[] = [];
  private held = 0;
  /** Bytes that must be held before it is worth looking. */
  private need = 0;

  constructor(
    input: Readable,
    output: Writable,
    take: (request: DebugProtocol.Request) => void,
    end: (why?: string) => void,
  ) {
    this.output = output;
    let over = false;
    const finish = (why?: string): void => {
      if (over) return;
      over = true;
      end(why);
    };
    input.on('data', (piece: Buffer) => {
      if (over) return;
      this.pieces.push(piece);
      this.held += piece.length;
      if (this.held < this.need) return;
      try {
        for (const message of this.messages()) take(message);
      } catch (error) {
        finish(error instanceof Error ? error.message : String(error));
      }
    });
    input.on('end', () => {
      finish(this.held === 0 ? undefined : 'the connection ended inside a message');
    });
    input.on('error', (error) => {
      finish(error.message);
    });
    output.on('error', (error) => {
      finish(error.message);
    });
  }

  private *messages(): Generator<DebugProtocol.Request> {
    // Joined only when a whole message may be there: a long one does not cost a copy for each piece.
    let buffer = Buffer.concat(this.pieces.splice(0));
    this.need = 0;
    try {
      for (;;) {
        const head = buffer.indexOf('\r\n\r\n');
        if (head < 0) {
          if (buffer.length > MOST_HEADER) throw new Error('a message without a header');
          return;
        }
        const length = lengthOf(buffer.subarray(0, head).toString('latin1'));
        const begin = head + 4;
        this.need = begin + length;
        if (buffer.length < this.need) return;
        this.need = 0;
        const body = buffer.subarray(begin, begin + length).toString('utf8');
        buffer = buffer.subarray(begin + length);
        yield requestOf(body);
      }
    } finally {
      if (buffer.length > 0) this.pieces.push(buffer);
      this.held = buffer.length;
    }
  }

  respond(request: DebugProtocol.Request, body?: unknown): void {
    this.send({ type: 'response', request_seq: request.seq, success: true, command: request.command, body });
  }

  refuse(request: DebugProtocol.Request, why: string): void {
    const body = { error: { id: 1, format: '{why}', variables: { why }, showUser: true } };
    const { command, seq } = request;
    this.send({ type: 'response', request_seq: seq, success: false, command, message: why, body });
  }

  event(event: string, body?: unknown): void {
    this.send({ type: 'event', event, body });
  }

  private send(message: object): void {
    const text = JSON.stringify({ seq: this.seq++, ...message });
    this.output.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
  }
}

function lengthOf(header: string): number {
  const found = /^content-length: *([0-9]{1,9})$/im.exec(header);
  const length = Number(found?.[1] ?? NaN);
  if (length <= MOST_BODY) return length;
  throw new Error(`a header without a Content-Length of at most ${MOST_BODY}`);
}

function requestOf(text: string): DebugProtocol.Request {
  const value: unknown = JSON.parse(text);
  const { type, command, seq } = (value ?? {}) as Partial<DebugProtocol.Request>;
  if (type !== 'request' || typeof command !== 'string' || typeof seq !== 'number')
    throw new Error('a message that is no request');
  return value as DebugProtocol.Request;
}
