import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { isTraceError } from '../trace/errors.ts';
import type { RecordingBatch } from '../trace/recording.ts';
import type { AuxFile, RawFile } from './detect.ts';
import { cpuOfPath } from './cpu-of-path.ts';
import type { HostFindings } from './host/findings.ts';
import type { ByteSource } from './input/byte-source.ts';
import { AccessJsonlDecoder, accessJsonlFormat } from './sources/access-jsonl.ts';
import { FtracePagesDecoder, ftracePagesFormat } from './sources/ftrace-pages.ts';
import { FtraceTextDecoder, ftraceTextFormat } from './sources/ftrace-text.ts';
import { EventFormats } from './sources/ftrace/event-format.ts';
import { parseProbeDefinitions } from './sources/ftrace/probes.ts';
import type { ProbeDefinition } from './sources/ftrace/probes.ts';
import { QemuLogDecoder, qemuLogFormat } from './sources/qemu-log.ts';
import { SimpletraceDecoder, simpletraceFormat } from './sources/simpletrace.ts';
import type { EventDecoder, RawFormat } from './sources/source.ts';
import { TraceDatDecoder, traceDatFormat } from './sources/trace-dat.ts';
import { XentraceDecoder, xentraceFormat } from './sources/xentrace.ts';

/** One source of the trace to be: the raw files that go into it, and how they are decoded. */
export interface SourcePlan {
  readonly id: string;
  readonly format: RawFormat;
  readonly files: readonly RawFile[];
  /** Begins decoding; `open` gives the bytes of a file. `recording` gets the batches of access-jsonl. */
  decoder(open: (file: RawFile) => ByteSource, recording: (batch: RecordingBatch) => void): EventDecoder;
  /** Whether there is a recording to be kept beside the events. */
  readonly hasRecording: boolean;
}

/** Base of the source id by format: what part of the system saw the events. In the order of the trace. */
const ID_OF_FORMAT = new Map<RawFormat, string>([
  [xentraceFormat, 'xen'],
  [ftracePagesFormat, 'dom0'],
  [traceDatFormat, 'dom0'],
  [ftraceTextFormat, 'dom0'],
  [qemuLogFormat, 'dm-log'],
  [simpletraceFormat, 'dm-trace'],
  [accessJsonlFormat, 'rec'],
]);

/** Puts the raw files together to sources: one each, but the ftrace pages of all CPUs of a capture are one. */
export function planSources(raw: readonly RawFile[], findings: HostFindings): SourcePlan[] {
  const ids = new Map<string, number>();
  const newId = (format: RawFormat): string => {
    const base = ID_OF_FORMAT.get(format) ?? format.name.replace(/[^a-z0-9]/g, '-');
    const count = (ids.get(base) ?? 0) + 1;
    ids.set(base, count);
    return count === 1 ? base : `${base}-${count}`;
  };
  const pages = groupPages(raw.filter(({ format }) => format === ftracePagesFormat));
  const groups = [
    ...pages,
    ...raw.filter(({ format }) => format !== ftracePagesFormat).map((file) => [file]),
  ];
  // The richest form of a side gets the plain id: pages before a recording of trace-cmd before printed text.
  const rank = ([file]: readonly RawFile[]): number => [...ID_OF_FORMAT.keys()].indexOf(file!.format);
  groups.sort((a, b) => rank(a) - rank(b));
  return groups.map((files) => {
    const [first] = files;
    const { format } = first!;
    return format === ftracePagesFormat
      ? pagesPlan(files, newId(format), findings)
      : single(first!, newId(format), findings);
  });
}

function single(file: RawFile, id: string, findings: HostFindings): SourcePlan {
  const { format } = file;
  return {
    id,
    format,
    files: [file],
    hasRecording: format === accessJsonlFormat,
    decoder(open, recording) {
      const input = open(file);
      switch (format) {
        case xentraceFormat:
          return new XentraceDecoder(input);
        case traceDatFormat:
          return new TraceDatDecoder(input, { probes: allProbes(findings) });
        case qemuLogFormat:
          return new QemuLogDecoder(input);
        case simpletraceFormat:
          return new SimpletraceDecoder(input);
        case accessJsonlFormat:
          return new AccessJsonlDecoder(input, { recording });
        case ftraceTextFormat:
          return new FtraceTextDecoder(input, { probes: allProbes(findings), ...clockOf(file, findings) });
        default:
          throw new RangeError(`no decoder for ${format.name}`);
      }
    },
  };
}

