import type { SpanBatch, SpanPlan } from '../../trace/spans.ts';
import { StageLengths } from '../../trace/spans.ts';
import { leftOutReason } from './family-stats.ts';

/** One span taken out of its batch: for lists of a few. */
export interface SpanRecord {
  start: number;
  total: number;
  device: number;
  key: number;
  vcpu: number;
  dir: number;
  type: number;
  flags: number;
  amount: number;
  value: number;
  /** Boundary times in the plan's order, NaN where not seen. */
  at: number[];
  /** Lengths of the plan's stages, ns. */
  stages: number[];
}

/** The `limit` spans of a family with the largest totals, slowest first; ties by start. */
export class Slowest {
  readonly plan: SpanPlan;
  private readonly limit: number;
  private readonly kept: SpanRecord[] = [];
  private threshold = -Infinity;
  private readonly lengths: StageLengths;

  constructor(plan: SpanPlan, limit: number) {
    this.plan = plan;
    this.lengths = new StageLengths(plan);
    this.limit = limit;
  }

  add(batch: SpanBatch, i: number): void {
    const total = batch.total[i]!;
    // Equal totals go on: the one that began first is to be kept, whichever comes first.
    if (!(total >= this.threshold) || leftOutReason(batch, i) >= 0) return;
    this.kept.push({
      start: batch.start[i]!,
      total,
      device: batch.device[i]!,
      key: batch.key[i]!,
      vcpu: batch.vcpu[i]!,
      dir: batch.dir[i]!,
      type: batch.type[i]!,
      flags: batch.flags[i]!,
      amount: batch.amount[i]!,
      value: batch.value[i]!,
      at: batch.at.map((column) => column[i]!),
      stages: this.plan.stages.map((_, k) => this.lengths.ns(batch, k, i)),
    });
    // Trimmed only when twice as long: a sort every `limit` spans instead of one a span.
    if (this.kept.length >= 2 * this.limit) this.trim();
  }

  get list(): readonly SpanRecord[] {
    this.trim();
    return this.kept;
  }

  private trim(): void {
    this.kept.sort((a, b) => b.total - a.total || a.start - b.start);
    this.kept.length = Math.min(this.kept.length, this.limit);
    if (this.kept.length === this.limit && this.limit > 0) this.threshold = this.kept[this.limit - 1]!.total;
  }
}
