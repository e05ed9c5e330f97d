import type { EventBatch } from '../../../trace/columns.ts';
import { K } from '../../../trace/events.ts';
import { NO_DOMID, NO_PID, NO_VCPU } from '../../../trace/ids.ts';
import { clearRows, describeRows } from './describe.ts';
import type { OnLoss } from './describe.ts';
import { STEP } from './lane.ts';
import type { ChunkSpace, Lane } from './lane.ts';
import type { LaneHeap } from './lane-heap.ts';
import { BLOCK_ROWS, mergeRows } from './merge.ts';
import type { BlockRows } from './merge.ts';
import { hasOneClass, infoOf, OP } from './records.ts';
import type { Tally } from './tally.ts';

/**
 * Decodes a block of records from the lanes straight into `out`, in time order over all CPUs, until the
 * block or `out` is full or the lanes have ended. Plain records go through two loops; here is what those
 * leave over.
 */
export function decodeBlock(
  heap: LaneHeap,
  space: ChunkSpace,
  rows: BlockRows,
  out: EventBatch,
  tally: Tally,
  onLoss: OnLoss,
): void {
  const to = Math.min(out.capacity, out.length + BLOCK_ROWS);
  clearRows(out, out.length, to);
  while (out.length < to && heap.first() !== undefined) {
    const from = out.length;
    out.length = mergeRows(heap, space, rows, out, from, to);
    // Before a lane reads on: that overwrites the records.
    describeRows(space.words, rows, tally, onLoss, out, from, out.length);
    if (out.length < to) afterPlain(heap, space, out, tally, onLoss);
  }
}

/** Deals with the record that mergeRows stopped at, so that it can go on. At most one row. */
function afterPlain(heap: LaneHeap, space: ChunkSpace, out: EventBatch, tally: Tally, onLoss: OnLoss): void {
  const lane = heap.first();
  if (lane === undefined) return;
  if (lane.pos >= lane.end) {
    if (!lane.advance()) heap.update(Infinity);
    return;
  }
  const { pos, last } = lane;
  const header = space.words[pos]!;
  const count = (header >>> 28) & 7;
  const length = 1 + count + ((header >>> 31) << 1);
  if (pos + length > lane.end) {
    if (lane.overrun(length)) gap(lane, out, onLoss);
    return;
  }
  const id = header & 0x0fffffff;
  const info = infoOf(id);
  const op = (info >>> 8) & 15;
  const words = (info >>> 12) & 15;
  if ((count < words && op !== OP.WRAP) || (op === OP.OTHER && !hasOneClass(id))) {
    const expected = op > OP.OTHER && op < OP.FOREIGN ? `${words} words` : 'a record of Xen';
    lane.bad('a record contradicts its format', expected, `id 0x${id.toString(16)} with ${count} words`);
    gap(lane, out, onLoss);
    return;
  }
  let t = last;
  if (header < 0) {
    space.setHigh(space.unsigned[pos + 2]!);
    t = space.time(pos);
  }
  if (t - last > STEP) {
    if (lane.confirms(pos, t)) {
      // From its own time on, it is a plain one.
      lane.last = t;
      return;
    }
    lane.reportTime(pos, 'a timestamp leaps ahead of the next; the previous one is used');
    useLast(lane, out, onLoss);
  } else if (t < last) {
    if (last - t > STEP && lane.confirms(pos, t)) {
      lane.reportTime(pos, 'the clock starts again; records from here on are left out');
      lane.stop();
      gap(lane, out, onLoss);
      return;
    }
    lane.reportTime(pos, 'a timestamp goes back; the previous one is used');
    useLast(lane, out, onLoss);
  } else if (op === OP.WRAP) {
    if (t >= heap.limit()) {
      heap.update(t);
      return;
    }
    tally.known[info & 0xff]! += 1;
    lane.last = t;
    lane.pos += length;
  } else if (t < heap.limit()) {
    // It is a plain one; only the limit or the high word was an older one.
    lane.last = t;
  }
}

/** The record at `lane.pos` takes the time of the one before; or, if that has no exact one, ends the CPU's records. */
function useLast(lane: Lane, out: EventBatch, onLoss: OnLoss): void {
  if (lane.setTimeToLast(lane.pos)) return;
  lane.stop();
  gap(lane, out, onLoss);
}

/** The rest of a window could not be decoded: a row that says so, of an unknown number of records. */
function gap(lane: Lane, out: EventBatch, onLoss: OnLoss): void {
  out.push(lane.last, K.XEN_LOST, lane.cpu, NO_DOMID, NO_VCPU, NO_PID);
  onLoss(lane.cpu, 0, lane.last);
  lane.pos = lane.end;
}
