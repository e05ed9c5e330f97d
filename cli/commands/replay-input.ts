import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { Recording } from '../../replayer/recording/load.ts';
import { EventBatch } from '../../trace/columns.ts';
import { TraceError } from '../../trace/errors.ts';
import type { OpenTrace } from '../../trace/open.ts';
import type { RecordingBatch } from '../../trace/recording.ts';
import { systemReason } from '../../trace/replace-file.ts';
import type { Cli } from '../cli.ts';
import { openSealed } from '../output/open-trace.ts';

/** Unpacked recordings larger than this have to be imported: they would be in memory twice. */
const MOST_BYTES = 1 << 30;

export interface ReplayInput {
  recording: Recording;
  path: string;
  /** Source of a trace directory; undefined for a file. */
  source?: string;
}

/**
 * The recording of a trace directory, or of a file of JSON lines (docs/ACCESS-JSONL.md; .xz and .gz too). Rejects with
 * E_NOT_REPLAYABLE if a trace has none, and as openTrace, the decoder and Recording do.
 */
export async function openRecording(cli: Cli, path: string, source?: string): Promise<ReplayInput> {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isFile() === true) return { recording: new Recording(await fromFile(path)), path };
  const trace = await openSealed(cli, path);
  const ids = trace.sources.map(({ facts }) => facts.id).filter((id) => trace.recording(id) !== undefined);
  if (source !== undefined) trace.source(source);
  const id = source ?? ids[0];
  const batches = id === undefined ? undefined : trace.recording(id);
  if (id === undefined || batches === undefined) {
    const found = await fromTraceEvents(trace, source);
    if (found !== undefined) return { ...found, path };
    throw new TraceError('E_NOT_REPLAYABLE', 'the trace holds no recording of accesses', {
      source: path,
      expected: 'an import of recorded accesses, a recording made with --memory, or contents of ioreqs',
      got: trace.sources.map(({ facts }) => `${facts.id} (${facts.format})`).join(', ') || 'no source',
    });
  }
  if (source === undefined && ids.length > 1) {
    throw new TraceError('E_USAGE', 'the trace holds several recordings: name one with --source', {
      source: path,
      expected: ids.join(', '),
    });
  }
  for (const { message } of trace.source(id).facts.errors)
    cli.warn(`the recording was damaged when it was imported, and ends there: ${message}`);
  return { recording: new Recording([...batches], trace.manifest.devices), path, source: id };
}

/** Of a trace that was not recorded for a replay: its register accesses, if its events hold what was in the ioreqs. */
async function fromTraceEvents(
  trace: OpenTrace,
  source: string | undefined,
): Promise<Omit<ReplayInput, 'path'> | undefined> {
  const [{ accessesOf }, { fromEvents }] = await Promise.all([
    import('../../analyzer/accesses.ts'),
    import('../../replayer/recording/from-events.ts'),
  ]);
  const accesses = accessesOf(trace);
  if (accesses === undefined || (source !== undefined && source !== accesses.source)) return undefined;
  return { recording: fromEvents(accesses, trace.manifest.devices), source: accesses.source };
}

async function fromFile(path: string): Promise<RecordingBatch[]> {
  const [{ AccessJsonlDecoder, accessJsonlFormat }, { MemorySource }] = await Promise.all([
    import('../../collector/sources/access-jsonl.ts'),
    import('../../collector/input/byte-source.ts'),
  ]);
  const bytes = unpacked(path);
  const input = new MemorySource(path, bytes);
  if (!accessJsonlFormat.sniff(bytes.subarray(0, 65_536), input)) {
    throw new TraceError('E_FOREIGN', 'neither a trace nor recorded accesses', {
      source: path,
      expected: 'a trace directory, or JSON lines as in docs/ACCESS-JSONL.md',
    });
  }
  const batches: RecordingBatch[] = [];
  const decoder = new AccessJsonlDecoder(input, { recording: (batch) => batches.push(batch) });
  const out = new EventBatch(4096);
  while (decoder.fill(out)) out.clear();
  const [error] = decoder.report.errors;
  if (error !== undefined) throw error;
  return batches;
}

/** A file's bytes, unpacked where they begin as gzip or xz does. */
export function unpacked(path: string): Uint8Array {
  const bytes = readWhole(path);
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    try {
      return gunzipSync(bytes, { maxOutputLength: MOST_BYTES });
    } catch (error) {
      throw new TraceError('E_TRUNCATED', `cannot be unpacked (${systemReason(error)})`, { source: path });
    }
  }
  if (bytes.subarray(0, 6).toString('latin1') !== '\u00fd7zXZ\0') return bytes;
  const done = spawnSync('xz', ['-dc'], { input: bytes, maxBuffer: MOST_BYTES });
  if (done.status === 0) return done.stdout;
  const why = done.error === undefined ? String(done.stderr).trim() : systemReason(done.error);
  throw new TraceError('E_UNREADABLE', `cannot be unpacked with xz (${why})`, { source: path });
}

function readWhole(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = systemReason(error);
    throw code === 'ENOENT'
      ? new TraceError('E_NOT_FOUND', 'no such file', { source: path })
      : new TraceError('E_UNREADABLE', `cannot be read (${code})`, { source: path });
  }
}
