import type { EventBatch } from '../../../trace/columns.ts';
import { K } from '../../../trace/events.ts';
import { NO_DOMID, NO_PID, NO_VCPU } from '../../../trace/ids.ts';
import type { StringTable } from '../../../trace/strings.ts';
import type { DecodeReport } from '../source.ts';
import { SHAPE, unknownBinding, type EventBinding } from './binding.ts';
import { addLoss } from '../losses.ts';
import { RecordDecoder } from './record-decoder.ts';
import { SpillRows } from './spill-rows.ts';
import { NOT_LOST, type PageLane } from './sub-buffer.ts';

/** Ids that no format explains are named apart up to this many; hostile input could make 65536 of them. */
const MAX_UNKNOWN_IDS = 256;

/**
 * Merges the lanes of all CPUs into rows in time order: the lane with the earliest record is decoded
 * straight into the batch until its next one is later than every other lane's (equal times: lowest CPU
 * first), so no row is ever sorted or copied.
 */
export class PageMerge {
  /** The clock's reading at ts = 0: the earliest page time stamp of all lanes. */
  readonly epoch: bigint;
  private readonly lanes: PageLane[];
  private readonly decoder: RecordDecoder;
  private readonly report: DecodeReport;
  private readonly strings: StringTable;
  /** By event id, for a loop without a Map: 0 = no format, else index into `bindings`. */
  private readonly slotOf = new Uint16Array(0x10000);
  private readonly bindings: (EventBinding | undefined)[] = [undefined];
  private readonly counts: number[] = [0];
  private readonly spill = new SpillRows();
  private unknownIds = 0;

  constructor(
    lanes: readonly PageLane[],
    bindings: ReadonlyMap<number, EventBinding>,
    strings: StringTable,
    report: DecodeReport,
  ) {
    this.lanes = [...lanes].sort((a, b) => a.cpu - b.cpu);
    this.decoder = new RecordDecoder(strings);
    this.report = report;
    this.strings = strings;
    for (const [id, binding] of bindings) this.addBinding(id, binding);
    this.epoch = earliest(this.lanes);
    for (const lane of this.lanes) {
      lane.setEpoch(this.epoch);
      lane.next();
    }
  }

  fill(out: EventBatch): boolean {
    const more = this.spill.drain(out) ? true : this.decodeInto(out);
    this.writeCounts();
    return more;
  }

  /** False once every lane is at its end. */
  private decodeInto(out: EventBatch): boolean {
    for (;;) {
      const best = this.earliestLane(undefined);
      if (best === undefined) return false;
      if (out.full) return true;
      const rival = this.earliestLane(best);
      const limit = rival?.ts ?? Infinity;
      const winsTies = rival === undefined || this.lanes.indexOf(best) < this.lanes.indexOf(rival);
      const { view } = best;
      do {
        // The common case in line: a record of a known event, with room for its rows.
        const slot =
          best.lost === NOT_LOST && best.length >= 8 ? this.slotOf[view.getUint16(best.at, true)]! : 0;
        const binding = this.bindings[slot];
        if (
          binding !== undefined &&
          out.capacity - out.length >= binding.rows &&
          this.decoder.decode(binding, best, best.at, best.length, best.ts, best.cpu, out)
        ) {
          this.counts[slot]!++;
        } else if (!this.emit(best, out)) {
          return true;
        }
        best.next();
      } while (best.ts < limit || (winsTies && best.ts === limit && limit !== Infinity));
    }
  }

  private earliestLane(except: PageLane | undefined): PageLane | undefined {
    let best: PageLane | undefined;
    for (const lane of this.lanes) {
      if (lane !== except && lane.ts < (best?.ts ?? Infinity)) best = lane;
    }
    return best;
  }

  /** Appends the rows of the lane's record; false if the batch is full and the record still to come. */
  private emit(lane: PageLane, out: EventBatch): boolean {
    if (out.full) return false;
    if (lane.lost !== NOT_LOST) {
      const row = out.push(lane.ts, K.DOM0_LOST, lane.cpu, NO_DOMID, NO_VCPU, NO_PID);
      out.arg0[row] = Math.min(lane.lost, 0xffffffff);
      addLoss(this.report.losses, { cpu: lane.cpu, count: lane.lost, ts: lane.ts });
      return true;
    }
    // The header that every record has: type, flags, preempt count, pid.
    if (lane.length < 8) {
      lane.reject('record is shorter than its header', '8 bytes', `${lane.length}`);
      return true;
    }
    const id = lane.view.getUint16(lane.at, true);
    const slot = this.slotOf[id]! || this.addUnknown(id);
    const binding = this.bindings[slot]!;
    const fits = out.capacity - out.length >= binding.rows;
    const rows = fits ? out : this.spill.take(binding.rows);
    const { at, length, ts, cpu } = lane;
    if (!this.decoder.decode(binding, lane, at, length, ts, cpu, rows)) {
      const expected = `at least ${binding.minBytes} bytes with every part inside`;
      lane.reject(`record of ${binding.name} does not hold its fields`, expected, `${length} bytes`);
      return true;
    }
    this.counts[slot]!++;
    if (!fits) this.spill.drain(out);
    return true;
  }

  private addBinding(id: number, binding: EventBinding): number {
    const slot = this.bindings.length;
    this.bindings.push(binding);
    this.counts.push(0);
    this.slotOf[id] = slot;
    return slot;
  }

  private addUnknown(id: number): number {
    this.unknownIds++;
    const name = this.unknownIds > MAX_UNKNOWN_IDS ? 'event without format' : `event ${id} without format`;
    return this.addBinding(id, unknownBinding(name, this.strings));
  }

  /**
   * Names are counted in arrays while decoding and put into the report once a batch. A print that holds an
   * event of QEMU's counts as `print:EVENT`, so that the counts add up to the records.
   */
  private writeCounts(): void {
    const byName = this.report.byName;
    byName.clear();
    this.report.records = this.counts.reduce((sum, count) => sum + count, 0);
    const { prints, qemuNames } = this.decoder;
    const inPrints = prints.reduce((sum, count) => sum + count, 0);
    this.bindings.forEach((binding, slot) => {
      if (binding === undefined) return;
      const count = (this.counts[slot] ?? 0) - (binding.shape === SHAPE.PRINT ? inPrints : 0);
      if (count > 0) byName.set(binding.name, (byName.get(binding.name) ?? 0) + count);
    });
    prints.forEach((count, event) => {
      if (count > 0) byName.set(`print:${qemuNames[event] ?? ''}`, count);
    });
    for (const lane of this.lanes) {
      const error = lane.error;
      if (error !== undefined && !this.report.errors.includes(error)) this.report.errors.push(error);
    }
  }
}

function earliest(lanes: readonly PageLane[]): bigint {
  let first: bigint | undefined;
  for (const lane of lanes) {
    const stamp = lane.firstTimestamp();
    if (stamp !== undefined && (first === undefined || stamp < first)) first = stamp;
  }
  return first ?? 0n;
}
