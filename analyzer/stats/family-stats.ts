import type { SpanBatch, SpanPlan } from '../../trace/spans.ts';
import { PREEMPTED, SPAN_FLAG, StageLengths } from '../../trace/spans.ts';
import { Histogram } from './histogram.ts';

/** Why a span is in no percentile. Each left-out span is counted under the first that applies. */
export const LEFT_OUT = [
  'map-cache INVALIDATE, not an access of the guest',
  'records were lost while it was open',
  'seen by one side only (hypervisor or Dom0)',
  'its first or last instant was not seen',
  'no notify started it (a receive queue, or filled while the device had notifications off)',
] as const;

/** The figures of one family or group, wherever they were counted. */
export interface FamilyFigures {
  readonly plan: SpanPlan;
  readonly total: Histogram;
  readonly staged: Histogram;
  readonly inKernel: Histogram;
  readonly preempted: Histogram;
  readonly stages: readonly Histogram[];
  readonly leftOut: ArrayLike<number>;
  readonly amount: number;
}

/**
 * Distributions of one family, whole or of a group. `total` has every span that counts; the stages only those
 * in which every stage of the total was seen, so that stage by stage they add up to `staged`, their total.
 */
export class FamilyStats implements FamilyFigures {
  readonly plan: SpanPlan;
  readonly total = new Histogram();
  readonly staged = new Histogram();
  /** Of `total`: spans that Dom0's kernel answered or raised by itself; they lack the device model's stages. */
  readonly inKernel = new Histogram();
  /** Of `staged`: preemption in the total, of those spans that had any. */
  readonly preempted = new Histogram();
  readonly stages: readonly Histogram[];
  readonly leftOut = new Uint32Array(LEFT_OUT.length);
  /** Sum of the `amount` column over counted spans: bytes of requests, raises of interrupts. */
  amount = 0;
  private readonly lengths: StageLengths;
  private readonly inTotal: readonly boolean[];
  private readonly preemptedAt: number;
  /** Scratch of `add`: lengths of the stages of one span. */
  private readonly of: Float64Array;
  constructor(plan: SpanPlan) {
    this.plan = plan;
    this.lengths = new StageLengths(plan);
    this.inTotal = plan.stages.map((s) => s.inTotal);
    this.preemptedAt = plan.stages.findIndex((s) => s.name === PREEMPTED);
    this.of = new Float64Array(plan.stages.length);
    this.stages = plan.stages.map(() => new Histogram());
  }

  /** Row `i` of `batch`. */
  add(batch: SpanBatch, i: number): void {
    const why = leftOutReason(batch, i);
    if (why >= 0) {
      this.leftOut[why]!++;
      return;
    }
    const total = batch.total[i]!;
    this.total.record(total);
    if ((batch.flags[i]! & SPAN_FLAG.KERNEL) !== 0) this.inKernel.record(total);
    this.amount += batch.amount[i]!;
    const { stages, lengths, inTotal, of } = this;
    let complete = true;
    for (let k = 0; k < stages.length; k++) {
      of[k] = lengths.ns(batch, k, i);
      if (inTotal[k]! && Number.isNaN(of[k]!)) complete = false;
    }
    if (complete) this.staged.record(total);
    for (let k = 0; k < stages.length; k++) {
      if (!complete && inTotal[k]!) continue;
      if (!Number.isNaN(of[k]!)) stages[k]!.record(of[k]!);
    }
    if (complete && this.preemptedAt >= 0 && of[this.preemptedAt]! > 0) {
      this.preempted.record(of[this.preemptedAt]!);
    }
  }

  /** All rows of `batch`: as addRows. */
  addAll(batch: SpanBatch): void {
    if (batch.length > everyRow.length) everyRow = Int32Array.from({ length: batch.capacity }, (_, i) => i);
    this.addRows(batch, everyRow.subarray(0, batch.length));
  }

  /** The rows `of` of `batch`, a column at a time: to the last bit what `add` of one after the other gives. */
  addRows(batch: SpanBatch, chosen: Int32Array): void {
    const { lengths, stages, inTotal } = this;
    const { rows, complete, kept, stageNs } = scratchFor(chosen.length, stages.length);
    let n = 0;
    for (let r = 0; r < chosen.length; r++) {
      const i = chosen[r]!;
      const why = leftOutReason(batch, i);
      if (why >= 0) {
        this.leftOut[why]!++;
        continue;
      }
      rows[n] = i;
      complete[n++] = 1;
      this.amount += batch.amount[i]!;
    }
    const { total, flags } = batch;
    for (let r = 0; r < n; r++) kept[r] = total[rows[r]!]!;
    this.total.recordAll(kept, n);
    let m = 0;
    for (let r = 0; r < n; r++) {
      if ((flags[rows[r]!]! & SPAN_FLAG.KERNEL) !== 0) kept[m++] = total[rows[r]!]!;
    }
    this.inKernel.recordAll(kept, m);
    for (let k = 0; k < stages.length; k++) {
      const of = stageNs[k]!;
      lengths.column(batch, k, rows, n, of);
      if (inTotal[k]!) for (let r = 0; r < n; r++) if (Number.isNaN(of[r]!)) complete[r] = 0;
    }
    m = 0;
    for (let r = 0; r < n; r++) if (complete[r] === 1) kept[m++] = total[rows[r]!]!;
    this.staged.recordAll(kept, m);
    for (let k = 0; k < stages.length; k++) {
      const of = stageNs[k]!;
      m = 0;
      for (let r = 0; r < n; r++) {
        if ((complete[r] === 1 || !inTotal[k]!) && !Number.isNaN(of[r]!)) kept[m++] = of[r]!;
      }
      stages[k]!.recordAll(kept, m);
    }
    if (this.preemptedAt < 0) return;
    const of = stageNs[this.preemptedAt]!;
    m = 0;
    for (let r = 0; r < n; r++) if (complete[r] === 1 && of[r]! > 0) kept[m++] = of[r]!;
    this.preempted.recordAll(kept, m);
  }
}

/** Every row of a batch. */
let everyRow = new Int32Array(0);

/** Of `addRows`, by counted span: its row, whether every stage of the total was seen, values, stage lengths. */
interface Scratch {
  rows: Int32Array;
  complete: Uint8Array;
  kept: Float64Array;
  stageNs: Float64Array[];
}

/** One for all: groups are many. */
let scratch: Scratch | undefined;

function scratchFor(rows: number, stages: number): Scratch {
  if (scratch === undefined || scratch.rows.length < rows || scratch.stageNs.length < stages) {
    const length = Math.max(rows, scratch?.rows.length ?? 0);
    const columns = Math.max(stages, scratch?.stageNs.length ?? 0);
    scratch = {
      rows: new Int32Array(length),
      complete: new Uint8Array(length),
      kept: new Float64Array(length),
      stageNs: Array.from({ length: columns }, () => new Float64Array(length)),
    };
  }
  return scratch;
}

/** Index into LEFT_OUT, or -1 if the span counts. */
export function leftOutReason(batch: SpanBatch, i: number): number {
  const flags = batch.flags[i]!;
  if ((flags & SPAN_FLAG.INVALIDATE) !== 0) return 0;
  if ((flags & SPAN_FLAG.LOSS) !== 0) return 1;
  if (!Number.isNaN(batch.total[i]!)) return -1;
  if ((flags & SPAN_FLAG.ONE_SIDED) !== 0) return 2;
  return (flags & SPAN_FLAG.UNNOTIFIED) !== 0 ? 4 : 3;
}
