import { K } from '../../../trace/events.ts';
import { NO_CPU, NO_DOMID, NO_PID, NO_VCPU } from '../../../trace/ids.ts';
import { XentraceDecoder } from '../../sources/xentrace.ts';
import { ChunkedSource } from './chunked-source.ts';
import type { SideCounts, SideLimits } from './dom0-side.ts';
import type { RowConsumer } from './row-hold.ts';
import { RowHold } from './row-hold.ts';
import { WindowCutter } from './window-cutter.ts';

/** Windows that xentrace wrote in one walk over the CPUs. */
interface Walk {
  windows: Uint8Array[];
  bytes: number;
}

/**
 * xentrace's output into rows in time order over the physical CPUs.
 *
 * xentrace walks over the CPUs in ascending order and writes what each has recorded (tools/xentrace/xentrace.c,
 * monitor_tbufs). So a window of a CPU that is not behind the last one begins a new walk, and a walk that is over
 * has brought whatever had happened by the last event of the walk before.
 */
export class XenSide {
  readonly counts: SideCounts = { bytes: 0, records: 0, skipped: 0, damaged: 0, late: 0 };
  /** System counter at ts = 0; undefined until there is a record. */
  epoch: bigint | undefined;
  private readonly consumer: RowConsumer;
  private readonly limits: SideLimits;
  private readonly cutter = new WindowCutter();
  private readonly hold: RowHold;
  private walks: Walk[] = [];
  private walksBytes = 0;
  private skipping = false;
  private lastCpu = Infinity;
  private mark = -Infinity;

  constructor(consumer: RowConsumer, limits: SideLimits) {
    this.consumer = consumer;
    this.limits = limits;
    this.hold = new RowHold(consumer);
  }

  add(bytes: Uint8Array): void {
    this.counts.bytes += bytes.length;
    const broken = this.cutter.error !== undefined;
    this.cutter.push(bytes, this.window);
    if (this.cutter.error === undefined || broken) return;
    this.counts.damaged++;
    this.counts.damage ??= this.cutter.error;
  }

  /** Gives what is certain to be in order by now. */
  endRound(): void {
    const over = this.walks.length - 1;
    if (over < 1) return;
    // The last walk that is over is a run of its own: what came before it is complete, it itself is not.
    if (over > 1) this.mark = Math.max(this.mark, this.decode(this.walks.slice(0, over - 1)));
    const mark = this.mark;
    this.mark = Math.max(this.mark, this.decode(this.walks.slice(over - 1, over)));
    this.walks = this.walks.slice(over);
    this.walksBytes = this.walks[0]!.bytes;
    this.release(mark);
  }

  finish(): void {
    this.decode(this.walks);
    this.walks = [];
    this.walksBytes = 0;
    this.release(Infinity);
  }

  private release(mark: number): void {
    this.hold.release(mark);
    this.counts.late = this.hold.late;
    if (mark > -Infinity) this.consumer.until(mark);
  }

  private readonly window = (cpu: number, window: Uint8Array): void => {
    if (cpu <= this.lastCpu || this.walks.length === 0) this.walks.push({ windows: [], bytes: 0 });
    this.lastCpu = cpu;
    const walk = this.walks.at(-1)!;
    walk.windows.push(window);
    walk.bytes += window.length;
    this.walksBytes += window.length;
    while (this.walksBytes > this.limits.bytesPerRound && this.walks.length > 1) {
      const left = this.walks.shift()!;
      this.walksBytes -= left.bytes;
      this.counts.skipped += left.bytes;
      this.skipping = true;
    }
  };

  /** Decodes whole walks into a run of their own. Gives the time of its last row. */
  private decode(walks: readonly Walk[]): number {
    const windows = walks.flatMap((w) => w.windows);
    if (windows.length === 0) return -Infinity;
    const decoder = new XentraceDecoder(new ChunkedSource('xentrace', windows));
    const { hold } = this;
    hold.begin();
    let last = -Infinity;
    let shift = 0;
    for (let more = true; more;) {
      const batch = hold.batch();
      more = decoder.fill(batch);
      if (last === -Infinity && batch.length > 0) {
        this.epoch ??= decoder.clock.epoch;
        shift = Number(decoder.clock.epoch - this.epoch);
        if (this.skipping) this.gap(batch.ts[0]! + shift);
      }
      const { ts, length } = batch;
      for (let i = 0; i < length; i++) ts[i] = ts[i]! + shift;
      if (length > 0) last = ts[length - 1]!;
      hold.add(batch);
      if (hold.held > this.limits.heldRows) hold.release(last);
    }
    this.counts.records += decoder.report.records;
    const error = decoder.report.errors[0];
    if (error !== undefined) {
      this.counts.damaged++;
      this.counts.damage ??= error;
    }
    return last;
  }

  private gap(ts: number): void {
    this.skipping = false;
    const batch = this.hold.batch();
    batch.push(ts, K.XEN_LOST, NO_CPU, NO_DOMID, NO_VCPU, NO_PID);
    this.hold.add(batch);
  }
}
