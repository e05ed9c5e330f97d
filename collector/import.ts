import { EventBatch } from '../trace/columns.ts';
import { TraceError, isTraceError } from '../trace/errors.ts';
import { K } from '../trace/events.ts';
import type { Manifest, SourceFacts } from '../trace/manifest.ts';
import { FORMAT_VERSION } from '../trace/manifest.ts';
import type { RecordingFacts, RecordingFile } from '../trace/recording-facts.ts';
import { howItEnded, recordingFacts } from '../trace/recording-facts.ts';
import { openTrace } from '../trace/open.ts';
import { TraceWriter } from '../trace/writer.ts';
import type { Detected, RawFile } from './detect.ts';
import { detectFiles } from './detect.ts';
import { DeviceScan } from './device-scan.ts';
import { HostFindings } from './host/findings.ts';
import type { Ignorable } from './ignorable.ts';
import {
  counterDisagreement,
  deviceFacts,
  deviceModelFacts,
  hostFacts,
  tracedDomid,
} from './host/resolve.ts';
import { addCountedLosses, importSource, newFacts } from './import-source.ts';
import type { Loop } from './import-source.ts';
import { checkOutput, liesIn, removeTrace } from './import-output.ts';
import type { ByteSource } from './input/byte-source.ts';
import { CountingSource } from './input/counting-source.ts';
import { FileSource } from './input/file-source.ts';
import { UnpackDirectory } from './input/unpack.ts';
import { findFiles } from './input/walk.ts';
import type { KnownClocks } from './join-clocks.ts';
import { joinClocks, joinLog } from './join-clocks.ts';
import type { SourcePlan } from './source-plan.ts';
import { closest, planSources, readAuxFiles } from './source-plan.ts';
import { TraceDatDecoder } from './sources/trace-dat.ts';
import { WithoutTracePoints } from './without-trace-points.ts';

export interface ImportOptions {
  tool: { name: string; version: string };
  /** Replaces a trace that is there already. */
  force?: boolean;
  /** The traced domain, where the files do not tell or tell wrong. */
  domid?: number;
  /** Frequency of the Arm generic timer in Hz. */
  counterHz?: number;
  without?: ReadonlySet<Ignorable>;
  /** RFC 3339; now by default. */
  created?: string;
  /** Bytes of raw data read so far, and in all. Called some twenty times a second at most. */
  progress?: (done: number, total: number) => void;
  /** Stops the import: what was imported by then stays as an unfinished, readable trace. */
  signal?: AbortSignal;
}

export interface ImportResult {
  dir: string;
  manifest: Manifest;
  /** Damage in raw files: whole records before (and where possible after) it were imported. */
  errors: TraceError[];
  warnings: string[];
  /** `signal` stopped it. */
  interrupted: boolean;
}

/**
 * Turns raw captures into a trace directory. `paths` are files and directories; files are recognised by
 * content, raw captures become sources, auxiliary files facts about the host. Rejects with a TraceError and
 * leaves no output if there is nothing to import or the output cannot be written; damage inside raw files does
 * not reject: it is in `errors`, in the manifest's sources, and the trace is sealed with what could be read.
 */
export async function importCapture(
  paths: readonly string[],
  outDir: string,
  options: ImportOptions,
): Promise<ImportResult> {
  const unpacked = new UnpackDirectory();
  try {
    const replaces = checkOutput(outDir, options.force === true);
    const inside = paths.find((path) => liesIn(path, outDir));
    if (inside !== undefined) {
      throw new TraceError('E_USAGE', 'an input lies inside the output directory', {
        source: inside,
        got: outDir,
      });
    }
    const findings = new HostFindings();
    const files = findFiles(paths, findings.warnings);
    const detected = await detectFiles(files, unpacked, findings.warnings);
    if (detected.raw.length === 0) throw nothingRaw(paths, detected);
    readAuxFiles(detected.aux, findings);
    const plans = planSources(detected.raw, findings);
    if (replaces) removeTrace(outDir);
    return await new Importer(outDir, options, findings, detected).run(plans);
  } finally {
    unpacked.remove();
  }
}

