import { META_SOURCE, eventFileName, recordingFileName } from './arrow/event-schema.ts';
import type { ByteInput } from './bytes/input.ts';
import type { EventColumns } from './columns.ts';
import { TraceError } from './errors.ts';
import { checkManifest } from './manifest-check.ts';
import type { Manifest, SourceFacts } from './manifest.ts';
import { FORMAT_VERSION, MANIFEST_FILE } from './manifest.ts';
import type { EventScan } from './reader.ts';
import { readEvents, scanEvents, streamEvents } from './reader.ts';
import type { RecordingBatch } from './recording.ts';
import { readRecording } from './recording-reader.ts';
import { isSourceId } from './source-id.ts';
import { UPGRADERS } from './upgrade/index.ts';
import type { Upgraded, Upgrader } from './upgrade/upgrade.ts';
import { upgrade } from './upgrade/upgrade.ts';

/** Manifests hold interned strings and task names, not events: larger than this it is none. */
export const MAX_MANIFEST_BYTES = 256 << 20;

export interface TraceFile extends ByteInput {
  close(): void;
}

/** Where a trace lies: a directory (trace/open.ts), or what was dropped on the page (viewer/analysis/). */
export interface TraceFiles {
  /** The name shown in messages. */
  readonly name: string;
  /** A file's name as messages show it. */
  path(file: string): string;
  /** The manifest's text. Throws E_NOT_FOUND, E_FOREIGN, E_UNREADABLE. */
  manifest(): string;
  /** undefined if there is no such file; throws E_UNREADABLE. */
  open(file: string): TraceFile | undefined;
  has(file: string): boolean;
}

export interface OpenSource {
  readonly facts: SourceFacts;
  /** What the event file holds, found by walking over its frames. */
  readonly scan: EventScan;
  /** Every whole batch in order. Each call reads the file anew; batches stay valid. */
  batches(): Iterable<EventColumns>;
  /**
   * The same for one walk over a long trace, in constant memory: a batch is valid until the next one, and its columns
   * are read from the file when they are first asked for (which can throw E_UNREADABLE, E_TRACE_DAMAGED).
   */
  stream(): Iterable<EventColumns>;
}

export interface OpenTrace {
  readonly files: TraceFiles;
  readonly manifest: Manifest;
  /** Version the files were written as; the manifest and batches are of the present one. */
  readonly writtenAs: number;
  /** What is wrong with the trace, in words; complete when openTrace returns. */
  readonly warnings: string[];
  /** Damage of event files (E_TRACE_DAMAGED each): their whole batches can be read all the same. */
  readonly damage: TraceError[];
  readonly sources: readonly OpenSource[];
  /** Throws E_NO_DATA for an id that the trace does not have. */
  source(id: string): OpenSource;
  /**
   * What a replay needs of a source of recorded accesses; undefined if there is none. Reading it throws
   * E_TRACE_DAMAGED after the last whole batch if the file is damaged or unfinished.
   */
  recording(id: string): Iterable<RecordingBatch> | undefined;
}

/**
 * Opens a trace. Throws as `files` does, and E_TRACE_VERSION, E_TRACE_DAMAGED (the manifest). Damaged or unfinished
 * event files do not throw: they are in `warnings` and `damage`, and give their whole batches.
 */
export function openFiles(files: TraceFiles, upgraders: readonly Upgrader[] = UPGRADERS): OpenTrace {
  const file = files.path(MANIFEST_FILE);
  const upgraded = upgrade(parsed(files.manifest(), file), file, upgraders, FORMAT_VERSION);
  const manifest = checkManifest(upgraded.manifest, file);
  const warnings = [...manifest.warnings];
  const damage: TraceError[] = [];
  if (!manifest.complete) warnings.push(unfinished(manifest));
  const sources = manifest.sources.map((facts) =>
    openSource(files, facts, manifest, upgraded, warnings, damage),
  );
  return {
    files,
    manifest,
    writtenAs: upgraded.writtenAs,
    warnings,
    damage,
    sources,
    source(id) {
      const found = sources.find((source) => source.facts.id === id);
      if (found !== undefined) return found;
      const got = sources.map((source) => source.facts.id).join(', ');
      throw new TraceError('E_NO_DATA', `the trace has no source ${id}`, { source: files.name, got });
    },
    recording(id) {
      const name = recordingFileName(isSourceId(id) ? id : 'none');
      return files.has(name) ? openRecording(files, name) : undefined;
    },
  };
}

