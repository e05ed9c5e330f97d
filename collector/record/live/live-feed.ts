import type { EventFormats } from '../../sources/ftrace/event-format.ts';
import { parseProbeDefinitions } from '../../sources/ftrace/probes.ts';
import { Dom0Side } from './dom0-side.ts';
import type { SideCounts } from './dom0-side.ts';
import type { RowConsumer } from './row-hold.ts';
import { XenSide } from './xen-side.ts';

export interface LiveFeedOptions {
  /** Formats of the events that are switched on, with their header_page. */
  readonly formats: EventFormats;
  /** Text of tracefs `kprobe_events`. */
  readonly kprobes?: string;
  /** parseTraceClock of tracefs `trace_clock`. */
  readonly clockName: string;
  /** Decode every byte: a trigger watches. Otherwise a round above maxBytesPerRound is sampled. */
  readonly flight?: boolean;
  /** Of each source, bytes; default 8 MiB. The newest are decoded, the rest is counted. */
  readonly maxBytesPerRound?: number;
  /** Rows of each source held back for their order; default 1 Mi rows (60 bytes each). */
  readonly maxHeldRows?: number;
  readonly dom0: RowConsumer;
  readonly xen?: RowConsumer;
}

const MAX_BYTES_PER_ROUND = 8 * 2 ** 20;
const MAX_HELD_ROWS = 2 ** 20;

/**
 * What a recording brings, decoded while it runs: rows of Dom0 to one consumer and rows of Xen to another, each in
 * time order over its CPUs and on its own clock.
 *
 * Rows are given a round late, since a CPU that is drained early in a round may hold events until the next one. Where
 * the feed left something out, a row DOM0_LOST or XEN_LOST with NO_CPU stands in its place. Rows that come later than
 * that are given all the same and counted as late: `ts` then falls. Damage never throws; it is counted.
 */
export class LiveFeed {
  private readonly dom0Side: Dom0Side;
  private readonly xenSide: XenSide | undefined;

  constructor(options: LiveFeedOptions) {
    const { formats, kprobes = '', clockName, flight = false, dom0, xen } = options;
    const limits = {
      bytesPerRound: flight ? Infinity : (options.maxBytesPerRound ?? MAX_BYTES_PER_ROUND),
      heldRows: options.maxHeldRows ?? MAX_HELD_ROWS,
    };
    this.dom0Side = new Dom0Side(formats, parseProbeDefinitions(kprobes), clockName, dom0, limits);
    this.xenSide = xen === undefined ? undefined : new XenSide(xen, limits);
  }

  get dom0(): Readonly<SideCounts> {
    return this.dom0Side.counts;
  }

  get xen(): Readonly<SideCounts> | undefined {
    return this.xenSide?.counts;
  }

  /** Readings of the two clocks at ts = 0 (ns, ticks of the system counter); undefined before the first rows. */
  get dom0Epoch(): bigint | undefined {
    return this.dom0Side.epoch;
  }

  get xenEpoch(): bigint | undefined {
    return this.xenSide?.epoch;
  }

  /** Whole ring-buffer pages of a CPU, in the order of the buffer. Kept, not copied, until the round ends. */
  pages(cpu: number, bytes: Uint8Array): void {
    this.dom0Side.add(cpu, bytes);
  }

  /** What xentrace wrote, cut anywhere. Kept, not copied, until its windows are whole. */
  xentrace(bytes: Uint8Array): void {
    this.xenSide?.add(bytes);
  }

  /** A round has ended: every CPU has been drained since it began, at `uptimeSeconds` of the host (/proc/uptime). */
  endRound(uptimeSeconds = NaN): void {
    this.dom0Side.endRound(uptimeSeconds * 1e9);
    this.xenSide?.endRound();
  }

  /** No more will come: gives whatever is held. */
  finish(): void {
    this.dom0Side.finish();
    this.xenSide?.finish();
  }
}