function nothingRaw(paths: readonly string[], { empty, aux, unknown }: Detected): TraceError {
  const first = paths[0] ?? '';
  if (aux.length + unknown.length === 0 && empty.length > 0) {
    return new TraceError('E_EMPTY', 'holds only empty files', { source: first, expected: 'a raw capture' });
  }
  return new TraceError('E_FOREIGN', 'holds no raw capture of a known format', {
    source: first,
    expected: 'xentrace, ftrace pages or text, trace.dat, a QEMU log or simple trace, or recorded accesses',
    got: `${aux.length} files about the host, ${unknown.length} unknown, ${empty.length} empty`,
  });
}

class Importer {
  private readonly dir: string;
  private readonly options: ImportOptions;
  private readonly findings: HostFindings;
  private readonly detected: Detected;
  private readonly scan = new DeviceScan();
  private readonly errors: TraceError[] = [];
  private readonly facts: SourceFacts[] = [];
  private readonly total: number;
  private done = 0;

  constructor(dir: string, options: ImportOptions, findings: HostFindings, detected: Detected) {
    this.dir = dir;
    this.options = options;
    this.findings = findings;
    this.detected = detected;
    this.total = detected.raw.reduce((sum, file) => sum + file.size, 0);
  }

  async run(plans: readonly SourcePlan[]): Promise<ImportResult> {
    const writer = TraceWriter.create(this.dir, this.manifest('importing'));
    try {
      const whole = await this.sources(plans, writer);
      if (this.rows() === 0 && whole) throw this.errors[0] ?? noEvents(plans);
      if (!whole) return this.interrupted(writer);
      writer.closeSources();
      const manifest = this.finish(writer);
      writer.seal(manifest);
      return {
        dir: this.dir,
        manifest,
        errors: this.errors,
        warnings: manifest.warnings,
        interrupted: false,
      };
    } catch (error) {
      // What was imported may be hours of work: it stays, unfinished and readable.
      if (this.rows() === 0) writer.abort();
      else writer.abandon();
      throw error;
    }
  }

  private rows(): number {
    return this.facts.reduce((sum, facts) => sum + facts.rows, 0);
  }

  /** False if it was stopped on the way. */
  private async sources(plans: readonly SourcePlan[], writer: TraceWriter): Promise<boolean> {
    const { signal, progress } = this.options;
    const loop: Loop = {
      writer,
      batch: new EventBatch(),
      onTurn: () => progress?.(this.done, this.total),
      ...(signal === undefined ? {} : { signal }),
    };
    for (const plan of plans) {
      if (!(await this.source(plan, loop))) return false;
    }
    progress?.(this.total, this.total);
    return true;
  }

  private async source(plan: SourcePlan, loop: Loop): Promise<boolean> {
    const opened: ByteSource[] = [];
    const open = (file: RawFile): ByteSource => {
      const source = new CountingSource(new FileSource(file.at, file.path), (bytes) => {
        this.done += bytes;
      });
      opened.push(source);
      return source;
    };
    try {
      const facts = newFacts(
        plan.id,
        plan.format.name,
        plan.files.map((file) => file.path),
      );
      const out = loop.writer.addSource(facts);
      this.facts.push(facts);
      const recording = plan.hasRecording ? loop.writer.addRecording(plan.id) : undefined;
      const decoder = plan.decoder(open, (batch) => {
        this.scan.recording(batch);
        recording?.append(batch);
      });
      const wanted = this.without('trace-points') ? new WithoutTracePoints(decoder) : decoder;
      const whole = await importSource(wanted, out, this.scan, loop);
      recording?.close();
      this.errors.push(...decoder.report.errors);
      for (const { error } of plan.files) {
        if (error === undefined) continue;
        this.errors.push(error);
        facts.errors.push({ code: error.code, message: error.message });
      }
      if (decoder instanceof TraceDatDecoder) this.takeTasks(decoder.tasks);
      if (plan.format.name === 'ftrace-pages') {
        const stats = closest(plan.files[0]!.path, this.findings.stats);
        this.findings.warnings.push(...addCountedLosses(facts, stats));
      }
      return whole;
    } finally {
      for (const source of opened) source.close();
    }
  }

  private takeTasks(tasks: ReadonlyMap<number, string>): void {
    for (const [pid, name] of tasks) if (!this.findings.tasks.has(pid)) this.findings.tasks.set(pid, name);
  }

