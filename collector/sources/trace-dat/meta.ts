import { isTraceError, type TraceError } from '../../../trace/errors.ts';
import type { EventFormats } from '../ftrace/event-format.ts';
import type { DatCompression } from './inflate.ts';
import type { DatReader } from './dat-reader.ts';

/** Pages of one CPU: plain in the file, or packed in chunks. */
export interface DatCpuData {
  readonly cpu: number;
  readonly offset: number;
  /** Bytes in the file. */
  readonly size: number;
}

/** One ring buffer: the top one ('') or an instance. */
export interface DatBuffer {
  readonly name: string;
  readonly clock: string;
  /** Bytes of a sub-buffer, 0 if the file does not say it here. */
  readonly pageBytes: number;
  readonly packed: boolean;
  readonly cpus: readonly DatCpuData[];
}

/** What a trace.dat file says beside its events. */
export interface DatMeta {
  version: 6 | 7;
  compression: DatCompression;
  formats: EventFormats;
  tasks: Map<number, string>;
  buffers: DatBuffer[];
  /** Text of the TRACECLOCK option, '' if there is none. */
  clock: string;
  /** Texts of the CPUSTAT options. */
  cpuStats: string[];
  /** Damage that the events can be read without. */
  errors: TraceError[];
}

/** More than any Linux runs on; a larger count is damage. */
export const MAX_CPUS = 8192;

/** "header_page\0", u64 size, text, "header_event\0", u64 size, text. */
export function readHeaderInfo(reader: DatReader, formats: EventFormats): void {
  expectTag(reader, 'header_page');
  const size = reader.size('the size of header_page');
  const source = `${reader.input.name} (header_page at byte ${reader.pos})`;
  // Its offsets count from the text's own start.
  formats.addHeaderPage(reader.text(size, 'header_page').replaceAll('\0', ''), source);
  expectTag(reader, 'header_event');
  reader.skip(reader.size('the size of header_event'), 'header_event');
}

/** u32 count, then a u64 size and text for each of the ftrace system's own events. */
export function readFtraceFormats(reader: DatReader, formats: EventFormats, errors: TraceError[]): void {
  readFormats(reader, formats, 'ftrace', errors);
}

/** u32 systems; for each its name and as in readFtraceFormats. */
export function readEventFormats(reader: DatReader, formats: EventFormats, errors: TraceError[]): void {
  const systems = reader.u32('the number of event systems');
  for (let i = 0; i < systems; i++)
    readFormats(reader, formats, reader.cstring('the name of an event system'), errors);
}

function readFormats(reader: DatReader, formats: EventFormats, system: string, errors: TraceError[]): void {
  const count = reader.u32('a number of event formats');
  for (let i = 0; i < count; i++) {
    const size = reader.size('the size of an event format');
    const source = `${reader.input.name} (format at byte ${reader.pos})`;
    const text = reader.text(size, 'an event format').replaceAll('\0', '');
    try {
      formats.add(text, source, system);
    } catch (error) {
      // The other events are readable without it; the first such error is told.
      if (!isTraceError(error)) throw error;
      errors.push(error);
    }
  }
}

/** u64 size, then lines "PID COMM". Lines of another shape are passed over. */
export function readCmdlines(reader: DatReader, tasks: Map<number, string>): void {
  const text = reader.text(reader.size('the size of the command lines'), 'the command lines');
  for (const line of text.split('\n')) {
    const match = /^(\d+) (.+)$/.exec(line);
    if (match !== null) tasks.set(Number(match[1]), match[2] ?? '');
  }
}

function expectTag(reader: DatReader, tag: string): void {
  const at = reader.pos;
  const got = reader.cstring(`the tag ${tag}`);
  if (got !== tag)
    reader.fail('another part begins here', JSON.stringify(tag), JSON.stringify(got.slice(0, 40)), at);
}
