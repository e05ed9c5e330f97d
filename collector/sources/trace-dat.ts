import type { EventBatch } from '../../trace/columns.ts';
import { isTraceError, TraceError } from '../../trace/errors.ts';
import { StringTable } from '../../trace/strings.ts';
import type { ByteSource } from '../input/byte-source.ts';
import { bindFormats } from './ftrace/binding.ts';
import { EventFormats, type PageLayout } from './ftrace/event-format.ts';
import { PageMerge } from './ftrace/page-merge.ts';
import type { ProbeDefinitions } from './ftrace/probes.ts';
import { PageLane } from './ftrace/sub-buffer.ts';
import { ftraceClock, parseTraceClock } from './ftrace/trace-clock.ts';
import {
  newReport,
  type DecodeReport,
  type EventDecoder,
  type RawFormat,
  type SourceClock,
} from './source.ts';
import { ChunkedSource } from './trace-dat/chunked-source.ts';
import { addStatLosses } from './trace-dat/cpu-stats.ts';
import { DatReader } from './trace-dat/dat-reader.ts';
import type { DatBuffer, DatCpuData, DatMeta } from './trace-dat/meta.ts';
import { readVersion6 } from './trace-dat/v6.ts';
import { readVersion7 } from './trace-dat/v7.ts';

/** 0x17 0x08 0x44 "tracing": trace-cmd, Documentation/trace-cmd/trace-cmd.dat.v7.5.txt. */
const MAGIC = Buffer.from('\x17\x08\x44tracing', 'latin1');

export const traceDatFormat: RawFormat = {
  name: 'trace.dat',
  title: 'trace-cmd recording (trace.dat version 6 or 7)',
  sniff: (head) => MAGIC.equals(head.subarray(0, MAGIC.length)),
};

export interface TraceDatOptions {
  /** Probe definitions, if they were saved beside the file: it does not hold them. */
  probes?: ProbeDefinitions;
  /** Bytes of each CPU's data held at a time; default 256 KiB. */
  chunkBytes?: number;
}

const CHUNK_BYTES = 256 * 1024;

/**
 * A trace-cmd recording of version 6, or 7 with compression none, zlib or zstd: all its buffers, merged in
 * time order. Instances on another clock than the first buffer's are left out with an error.
 */
export class TraceDatDecoder implements EventDecoder {
  readonly clock: SourceClock;
  readonly strings = new StringTable();
  readonly report: DecodeReport = newReport();
  /** Command names by pid, as recorded. */
  readonly tasks: Map<number, string>;
  private readonly merge: PageMerge | undefined;
  private readonly meta: DatMeta;
  private statsDone = false;

  constructor(input: ByteSource, options: TraceDatOptions = {}) {
    const meta = emptyMeta();
    this.meta = meta;
    this.tasks = meta.tasks;
    const lanes: PageLane[] = [];
    try {
      readMeta(input, meta);
      this.report.errors.push(...meta.errors);
      this.openBuffers(input, options.chunkBytes ?? CHUNK_BYTES, lanes);
    } catch (error) {
      if (!isTraceError(error)) throw error;
      this.report.errors.push(error);
    }
    const name = clockOf(meta, meta.buffers[0]);
    if (lanes.length === 0 || meta.formats.size === 0) {
      this.clock = ftraceClock(name, 0n);
      return;
    }
    const bindings = bindFormats(meta.formats, options.probes ?? [], this.strings);
    this.merge = new PageMerge(lanes, bindings, this.strings, this.report);
    this.clock = ftraceClock(name, this.merge.epoch);
  }

  fill(out: EventBatch): boolean {
    const more = this.merge?.fill(out) ?? false;
    // One input, one error: the first is where decoding began to miss something.
    this.report.errors.length = Math.min(1, this.report.errors.length);
    if (!more && !this.statsDone) {
      this.statsDone = true;
      // The statistics do not say which buffer they are of.
      if (this.meta.buffers.length === 1) addStatLosses(this.meta.cpuStats, this.report.losses);
    }
    return more;
  }

