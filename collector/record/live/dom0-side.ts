import { K } from '../../../trace/events.ts';
import { NO_CPU, NO_DOMID, NO_PID, NO_VCPU } from '../../../trace/ids.ts';
import { TraceError } from '../../../trace/errors.ts';
import { FtracePagesDecoder } from '../../sources/ftrace-pages.ts';
import type { EventFormats } from '../../sources/ftrace/event-format.ts';
import type { ProbeDefinitions } from '../../sources/ftrace/probes.ts';
import { ftraceClock } from '../../sources/ftrace/trace-clock.ts';
import { ChunkedSource } from './chunked-source.ts';
import { RoundPages } from './round-pages.ts';
import type { RowConsumer } from './row-hold.ts';
import { RowHold } from './row-hold.ts';
import { Watermark } from './watermark.ts';

export interface SideLimits {
  /** Bytes of a round that are decoded at most, the newest; Infinity: all. */
  readonly bytesPerRound: number;
  /** Rows held back at most; more are given before their turn is certain. */
  readonly heldRows: number;
}

/** What came of one source so far. */
export interface SideCounts {
  bytes: number;
  /** Records decoded, of every sort. */
  records: number;
  /** Pages (Dom0) or bytes (Xen) left out because a round was above the limit. */
  skipped: number;
  /** Rounds in which something was damaged, and the first such error. */
  damaged: number;
  damage?: TraceError;
  /** Rows that came after one that belongs behind them had been given. */
  late: number;
}

/** Dom0's ring-buffer pages, round by round, into rows in time order over its CPUs. */
export class Dom0Side {
  readonly counts: SideCounts = { bytes: 0, records: 0, skipped: 0, damaged: 0, late: 0 };
  /** Trace clock at ts = 0: the first page's time stamp; undefined until there is one. */
  epoch: bigint | undefined;
  private readonly formats: EventFormats;
  private readonly probes: ProbeDefinitions;
  private readonly clockName: string;
  private readonly consumer: RowConsumer;
  private readonly limits: SideLimits;
  private readonly pages: RoundPages;
  private readonly hold: RowHold;
  private readonly watermark = new Watermark();
  private readonly inNs: boolean;

  constructor(
    formats: EventFormats,
    probes: ProbeDefinitions,
    clockName: string,
    consumer: RowConsumer,
    limits: SideLimits,
  ) {
    this.formats = formats;
    this.probes = probes;
    this.clockName = clockName;
    this.consumer = consumer;
    this.limits = limits;
    this.pages = new RoundPages(formats.page.pageBytes, limits.bytesPerRound);
    this.hold = new RowHold(consumer);
    this.inNs = ftraceClock(clockName, 0n).unit === 'ns';
  }

  add(cpu: number, bytes: Uint8Array): void {
    this.counts.bytes += bytes.length;
    const { pageBytes } = this.formats.page;
    const rest = bytes.length % pageBytes;
    this.pages.add(cpu, rest === 0 ? bytes : bytes.subarray(0, bytes.length - rest));
    if (rest === 0) return;
    const detail = { source: `cpu${cpu}`, expected: `${pageBytes} bytes a page`, got: `${rest}` };
    this.damaged(new TraceError('E_TRUNCATED', 'a round ends inside a sub-buffer page', detail));
  }

  endRound(uptimeNs: number): void {
    const last = this.decode();
    const mark = this.watermark.round(last, this.inNs && this.epoch !== undefined ? uptimeNs : NaN);
    this.release(mark);
  }

  /** Gives what is held: no more will come. */
  finish(): void {
    this.decode();
    this.release(Infinity);
  }

  private release(mark: number): void {
    this.hold.release(mark);
    this.counts.late = this.hold.late;
    if (mark > -Infinity) this.consumer.until(mark);
  }

  /** Decodes the round's pages into a run of their own. Gives the time of its last row. */
  private decode(): number {
    const { cpus, dropped, from } = this.pages.newest(this.limits.bytesPerRound);
    this.counts.skipped += dropped;
    if (cpus.length === 0) return -Infinity;
    const inputs = cpus.map(({ cpu, pieces }) => ({ cpu, input: new ChunkedSource(`cpu${cpu}`, pieces) }));
    const { formats, probes, clockName, hold } = this;
    const decoder = new FtracePagesDecoder(inputs, formats, { clockName, probes });
    this.epoch ??= decoder.clock.epoch;
    const shift = Number(decoder.clock.epoch - this.epoch);
    const whole = from === undefined ? -Infinity : Number(from - this.epoch);
    hold.begin();
    if (from !== undefined) this.gap(whole);
    let last = -Infinity;
    for (let more = true; more;) {
      const batch = hold.batch();
      more = decoder.fill(batch);
      const { ts, length } = batch;
      let first = 0;
      for (let i = 0; i < length; i++) ts[i] = ts[i]! + shift;
      while (first < length && ts[first]! < whole) first++;
      if (length > 0) last = ts[length - 1]!;
      hold.add(batch, first);
      if (hold.held > this.limits.heldRows) hold.release(last);
    }
    this.counts.records += decoder.report.records;
    const error = decoder.report.errors[0];
    if (error !== undefined) this.damaged(error);
    return last;
  }

  private damaged(error: TraceError): void {
    this.counts.damaged++;
    this.counts.damage ??= error;
  }

  /** A row that says that what was before it is not there; no CPU lost it. */
  private gap(ts: number): void {
    const batch = this.hold.batch();
    batch.push(ts, K.DOM0_LOST, NO_CPU, NO_DOMID, NO_VCPU, NO_PID);
    this.hold.add(batch);
  }
}
