import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { TraceError, isTraceError } from '../../trace/errors.ts';
import type { RecordingFile } from '../../trace/recording-facts.ts';
import { howItEnded } from '../../trace/recording-facts.ts';
import type { ImportResult } from '../import.ts';
import type { HostView } from '../probes/host-view.ts';
import type { RecordPlan } from '../probes/plan.ts';
import { listChanges } from '../probes/plan.ts';
import type { HostTransport } from '../transports/transport.ts';
import type { MemoryOptions, MemoryRecorder } from '../memory/memory-recorder.ts';
import { memoryWarnings } from '../memory/memory-warnings.ts';
import type { FlightOptions } from './flight.ts';
import { FlightRecorder } from './flight.ts';
import { FileSink } from './file-sink.ts';
import type { LatencySink } from './live/latency.ts';
import { LiveWatch } from './live/watch.ts';
import { makeOutput, removeIfEmpty } from './output.ts';
import { RawFiles } from './raw-files.ts';
import { RAW_FOLDER, describeRecording, ended, writeRecording } from './recording-file.ts';
import { holdsNothing, sealRecording } from './seal.ts';
import type { SessionEnd } from './session.ts';
import { RecordSession } from './session.ts';

export interface RecordOptions {
  dir: string;
  tool: { name: string; version: string };
  durationMs?: number;
  /** Keeps the raw files beside the sealed trace. */
  keepRaw?: boolean;
  /** Is given the latencies while they happen: the live line. Costs their decoding. */
  latencies?: LatencySink;
  /** Keep only the last of it, until a trigger fires. */
  flight?: FlightOptions;
  /** Records guest memory for a replay, too: only where the host is this machine. */
  memory?: MemoryOptions;
  /** The session, as soon as there is one: to stop it, and for its status. */
  started?: (session: RecordSession, live: LiveWatch | undefined, memory?: MemoryRecorder) => void;
  /** Recording is over; the trace is being made. */
  sealing?: () => void;
  progress?: (done: number, total: number) => void;
  /** Stops the sealing; the raw files stay and the trace is sealed when it is next opened. */
  signal?: AbortSignal;
}

export interface RecordResult {
  end: SessionEnd;
  /** The trace; with a trigger that was to fire n times, up to n of them. */
  sealed: ImportResult[];
}

/**
 * Records a domain as planned and seals the trace. Whatever ends it, what was recorded by then is sealed and the
 * host is as it was before. Rejects with a TraceError if recording never began (nothing is left in `dir` then), or
 * if the trace cannot be sealed (its raw files stay in DIR/raw then).
 */
export async function record(
  host: HostTransport,
  view: HostView,
  plan: RecordPlan,
  options: RecordOptions,
): Promise<RecordResult> {
  makeOutput(options.dir);
  const facts = describeRecording(view, plan, listChanges(plan), options.tool);
  const { end, dirs } =
    options.flight === undefined
      ? await recordAll(host, view, plan, facts, options)
      : await new FlightRecorder(view, plan, facts, options, options.flight).run(host);
  options.sealing?.();
  const sealed: ImportResult[] = [];
  for (const dir of dirs) sealed.push(await sealOne(dir, facts.domid, end, options));
  return { end, sealed };
}

async function sealOne(
  dir: string,
  domid: number,
  end: SessionEnd,
  { tool, keepRaw, progress, signal }: RecordOptions,
): Promise<ImportResult> {
  try {
    return await sealRecording(dir, {
      tool,
      domid,
      ...(keepRaw === undefined ? {} : { keepRaw }),
      ...(progress === undefined ? {} : { progress }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (!isTraceError(error) || !holdsNothing(error)) throw error;
    // Not one record came: there is nothing to keep.
    rmSync(join(dir, RAW_FOLDER), { recursive: true, force: true });
    removeIfEmpty(dir);
    throw new TraceError('E_NO_DATA', `nothing was recorded: ${howItEnded({ ...end, state: end.reason })}`);
  }
}

async function recordAll(
  host: HostTransport,
  view: HostView,
  plan: RecordPlan,
  facts: RecordingFile,
  options: RecordOptions,
): Promise<{ end: SessionEnd; dirs: string[] }> {
  const raw = join(options.dir, RAW_FOLDER);
  const files = new RawFiles(raw);
  const { latencies } = options;
  const live = latencies === undefined ? undefined : new LiveWatch(view, [latencies], false);
  const sink = new FileSink(files, live === undefined ? [] : [live]);
  let end: SessionEnd;
  let memory: MemoryRecorder | undefined;
  try {
    writeRecording(raw, facts);
    for (const [name, text] of view.texts) files.text(name, text);
    const session = new RecordSession(host, plan, view.deviceModels, sink);
    if (options.memory !== undefined) memory = await startMemory(host, view, files, options.memory, session);
    options.started?.(session, live, memory);
    end = await session.run(options.durationMs);
    Object.assign(facts, session.xenFindings);
    await endMemory(memory, facts);
  } catch (error) {
    await memory?.stop();
    files.close();
    rmSync(raw, { recursive: true, force: true });
    removeIfEmpty(options.dir);
    throw error;
  }
  files.close();
  facts.warnings.push(...sink.warnings);
  writeRecording(raw, ended(facts, end.reason, end.detail));
  return { end, dirs: [options.dir] };
}

async function startMemory(
  host: HostTransport,
  view: HostView,
  files: RawFiles,
  options: MemoryOptions,
  session: RecordSession,
): Promise<MemoryRecorder> {
  const { MemoryRecorder } = await import('../memory/memory-recorder.ts');
  const memory = await MemoryRecorder.start(host, view, files, options);
  void memory.failed.then((error) => {
    const full = error.code === 'E_WRITE' && /ENOSPC|EDQUOT/.test(error.message);
    session.stop(full ? 'disk' : 'host', error.message);
  });
  return memory;
}

async function endMemory(memory: MemoryRecorder | undefined, facts: RecordingFile): Promise<void> {
  if (memory === undefined) return;
  facts.memory = await memory.stop();
  facts.warnings.push(...memory.warnings, ...memoryWarnings(facts.memory));
}
