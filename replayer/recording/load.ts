import { TraceError } from '../../trace/errors.ts';
import type { Manifest } from '../../trace/manifest.ts';
import { REC_TAG, type RecordingBatch } from '../../trace/recording.ts';
import { layoutAt, type SlotLayout } from './slots.ts';

/** Of a recording made of an ordinary trace's events (from-events.ts): what they lack. */
export interface EventFacts {
  /** Source of the trace. */
  source: string;
  /** Places at which accesses may be missing; for these reasons. */
  holes: number;
  /** Ioreqs whose content the trace does not hold. */
  unknown: number;
  /** Stretches of time in which records were lost. */
  losses: number;
}

/** A recording in memory, its rows numbered through all batches. What every part of the replayer works on. */
export class Recording {
  readonly batches: readonly RecordingBatch[];
  readonly rows: number;
  /** Reads and writes of registers. */
  readonly accesses: number;
  /** Whether it holds guest memory; without it only registers can be replayed. */
  readonly hasMemory: boolean;
  readonly layout: SlotLayout;
  /** Devices by the trace's manifest, for their names; may be empty. */
  readonly named: Manifest['devices'];
  /** Present if it was not recorded for a replay. */
  readonly events?: EventFacts;
  /** First row of each batch. */
  private readonly firsts: number[] = [];

  /** Throws E_NOT_REPLAYABLE if there is no access to a virtio-mmio device in it, E_TRACE_DAMAGED if a row is invalid. */
  constructor(batches: readonly RecordingBatch[], named: Manifest['devices'] = [], events?: EventFacts) {
    this.batches = batches;
    this.named = named;
    if (events !== undefined) this.events = events;
    let [rows, accesses] = [0, 0];
    let hasMemory = false;
    let layout: SlotLayout | undefined;
    for (const batch of batches) {
      this.firsts.push(rows);
      rows += batch.length;
      for (let i = 0; i < batch.length; i++) {
        const tag = batch.tag[i]!;
        if (tag === REC_TAG.MEMORY) {
          hasMemory = true;
          if (batch.bytesStart[i + 1]! - batch.bytesStart[i]! !== batch.size[i])
            throw damaged(batch, i, `${batch.size[i]!} bytes of memory`, `${batch.payload(i).length}`);
        }
        if (tag !== REC_TAG.READ && tag !== REC_TAG.WRITE) continue;
        if (SIZES[batch.size[i]!] !== true)
          throw damaged(batch, i, 'an access of 1, 2, 4 or 8 bytes', `${batch.size[i]!}`);
        accesses++;
        layout ??= layoutAt(address(batch, i));
      }
    }
    if (accesses === 0 || layout === undefined) {
      throw new TraceError('E_NOT_REPLAYABLE', 'the recording has no access to a virtio-mmio device', {
        expected: 'a register window at 0x2000000 (Xen) or 0xa000000 (QEMU virt)',
        got: `${accesses} accesses`,
      });
    }
    this.rows = rows;
    this.accesses = accesses;
    this.hasMemory = hasMemory;
    this.layout = layout;
  }

  /** Batch of a row, and the row's place in it. */
  at(row: number): { batch: RecordingBatch; i: number } {
    let low = 0;
    for (let high = this.firsts.length - 1; low < high;) {
      const middle = (low + high + 1) >>> 1;
      if (this.firsts[middle]! <= row) low = middle;
      else high = middle - 1;
    }
    const batch = this.batches[low];
    if (batch === undefined || row < 0 || row >= this.rows)
      throw new RangeError(`row ${row} of ${this.rows}`);
    return { batch, i: row - this.firsts[low]! };
  }
}

/** By bytes of an access. */
const SIZES: readonly boolean[] = [false, true, true, false, true, false, false, false, true];

function damaged(batch: RecordingBatch, i: number, expected: string, got: string): TraceError {
  const source = `recording, step ${batch.step[i]!}`;
  return new TraceError('E_TRACE_DAMAGED', 'a record contradicts itself', { source, expected, got });
}

/** Address of an access or of memory. Exact below 2^53; beyond that there is neither RAM nor a register. */
export function address(batch: RecordingBatch, i: number): number {
  return batch.addr[2 * i]! + batch.addr[2 * i + 1]! * 0x1_0000_0000;
}
