import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { eventSchema, toRecordBatch } from './arrow-events.ts';
import { ArrowFile } from './arrow-file.ts';
import { recordingSchema, toRecordingRecordBatch } from './arrow-recording.ts';
import { eventFileName, recordingFileName } from './arrow/event-schema.ts';
import type { EventColumns } from './columns.ts';
import { TraceError } from './errors.ts';
import type { Manifest, SourceFacts } from './manifest.ts';
import { MANIFEST_FILE } from './manifest.ts';
import type { RecordingBatch } from './recording.ts';
import { isSourceId } from './source-id.ts';
import { replaceFile, systemReason } from './replace-file.ts';

/**
 * Writes a trace directory so that whatever is there can be read at any moment, also after a kill -9:
 * the manifest says complete=false from the first instant and is only ever replaced as a whole; every batch is
 * in the file when `append` returns; `seal` closes the event files first and calls the trace complete last.
 */
export class TraceWriter {
  readonly dir: string;
  private readonly made: boolean;
  private manifest: Manifest;
  private readonly writers = new Map<string, SourceWriter>();
  private readonly recordings = new Map<string, RecordingWriter>();
  private done = false;

  private constructor(dir: string, made: boolean, manifest: Manifest) {
    this.dir = dir;
    this.made = made;
    this.manifest = manifest;
  }

  /**
   * Makes the directory (or takes an empty one) and writes the first manifest.
   * Throws E_EXISTS if something is there, E_WRITE if it cannot be written.
   */
  static create(dir: string, manifest: Manifest): TraceWriter {
    const made = makeDirectory(dir);
    const writer = new TraceWriter(dir, made, { ...manifest, complete: false });
    writer.checkpoint();
    return writer;
  }

  /** Begins the event file of a source. `facts` is kept, not copied: fill it in as the source is read. */
  addSource(facts: SourceFacts): SourceWriter {
    if (!isSourceId(facts.id) || this.writers.has(facts.id)) {
      throw new TraceError('E_INTERNAL', 'a source id must be new and plain', { got: facts.id });
    }
    const writer = new SourceWriter(join(this.dir, eventFileName(facts.id)), facts);
    this.writers.set(facts.id, writer);
    this.checkpoint();
    return writer;
  }

  /** Begins the recording beside the event file of source `id`. */
  addRecording(id: string): RecordingWriter {
    if (!this.writers.has(id) || this.recordings.has(id)) {
      throw new TraceError('E_INTERNAL', 'a recording belongs to a source that has none yet', { got: id });
    }
    const writer = new RecordingWriter(join(this.dir, recordingFileName(id)), id);
    this.recordings.set(id, writer);
    return writer;
  }

  /**
   * Writes the manifest as it stands, still incomplete: what a killed writer leaves. Worth calling after a
   * source's first event (its epoch is known then) and every few seconds (strings, counts).
   */
  checkpoint(update: Partial<Manifest> = {}): void {
    this.manifest = { ...this.manifest, ...update, complete: false };
    const sources = [...this.writers.values()].map((writer) => writer.facts);
    this.writeManifest({ ...this.manifest, sources });
  }

  /** Ends the event files of all sources; the trace stays incomplete. */
  closeSources(): void {
    for (const writer of [...this.writers.values(), ...this.recordings.values()]) writer.close();
  }

  /** Closes every source and writes `manifest` with complete=true: the trace is whole from then on. */
  seal(manifest: Manifest): void {
    this.closeSources();
    this.writeManifest({ ...manifest, complete: true });
    this.done = true;
  }

  /** Stops without completing: the files are closed as they are and stay readable. */
  abandon(): void {
    if (this.done) return;
    this.done = true;
    for (const writer of [...this.writers.values(), ...this.recordings.values()]) writer.drop();
  }

  /** Stops and removes what was written: for failures before anything worth keeping was there. */
  abort(): void {
    this.abandon();
    for (const id of this.writers.keys()) {
      rmSync(join(this.dir, eventFileName(id)), { force: true });
      rmSync(join(this.dir, recordingFileName(id)), { force: true });
    }
    rmSync(join(this.dir, MANIFEST_FILE), { force: true });
    if (this.made) rmSync(this.dir, { recursive: true, force: true });
  }

  private writeManifest(manifest: Manifest): void {
    replaceFile(this.dir, MANIFEST_FILE, `${JSON.stringify(manifest, null, 2)}\n`);
  }
}

/** The event file of one source. Every `append` becomes one Arrow record batch. */
export class SourceWriter {
  readonly facts: SourceFacts;
  /** Rows written so far. */
  rows = 0;
  private readonly file: ArrowFile;

  constructor(path: string, facts: SourceFacts) {
    this.facts = facts;
    this.file = new ArrowFile(path, eventSchema(facts.id));
  }

  /** Writes the batch's rows; they are in the file when this returns. The batch may be reused then. */
  append(batch: EventColumns): void {
    if (batch.length === 0) return;
    this.file.append(toRecordBatch(this.file.schema, batch));
    this.rows += batch.length;
  }

  /** Makes what was appended survive a power cut as well. */
  flush(): void {
    this.file.flush();
  }

  /** Writes the end mark and closes the file. A second call does nothing. */
  close(): void {
    this.file.close();
  }

  /** Closes the file without the end mark. */
  drop(): void {
    this.file.drop();
  }
}

/** The recording of one source: every access and the memory that a replay needs, in order. */
export class RecordingWriter {
  private readonly file: ArrowFile;

  constructor(path: string, sourceId: string) {
    this.file = new ArrowFile(path, recordingSchema(sourceId));
  }

  append(batch: RecordingBatch): void {
    if (batch.length > 0) this.file.append(toRecordingRecordBatch(this.file.schema, batch));
  }

  close(): void {
    this.file.close();
  }

  drop(): void {
    this.file.drop();
  }
}

function makeDirectory(dir: string): boolean {
  try {
    if (!existsSync(dir)) {
      makeParents(resolve(dir));
      return true;
    }
    if (readdirSync(dir).length === 0) return false;
  } catch (error) {
    const code = systemReason(error);
    if (code === 'ENOTDIR')
      throw new TraceError('E_EXISTS', 'is a file', { source: dir, expected: 'a directory' });
    throw new TraceError('E_WRITE', `cannot be made (${code})`, { source: dir });
  }
  throw new TraceError('E_EXISTS', 'the directory is not empty', { source: dir });
}

/** Not mkdir's own recursion: that one never ends where the file system says ENOENT to any new name (/proc). */
function makeParents(dir: string): void {
  const parent = dirname(dir);
  if (parent !== dir && !existsSync(parent)) makeParents(parent);
  mkdirSync(dir);
}