  private interrupted(writer: TraceWriter): ImportResult {
    const manifest = this.manifest('interrupted');
    manifest.warnings.push('the import was interrupted');
    writer.checkpoint({ ...manifest });
    writer.abandon();
    return { dir: this.dir, manifest, errors: this.errors, warnings: manifest.warnings, interrupted: true };
  }

  private finish(writer: TraceWriter): Manifest {
    const ended = this.findings.recording === undefined ? 'complete' : howItEnded(this.findings.recording);
    const manifest = this.manifest(this.errors.length === 0 ? ended : 'imported with errors');
    writer.checkpoint(manifest);
    try {
      const { relation, warnings } = joinClocks(openTrace(this.dir), manifest, this.knownClocks());
      if (relation !== undefined) manifest.clock = relation;
      manifest.warnings.push(...warnings);
    } catch (error) {
      if (isTraceError(error)) throw error;
      const why = error instanceof Error ? error.message : String(error);
      manifest.warnings.push(`hypervisor times cannot be joined with Dom0's: the search failed (${why})`);
    }
    try {
      const { relation, warning } = joinLog(openTrace(this.dir), manifest);
      if (relation !== undefined) manifest.logClock = relation;
      const said = relation?.warning ?? warning;
      if (said !== undefined) manifest.warnings.push(said);
    } catch (error) {
      if (isTraceError(error)) throw error;
      const why = error instanceof Error ? error.message : String(error);
      manifest.warnings.push(
        `the device model's log has no place on Dom0's clock: the search failed (${why})`,
      );
    }
    return { ...manifest, complete: true };
  }

  /** Undefined: the clock is to be estimated as on a host that tells nothing. */
  private knownClocks(): KnownClocks | undefined {
    if (this.without('clock-constant') || this.without('trace-points')) return undefined;
    const { timekeeper, timekeeperRemark, clockPairs, recording } = this.findings;
    const noted = recording?.dom0Offset;
    return {
      timekeeper,
      timekeeperRemark,
      clockPairs,
      dom0Offset: noted === undefined ? undefined : BigInt(noted),
    };
  }

  private without(what: Ignorable): boolean {
    return this.options.without?.has(what) === true;
  }

  /** What the recorder knew; the events tell it even if it was killed. */
  private recording(file: RecordingFile): RecordingFacts {
    const facts = recordingFacts(file);
    const { counts } = this.scan;
    if (this.without('trace-points')) delete facts.tracePoints;
    else if (counts[K.ARM_CNTVOFF]! > 0) facts.tracePoints = 'all';
    else if (
      facts.tracePoints !== 'all' &&
      counts.subarray(K.ARM_S2_ABORT, K.ARM_CNTVOFF).some((n) => n > 0)
    ) {
      facts.tracePoints = 'some';
    }
    return facts;
  }

  private manifest(ended: string): Manifest {
    const { findings, scan, options, detected } = this;
    const domid = tracedDomid(findings, scan, options);
    const vcpus = domid === undefined ? undefined : findings.vcpus.get(domid);
    const tasks: Record<string, string> = Object.fromEntries(
      [...findings.tasks].map(([pid, name]) => [String(pid), name]),
    );
    const disagreement = options.counterHz === undefined ? counterDisagreement(findings) : undefined;
    return {
      format: 'ioreq-trace',
      version: FORMAT_VERSION,
      tool: options.tool,
      created: options.created ?? new Date().toISOString(),
      complete: false,
      ended,
      host: hostFacts(findings, options),
      ...(domid === undefined ? {} : { domid }),
      ...(vcpus === undefined ? {} : { vcpus }),
      ...(findings.recording === undefined ? {} : { recording: this.recording(findings.recording) }),
      devices: deviceFacts(findings, scan, domid),
      deviceModels: deviceModelFacts(findings, scan, tasks),
      tasks,
      sources: this.facts,
      unknownFiles: [...detected.unknown, ...detected.empty].sort(),
      warnings: [...findings.warnings, ...(disagreement === undefined ? [] : [disagreement])],
    };
  }
}

function noEvents(plans: readonly SourcePlan[]): TraceError {
  return new TraceError('E_NO_DATA', 'the raw files hold no event', {
    source: plans.flatMap((plan) => plan.files.map((file) => file.path)).join(', '),
  });
}
