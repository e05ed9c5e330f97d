import type { EventBatch } from '../../trace/columns.ts';
import type { TraceError } from '../../trace/errors.ts';
import type { StringTable } from '../../trace/strings.ts';
import type { ByteSource } from '../input/byte-source.ts';

/** What the `ts` column counts. `none`: the source holds an order and no time (ts is NaN). */
export type ClockUnit = 'ticks' | 'ns' | 'us' | 'none';

/**
 * The clock of one source as its records give it. Never applied to the events; relations between clocks are
 * found later (collector/clocks) and kept beside it.
 */
export interface SourceClock {
  /** 'xen' (CNTPCT ticks), an ftrace trace_clock name ('mono_raw', 'local' ...), 'realtime', 'monotonic', 'none'. */
  name: string;
  unit: ClockUnit;
  /** The clock's reading at ts = 0, in `unit`. Meaningful after the first event. */
  epoch: bigint;
  /** Units a second; undefined where the raw data do not say (xentrace). */
  hz?: number;
}

/** Records that the producer dropped, as the raw data tell it. */
export interface Loss {
  /** CPU whose buffer lost them; undefined if the format does not say. */
  cpu?: number;
  /** Records lost; 0 = an unknown number, at least one. */
  count: number;
  /** Place in the stream (event time in source units since epoch); NaN if unknown. */
  ts: number;
}

export interface DecodeReport {
  /** Whole records decoded, of every sort, kept as rows or only counted. */
  records: number;
  /** Rows by raw record name (as the field names it), for `trace info` and cross-checks. */
  readonly byName: Map<string, number>;
  readonly losses: Loss[];
  /** At most one an input file: where and why its decoding stopped early. */
  readonly errors: TraceError[];
}

/**
 * A raw format turned into event columns. Rows come in time order over all of the source's CPUs.
 *
 * Damage never throws out of `fill`: all whole records come first, then `report.errors` has one precise
 * error for that input.
 */
export interface EventDecoder {
  readonly clock: SourceClock;
  readonly strings: StringTable;
  readonly report: DecodeReport;
  /** Appends rows until `out` is full or the input ends; false once there are no more rows to come. */
  fill(out: EventBatch): boolean;
}

/** How one raw format is recognised. */
export interface RawFormat {
  /** Stable name: 'xentrace', 'ftrace-pages', 'ftrace-text', 'qemu-log', 'trace.dat', 'simpletrace', 'access-jsonl'. */
  readonly name: string;
  /** One line for people. */
  readonly title: string;
  /**
   * Whether the content is of this format, judged by bytes alone, never by name. `head` is the first 64 KiB
   * (or all of a shorter file). Must not throw on any content.
   */
  sniff(head: Uint8Array, input: ByteSource): boolean;
}

export function newReport(): DecodeReport {
  return { records: 0, byName: new Map(), losses: [], errors: [] };
}