  private openBuffers(input: ByteSource, chunkBytes: number, lanes: PageLane[]): void {
    const { meta } = this;
    const clock = clockOf(meta, meta.buffers[0]);
    for (const buffer of meta.buffers) {
      if (clockOf(meta, buffer) !== clock) {
        throw new TraceError(
          'E_UNSUPPORTED',
          `instance ${JSON.stringify(buffer.name)} has a clock of its own`,
          {
            source: input.name,
            expected: clock,
            got: clockOf(meta, buffer),
          },
        );
      }
      const layout = pageLayout(input, meta, buffer);
      for (const data of buffer.cpus) {
        if (data.size > 0) lanes.push(openLane(input, meta, buffer, data, layout, chunkBytes));
      }
    }
  }
}

function openLane(
  input: ByteSource,
  meta: DatMeta,
  buffer: DatBuffer,
  data: DatCpuData,
  layout: PageLayout,
  chunkBytes: number,
): PageLane {
  const { cpu, offset, size } = data;
  if (!buffer.packed) return new PageLane(cpu, input, layout, chunkBytes, offset, offset + size);
  const name = `${input.name} (CPU ${cpu}, unpacked)`;
  return new PageLane(cpu, new ChunkedSource(input, offset, name, meta.compression), layout, chunkBytes);
}

function pageLayout(input: ByteSource, meta: DatMeta, buffer: DatBuffer): PageLayout {
  const layout = meta.formats.page;
  const pageBytes = buffer.pageBytes === 0 ? layout.pageBytes : buffer.pageBytes;
  if (pageBytes < layout.dataOffset + 16 || pageBytes > 16 << 20 || pageBytes % 4 !== 0) {
    throw new TraceError('E_BAD_RECORD', 'page size of a buffer is not plausible', {
      source: input.name,
      expected: `as header_page: ${layout.pageBytes}`,
      got: `${pageBytes}`,
    });
  }
  return { ...layout, pageBytes };
}

function clockOf(meta: DatMeta, buffer: DatBuffer | undefined): string {
  if (buffer !== undefined && buffer.clock !== '') return buffer.clock;
  // The kernel's default, where the file says nothing.
  return meta.clock === '' ? 'local' : parseTraceClock(meta.clock);
}

function emptyMeta(): DatMeta {
  return {
    version: 6,
    compression: 'none',
    formats: new EventFormats(),
    tasks: new Map(),
    buffers: [],
    clock: '',
    cpuStats: [],
    errors: [],
  };
}

/** The prolog: magic, version text, endianness, bytes of a long, page size. Then by version. */
function readMeta(input: ByteSource, meta: DatMeta): void {
  const reader = new DatReader(input);
  if (input.size === 0) throw new TraceError('E_EMPTY', 'the file is empty', { source: input.name });
  if (!reader.bytes(MAGIC.length, 'the magic number').equals(MAGIC)) {
    throw new TraceError('E_FOREIGN', 'not a trace.dat file', { source: input.name, offset: 0 });
  }
  const versionAt = reader.pos;
  const version = reader.cstring('the version');
  if (version !== '6' && version !== '7') {
    throw new TraceError('E_UNSUPPORTED', 'trace.dat version is not known', {
      source: input.name,
      offset: versionAt,
      expected: '6 or 7',
      got: JSON.stringify(version.slice(0, 40)),
    });
  }
  const endianAt = reader.pos;
  if (reader.u8('the endianness') !== 0) {
    throw new TraceError('E_UNSUPPORTED', 'recorded on a big-endian machine', {
      source: input.name,
      offset: endianAt,
      expected: 'little endian',
      got: 'big endian',
    });
  }
  reader.u8('the size of a long');
  reader.u32('the page size');
  if (version === '7') {
    meta.version = 7;
    readVersion7(reader, meta);
  } else {
    readVersion6(reader, meta);
  }
}
