import { closeSync, fsyncSync, openSync, writevSync } from 'node:fs';
import { RecordBatchStreamWriter } from 'apache-arrow';
import type { RecordBatch, Schema } from 'apache-arrow';
import { TraceError } from './errors.ts';
import { systemReason } from './replace-file.ts';

/**
 * An Arrow IPC stream on disk that is readable at every moment: each batch is in the file when `append`
 * returns. Throws E_WRITE.
 */
export class ArrowFile {
  readonly schema: Schema;
  private readonly path: string;
  private fd: number;
  private readonly stream: DirectStreamWriter;
  private pieces: Uint8Array[] = [];

  /** The file must not exist yet. */
  constructor(path: string, schema: Schema) {
    this.path = path;
    this.schema = schema;
    try {
      this.fd = openSync(path, 'wx');
    } catch (error) {
      throw this.failed(error);
    }
    this.stream = new DirectStreamWriter(schema, (bytes) => {
      this.pieces.push(bytes);
    });
    this.write();
  }

  append(batch: RecordBatch): void {
    this.stream.batch(batch);
    this.write();
  }

  flush(): void {
    if (this.fd < 0) return;
    try {
      fsyncSync(this.fd);
    } catch (error) {
      throw this.failed(error);
    }
  }

  /** Writes the end mark and closes the file. A second call does nothing. */
  close(): void {
    if (this.fd < 0) return;
    this.stream.end();
    this.write();
    this.flush();
    this.drop();
  }

  /** Closes the file without the end mark. */
  drop(): void {
    if (this.fd < 0) return;
    closeSync(this.fd);
    this.fd = -1;
  }

  private write(): void {
    const pieces = this.pieces;
    this.pieces = [];
    try {
      writeAll(this.fd, pieces);
    } catch (error) {
      throw this.failed(error);
    }
  }

  private failed(error: unknown): TraceError {
    return new TraceError('E_WRITE', `cannot be written (${systemReason(error)})`, { source: this.path });
  }
}

/** writev may write less than asked for (disk full, signals): goes on with the rest. */
function writeAll(fd: number, pieces: Uint8Array[]): void {
  let rest = pieces;
  while (rest.length > 0) {
    let written = writevSync(fd, rest);
    let first = 0;
    while (first < rest.length && written >= rest[first]!.length) written -= rest[first++]!.length;
    rest = rest.slice(first);
    if (rest.length > 0 && written > 0) rest[0] = rest[0]!.subarray(written);
  }
}

/**
 * An Arrow IPC stream writer that hands every piece to `put` at once. The library's own sink queues without
 * back-pressure (a 630 MB file held 676 MB); like this memory stays flat.
 */
export class DirectStreamWriter extends RecordBatchStreamWriter {
  private readonly put: (bytes: Uint8Array) => void;

  constructor(schema: Schema, put: (bytes: Uint8Array) => void) {
    super();
    this.put = put;
    this._started = true;
    this._schema = schema;
    this._writeSchema(schema);
  }

  protected override _write(chunk: ArrayBufferView): this {
    const bytes = new Uint8Array(chunk.buffer as ArrayBuffer, chunk.byteOffset, chunk.byteLength);
    if (bytes.length > 0) {
      this.put(bytes);
      this._position += bytes.length;
    }
    return this;
  }

  /** Writes one record batch. */
  batch(batch: RecordBatch): void {
    this._writeRecordBatch(batch);
  }

  /** Writes the end mark. */
  end(): void {
    this.put(END_MARK);
  }
}

const END_MARK = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);