/** The text of a buffer does not name its clock; a trace_clock file beside it does. */
function clockOf(file: RawFile, findings: HostFindings): { clockName?: string } {
  const [clock] = closest(file.path, findings.traceClocks);
  return clock === undefined ? {} : { clockName: clock.name };
}

/**
 * Pages that belong to one capture. If every file has a CPU number of its own they are one capture wherever
 * they lie; else (several captures in a tree) those of one folder belong together, where tracefs' own layout
 * per_cpu/cpuN/trace_pipe_raw counts as one folder.
 */
export function groupPages(pages: readonly RawFile[]): RawFile[][] {
  if (pages.length === 0) return [];
  const cpus = pages.map((file) => cpuOfPath(file.path));
  if (!cpus.includes(undefined) && new Set(cpus).size === cpus.length) return [[...pages]];
  const groups = new Map<string, RawFile[]>();
  for (const file of pages) {
    const folder = dirname(file.path);
    const key = /^cpu\d+$/.test(basename(folder)) ? dirname(folder) : folder;
    const group = groups.get(key) ?? [];
    group.push(file);
    groups.set(key, group);
  }
  return [...groups.values()];
}

function pagesPlan(files: RawFile[], id: string, findings: HostFindings): SourcePlan {
  const cpus = files.map((file) => cpuOfPath(file.path));
  const distinct = !cpus.includes(undefined) && new Set(cpus).size === cpus.length;
  if (!distinct) {
    findings.warnings.push(`${files[0]!.path}: CPU numbers are not in the file names; taken in order`);
  }
  const near = nearest(files[0]!.path, findings);
  return {
    id,
    format: ftracePagesFormat,
    files,
    hasRecording: false,
    decoder(open) {
      const inputs = files.map((file, i) => ({ cpu: distinct ? cpus[i]! : i, input: open(file) }));
      return new FtracePagesDecoder(inputs, near.formats, {
        clockName: near.clock,
        probes: allProbes(findings),
      });
    },
  };
}

/** Event formats and clock of the capture that `path` is part of: those that share most of its path. */
function nearest(path: string, findings: HostFindings): { formats: EventFormats; clock: string } {
  const texts = closest(path, findings.formatTexts);
  const formats = new EventFormats();
  for (const { file, text, what } of texts) {
    try {
      if (what === 'header_page') formats.addHeaderPage(text, file);
      else formats.add(text, file, systemOf(file));
    } catch (error) {
      if (!isTraceError(error)) throw error;
      findings.warnings.push(error.message);
    }
  }
  const clocks = closest(path, findings.traceClocks);
  if (clocks[0] === undefined) {
    findings.warnings.push(`${path}: no trace_clock file says which clock the pages hold; taken for "local"`);
  }
  return { formats, clock: clocks[0]?.name ?? 'local' };
}

/** Those of `items` whose path shares the longest run of folders with `path`. */
export function closest<T extends { file: string }>(path: string, items: readonly T[]): T[] {
  const folders = dirname(path).split('/');
  const shared = (file: string): number => {
    const other = dirname(file).split('/');
    let count = 0;
    while (count < folders.length && folders[count] === other[count]) count++;
    return count;
  };
  const most = Math.max(0, ...items.map(({ file }) => shared(file)));
  return items.filter(({ file }) => shared(file) === most);
}

/** events/SYSTEM/EVENT/format. */
function systemOf(file: string): string {
  const parts = file.split('/');
  return parts.length >= 3 ? parts.at(-3)! : '';
}

function allProbes(findings: HostFindings): ProbeDefinition[] {
  return findings.probeTexts.flatMap((text) => parseProbeDefinitions(text));
}

/** Largest part of an auxiliary file that is read: saved_cmdlines and kallsyms stay far below. */
const MAX_AUX_BYTES = 64 << 20;

/** Reads the auxiliary files in order; what cannot be read becomes a warning. */
export function readAuxFiles(files: readonly AuxFile[], findings: HostFindings): void {
  for (const { path, at, format } of files) {
    if (format.read === undefined) continue;
    try {
      const text = readFileSync(at).subarray(0, MAX_AUX_BYTES).toString('utf8');
      format.read(text, findings, path);
    } catch (error) {
      findings.warnings.push(
        `${path}: cannot be used (${error instanceof Error ? error.message : String(error)})`,
      );
    }
  }
}
