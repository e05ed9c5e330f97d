import type { EventBatch } from '../../../trace/columns.ts';
import { STEP } from './lane.ts';
import type { ChunkSpace } from './lane.ts';
import type { LaneHeap } from './lane-heap.ts';
import { HASH_MULTIPLIER, HASH_SHIFT, ID_AT, INFO_AT, OP, OTHER_INFO } from './records.ts';

/**
 * Rows a block: few enough that they stay in the cache between the two loops that write them, and a function
 * that is called often is compiled as a whole, which the JIT does better than replacing a loop that runs.
 */
export const BLOCK_ROWS = 1024;
const ROW_MASK = BLOCK_ROWS - 1;

/** What the merging loop leaves for the describing one, by row of the block (row number modulo BLOCK_ROWS). */
export class BlockRows {
  /** Word of the space where the record begins. */
  readonly at = new Int32Array(BLOCK_ROWS);
  /** As in INFO_AT. */
  readonly info = new Int32Array(BLOCK_ROWS);
}

/**
 * Puts the lanes' records in time order: writes `ts` and `cpu` of rows `from` to `to` of `out`, and where
 * each one's record is. Stops early, and gives the row it stopped at, when the first lane's next record is
 * not a plain one: it does not lie whole in what is left of the window, contradicts its format, its time
 * leaps or goes back, or has another high word than `space.high`.
 *
 * This is the hot loop: whatever is rare leaves it. Code that has not yet run when the JIT compiles the loop would
 * cost it the compiled code later.
 */
export function mergeRows(
  heap: LaneHeap,
  space: ChunkSpace,
  rows: BlockRows,
  out: EventBatch,
  from: number,
  to: number,
): number {
  const { words, unsigned, high, highTime } = space;
  const { at, info: infoOf } = rows;
  const { ts: outTs, cpu: outCpu } = out;
  const ids = ID_AT;
  const infos = INFO_AT;
  // An import is looked up at every use, and a parameter or a field is a tagged value until `| 0` says it is an
  // integer: the JIT does neither outside of the loop by itself.
  const multiplier = HASH_MULTIPLIER | 0;
  const shift = HASH_SHIFT | 0;
  const otherInfo = OTHER_INFO | 0;
  const other = OP.OTHER | 0;
  const step = STEP | 0;
  const most = to | 0;
  let i = from | 0;
  for (;;) {
    const lane = heap.first();
    if (lane === undefined) return i;
    const othersNext = heap.limit();
    const cpu = lane.cpu | 0;
    const end = lane.end | 0;
    let pos = lane.pos | 0;
    let last = lane.last;
    // Ticks are whole numbers.
    const limit = Math.min(othersNext, last + step + 1);
    let next = -1;
    while (i < most) {
      const header = words[pos]!;
      const count = (header >>> 28) & 7;
      const after = pos + 1 + count + ((header >>> 31) << 1);
      // Also true behind the last record of the window.
      if (after > end) break;
      const id = header & 0x0fffffff;
      const place = Math.imul(id, multiplier) >>> shift;
      const info = ids[place]! === id ? infos[place]! : otherInfo;
      if (count < ((info >>> 12) & 15)) break;
      if (((info >>> 8) & 15) === other) {
        // As hasOneClass.
        const cls = id >>> 16;
        if (cls === 0 || (cls & (cls - 1)) !== 0) break;
      }
      if (header < 0) {
        if (unsigned[pos + 2]! !== high) break;
        const t = highTime + unsigned[pos + 1]!;
        if (t >= limit) {
          if (t - last <= step) next = t;
          break;
        }
        if (t < last) break;
        last = t;
      }
      const r = i & ROW_MASK;
      at[r] = pos;
      infoOf[r] = info;
      outTs[i] = last;
      outCpu[i] = cpu;
      pos = after;
      i++;
    }
    lane.pos = pos;
    lane.last = last;
    // Another lane's turn, unless it is only that `limit` is of an older `last`.
    if (next < othersNext) return i;
    heap.update(next);
  }
}