function openSource(
  files: TraceFiles,
  facts: SourceFacts,
  manifest: Manifest,
  upgraded: Upgraded,
  warnings: string[],
  damage: TraceError[],
): OpenSource {
  const file = eventFileName(facts.id);
  const path = files.path(file);
  const scan = withFile(files, file, scanEvents) ?? missing(path);
  const named = scan.metadata.get(META_SOURCE);
  if (scan.damage === undefined && named !== facts.id) {
    scan.damage = new TraceError('E_TRACE_DAMAGED', 'the event file belongs to another source', {
      source: path,
      expected: facts.id,
      got: named ?? 'none',
    });
  } else if (scan.damage === undefined && manifest.complete && !scan.sealed) {
    scan.damage = new TraceError('E_TRACE_DAMAGED', 'the event file has no end mark', {
      source: path,
      offset: scan.bytes,
      expected: `${facts.rows} rows and the end mark`,
      got: `${scan.rows} rows`,
    });
  } else if (scan.damage === undefined && manifest.complete && scan.rows !== facts.rows) {
    scan.damage = new TraceError('E_TRACE_DAMAGED', 'the event file does not hold what the manifest says', {
      source: path,
      expected: `${facts.rows} rows`,
      got: String(scan.rows),
    });
  }
  if (scan.damage !== undefined) {
    warnings.push(`${scan.damage.code}: ${scan.damage.message}; ${scan.rows} rows before it can be read`);
    if (manifest.complete) damage.push(scan.damage);
  }
  const toPresent = upgraded.batch;
  return {
    facts,
    scan,
    *batches() {
      const input = files.open(file);
      if (input === undefined) return;
      try {
        for (const batch of readEvents(input)) yield toPresent?.(batch) ?? batch;
      } finally {
        input.close();
      }
    },
    stream: () => streamSource(files, facts.id, toPresent),
  };
}

/** OpenSource.stream of the source `id`, for files of the present version: `toPresent` brings batches of another one over. */
export function* streamSource(
  files: TraceFiles,
  id: string,
  toPresent?: Upgraded['batch'],
): Generator<EventColumns, void, undefined> {
  const input = files.open(eventFileName(id));
  if (input === undefined) return;
  try {
    if (toPresent === undefined) yield* streamEvents(input);
    else for (const batch of readEvents(input)) yield toPresent(batch);
  } finally {
    input.close();
  }
}

function* openRecording(files: TraceFiles, file: string): Generator<RecordingBatch, void, undefined> {
  const input = files.open(file);
  if (input === undefined) return;
  try {
    yield* readRecording(input);
  } finally {
    input.close();
  }
}

function unfinished(manifest: Manifest): string {
  const ids = manifest.sources.map((source) => source.id).join(', ');
  const what = ids === '' ? 'it names no source yet' : `sources begun: ${ids}`;
  return (
    `the trace was not finished (${manifest.ended}): ${what}; ` +
    'counts, names, devices, losses and the clock relation may be missing or lag behind the events'
  );
}

function missing(path: string): EventScan {
  const damage = new TraceError('E_TRACE_DAMAGED', 'the event file is missing', { source: path });
  return { rows: 0, batches: 0, sealed: false, bytes: 0, metadata: new Map(), damage };
}

function parsed(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new TraceError('E_TRACE_DAMAGED', 'is no JSON', {
      source: file,
      expected: 'a JSON object',
      got: error instanceof Error ? error.message : String(error),
    });
  }
}

export function notATrace(dir: string, got: string): TraceError {
  return new TraceError('E_FOREIGN', 'no ioreq-trace', {
    source: dir,
    expected: `a directory with ${MANIFEST_FILE}`,
    got,
  });
}

function withFile<T>(files: TraceFiles, file: string, use: (input: ByteInput) => T): T | undefined {
  const input = files.open(file);
  if (input === undefined) return undefined;
  try {
    return use(input);
  } finally {
    input.close();
  }
}
