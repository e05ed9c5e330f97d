import type { EventBatch } from '../../trace/columns.ts';
import { TraceError } from '../../trace/errors.ts';
import { StringTable } from '../../trace/strings.ts';
import type { ByteSource } from '../input/byte-source.ts';
import { bindFormats } from './ftrace/binding.ts';
import type { EventFormats } from './ftrace/event-format.ts';
import { PageMerge } from './ftrace/page-merge.ts';
import type { ProbeDefinitions } from './ftrace/probes.ts';
import { looksLikePages } from './ftrace/sniff-pages.ts';
import { PageLane } from './ftrace/sub-buffer.ts';
import { ftraceClock } from './ftrace/trace-clock.ts';
import {
  newReport,
  type DecodeReport,
  type EventDecoder,
  type RawFormat,
  type SourceClock,
} from './source.ts';

export const ftracePagesFormat: RawFormat = {
  name: 'ftrace-pages',
  title: 'ftrace ring-buffer pages of one CPU (per_cpu/cpuN/trace_pipe_raw)',
  sniff: looksLikePages,
};

export interface FtracePagesOptions {
  /** The clock in force: parseTraceClock of tracefs `trace_clock`. */
  clockName: string;
  probes?: ProbeDefinitions;
  /** Bytes of a sub-buffer, where no header_page tells. */
  pageBytes?: number;
  /** Bytes of each CPU's input held at a time; default 256 KiB. */
  chunkBytes?: number;
}

const CHUNK_BYTES = 256 * 1024;

/**
 * Ring-buffer pages of all CPUs of one source, one input a CPU, with the event formats that explain them.
 * Rows come in time order over the CPUs. Without any format: E_NO_FORMATS in the report, and no rows.
 */
export class FtracePagesDecoder implements EventDecoder {
  readonly clock: SourceClock;
  readonly strings = new StringTable();
  readonly report: DecodeReport = newReport();
  private readonly merge: PageMerge | undefined;

  constructor(
    inputs: readonly { cpu: number; input: ByteSource }[],
    formats: EventFormats,
    options: FtracePagesOptions,
  ) {
    if (formats.size === 0) {
      this.clock = ftraceClock(options.clockName, 0n);
      this.report.errors.push(
        new TraceError('E_NO_FORMATS', 'ring-buffer pages cannot be read without their event formats', {
          source: inputs[0]?.input.name ?? 'ftrace pages',
          expected: 'tracefs/events/*/*/format beside them',
          got: 'none',
        }),
      );
      return;
    }
    const { pageBytes, chunkBytes = CHUNK_BYTES } = options;
    const layout = pageBytes === undefined ? formats.page : { ...formats.page, pageBytes };
    const lanes = inputs.map(({ cpu, input }) => new PageLane(cpu, input, layout, chunkBytes));
    const bindings = bindFormats(formats, options.probes ?? [], this.strings);
    this.merge = new PageMerge(lanes, bindings, this.strings, this.report);
    this.clock = ftraceClock(options.clockName, this.merge.epoch);
  }

  fill(out: EventBatch): boolean {
    return this.merge?.fill(out) ?? false;
  }
}
