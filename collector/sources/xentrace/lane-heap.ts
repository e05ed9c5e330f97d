import type { Lane } from './lane.ts';

/** Time of a lane that has ended. A constant here: the global Infinity would make its uses tagged values. */
const ENDED = Number.POSITIVE_INFINITY;

/** A constant, as the JIT takes no function declaration of a module for one. */
const before = (timeA: number, laneA: number, timeB: number, laneB: number): boolean =>
  timeA < timeB || (timeA === timeB && laneA < laneB);

/**
 * Lanes by the time of their next record, earliest first; equal times by CPU. A binary heap: a host may
 * have two CPUs or some hundred, a hostile file thousands. It is asked once for every few records, so its
 * keys are columns.
 */
export class LaneHeap {
  /** By CPU, ascending. */
  private readonly lanes: readonly Lane[];
  /** Time of the next record (Infinity: ended) and position in `lanes`, in heap order. */
  private readonly time: Float64Array;
  private readonly which: Int32Array;

  constructor(lanes: readonly Lane[], firstTimes: readonly number[]) {
    this.lanes = lanes;
    const order = lanes.map((_, i) => i).sort((a, b) => firstTimes[a]! - firstTimes[b]! || a - b);
    this.which = Int32Array.from(order);
    this.time = Float64Array.from(order, (i) => firstTimes[i]!);
  }

  /** The lane to decode from; undefined once every lane has ended. */
  first(): Lane | undefined {
    return this.lanes.length === 0 || this.time[0] === ENDED ? undefined : this.lanes[this.which[0]!];
  }

  firstTime(): number {
    return this.time[0]!;
  }

  /** Times from here on are not the first lane's turn. */
  limit(): number {
    const { time, which } = this;
    if (time.length < 2) return ENDED;
    const second = time.length > 2 && before(time[2]!, which[2]!, time[1]!, which[1]!) ? 2 : 1;
    // Ticks are whole numbers, so that + 1 lets equal times of a lower CPU pass.
    return which[0]! < which[second]! ? time[second]! + 1 : time[second]!;
  }

  /** Tells the first lane's new time, and so whose turn it is. */
  update(next: number): void {
    const { time, which } = this;
    const count = time.length;
    const lane = which[0]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= count) break;
      if (child + 1 < count && before(time[child + 1]!, which[child + 1]!, time[child]!, which[child]!))
        child++;
      if (!before(time[child]!, which[child]!, next, lane)) break;
      time[at] = time[child]!;
      which[at] = which[child]!;
      at = child;
    }
    time[at] = next;
    which[at] = lane;
  }
}
