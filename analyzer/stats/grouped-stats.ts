import type { SpanBatch, SpanPlan } from '../../trace/spans.ts';
import { FamilyStats } from './family-stats.ts';

/** Groups beyond this many are not made: a `by` over hostile data must not fill the memory. */
export const MAX_GROUPS = 4096;
const NO_GROUP = -1;

/**
 * Distributions of one family's spans by group, in the order in which the groups were met. A batch's rows are dealt to
 * their groups first, so that each takes its own at once.
 */
export class GroupedStats {
  /** By key. */
  readonly groups = new Map<number, FamilyStats>();
  /** There were more groups than MAX_GROUPS: the rest is in none. */
  cut = false;
  private readonly plan: SpanPlan;
  /** Number of each group, by key, and its distributions by number. */
  private readonly numbers = new Map<number, number>();
  private readonly stats: FamilyStats[] = [];
  /** Scratch: the group of each row; rows by group; where each group's rows end there. */
  private groupOf = new Int32Array(0);
  private rows = new Int32Array(0);
  private ends = new Int32Array(0);

  constructor(plan: SpanPlan) {
    this.plan = plan;
  }

  /** All rows of `batch`; `keyOf` gives the key of row `i`, a negative number if it is in no group. */
  addAll(batch: SpanBatch, keyOf: (batch: SpanBatch, i: number) => number): void {
    const { length } = batch;
    if (length > this.groupOf.length) {
      this.groupOf = new Int32Array(batch.capacity);
      this.rows = new Int32Array(batch.capacity);
    }
    const { groupOf, rows } = this;
    let key = NaN;
    let group = NO_GROUP;
    for (let i = 0; i < length; i++) {
      const next = keyOf(batch, i);
      // Rows of a group often come together.
      if (next !== key) group = this.numberOf(next);
      key = next;
      groupOf[i] = group;
    }
    const { ends, stats } = this;
    ends.fill(0);
    for (let i = 0; i < length; i++) if (groupOf[i]! >= 0) ends[groupOf[i]!]!++;
    for (let g = 1; g < stats.length; g++) ends[g]! += ends[g - 1]!;
    // From the last row on, each one before those that are there: `ends` are the beginnings then.
    for (let i = length - 1; i >= 0; i--) if (groupOf[i]! >= 0) rows[--ends[groupOf[i]!]!] = i;
    for (let g = 0; g < stats.length; g++) {
      const end = g + 1 < stats.length ? ends[g + 1]! : this.dealt(length);
      if (end > ends[g]!) stats[g]!.addRows(batch, rows.subarray(ends[g], end));
    }
  }

  /** How many of the first `length` rows are in a group. */
  private dealt(length: number): number {
    let n = 0;
    for (let i = 0; i < length; i++) if (this.groupOf[i]! >= 0) n++;
    return n;
  }

  private numberOf(key: number): number {
    if (key < 0) return NO_GROUP;
    let number = this.numbers.get(key);
    if (number !== undefined) return number;
    if (this.stats.length >= MAX_GROUPS) {
      this.cut = true;
      return NO_GROUP;
    }
    number = this.stats.length;
    const stats = new FamilyStats(this.plan);
    this.numbers.set(key, number);
    this.groups.set(key, stats);
    this.stats.push(stats);
    if (this.stats.length > this.ends.length) this.ends = new Int32Array(Math.max(16, 2 * this.ends.length));
    return number;
  }
}
