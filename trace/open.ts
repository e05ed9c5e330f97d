import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
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
import { systemReason } from './replace-file.ts';
import { isSourceId } from './source-id.ts';
import { UPGRADERS } from './upgrade/index.ts';
import type { Upgraded, Upgrader } from './upgrade/upgrade.ts';
import { upgrade } from './upgrade/upgrade.ts';

/** Manifests hold interned strings and task names, not events: larger than this it is none. */
const MAX_MANIFEST_BYTES = 256 << 20;

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
  readonly dir: string;
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
 * Opens a trace directory. Throws E_NOT_FOUND, E_UNREADABLE, E_FOREIGN (no trace directory), E_TRACE_VERSION,
 * E_TRACE_DAMAGED (the manifest). Damaged or unfinished event files do not throw: they are in `warnings` and
 * `damage`, and give their whole batches.
 */
export function openTrace(dir: string, upgraders: readonly Upgrader[] = UPGRADERS): OpenTrace {
  const file = join(dir, MANIFEST_FILE);
  const upgraded = upgrade(readJson(dir, file), file, upgraders, FORMAT_VERSION);
  const manifest = checkManifest(upgraded.manifest, file);
  const warnings = [...manifest.warnings];
  const damage: TraceError[] = [];
  if (!manifest.complete) warnings.push(unfinished(manifest));
  const sources = manifest.sources.map((facts) =>
    openSource(dir, facts, manifest, upgraded, warnings, damage),
  );
  return {
    dir,
    manifest,
    writtenAs: upgraded.writtenAs,
    warnings,
    damage,
    sources,
    source(id) {
      const found = sources.find((source) => source.facts.id === id);
      if (found !== undefined) return found;
      const got = sources.map((source) => source.facts.id).join(', ');
      throw new TraceError('E_NO_DATA', `the trace has no source ${id}`, { source: dir, got });
    },
    recording(id) {
      const path = join(dir, recordingFileName(isSourceId(id) ? id : 'none'));
      return statSync(path, { throwIfNoEntry: false }) === undefined ? undefined : openRecording(path);
    },
  };
}

function openSource(
  dir: string,
  facts: SourceFacts,
  manifest: Manifest,
  upgraded: Upgraded,
  warnings: string[],
  damage: TraceError[],
): OpenSource {
  const path = join(dir, eventFileName(facts.id));
  const scan = withFile(path, scanEvents) ?? missing(path);
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
      const input = openInput(path);
      if (input === undefined) return;
      try {
        for (const batch of readEvents(input)) yield toPresent?.(batch) ?? batch;
      } finally {
        input.close();
      }
    },
    *stream() {
      const input = openInput(path);
      if (input === undefined) return;
      try {
        if (toPresent === undefined) yield* streamEvents(input);
        else for (const batch of readEvents(input)) yield toPresent(batch);
      } finally {
        input.close();
      }
    },
  };
}

function* openRecording(path: string): Generator<RecordingBatch, void, undefined> {
  const input = openInput(path);
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

function readJson(dir: string, file: string): unknown {
  let text: string;
  try {
    if (!statSync(dir).isDirectory()) throw notATrace(dir, 'a file');
    const stat = statSync(file);
    if (!stat.isFile()) throw notATrace(dir, `a ${MANIFEST_FILE} that is no file`);
    if (stat.size > MAX_MANIFEST_BYTES) throw notATrace(dir, `a ${MANIFEST_FILE} of absurd size`);
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof TraceError) throw error;
    const code = systemReason(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') {
      throw new TraceError('E_UNREADABLE', `cannot be read (${code})`, { source: file });
    }
    if (statSync(dir, { throwIfNoEntry: false }) === undefined) {
      throw new TraceError('E_NOT_FOUND', 'no such trace', { source: dir });
    }
    throw notATrace(dir, 'a directory without one');
  }
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

function notATrace(dir: string, got: string): TraceError {
  return new TraceError('E_FOREIGN', 'no ioreq-trace', {
    source: dir,
    expected: `a directory with ${MANIFEST_FILE}`,
    got,
  });
}

interface FileInput extends ByteInput {
  close(): void;
}

/** undefined if the file does not exist; throws E_UNREADABLE. */
function openInput(path: string): FileInput | undefined {
  let fd: number;
  try {
    // A pipe of that name would block the opening for ever.
    if (!statSync(path).isFile())
      throw Object.assign(new Error('no regular file'), { code: 'no regular file' });
    fd = openSync(path, 'r');
  } catch (error) {
    const code = systemReason(error);
    if (code === 'ENOENT') return undefined;
    throw new TraceError('E_UNREADABLE', `cannot be opened (${code})`, { source: path });
  }
  return {
    name: path,
    size: fstatSync(fd).size,
    read(offset, into) {
      let done = 0;
      try {
        for (let got = 1; done < into.length && got > 0; done += got) {
          got = readSync(fd, into, done, into.length - done, offset + done);
        }
      } catch (error) {
        throw new TraceError('E_UNREADABLE', `cannot be read (${systemReason(error)})`, {
          source: path,
          offset: offset + done,
        });
      }
      return done;
    },
    close() {
      closeSync(fd);
    },
  };
}

function withFile<T>(path: string, use: (input: ByteInput) => T): T | undefined {
  const input = openInput(path);
  if (input === undefined) return undefined;
  try {
    return use(input);
  } finally {
    input.close();
  }
}
