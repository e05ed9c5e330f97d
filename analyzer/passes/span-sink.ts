import type { SpanPlan } from '../../trace/spans.ts';
import { SpanBatch } from '../../trace/spans.ts';

/** Takes finished batches; a batch is only valid during the call. */
export type SpanConsumer = (plan: SpanPlan, batch: SpanBatch) => void;

/** Collects the spans of one family into batches and hands each full one to the consumers. */
export class SpanSink {
  readonly plan: SpanPlan;
  private readonly batch: SpanBatch;
  private readonly consumers: readonly SpanConsumer[];

  constructor(plan: SpanPlan, consumers: readonly SpanConsumer[], capacity?: number) {
    this.plan = plan;
    this.batch = new SpanBatch(plan.boundaries.length, capacity, plan.preempted.length);
    this.consumers = consumers;
  }

  /** The row of `columns` to write next: fill every column, then call `commit`. */
  row(): number {
    return this.batch.length;
  }

  get columns(): SpanBatch {
    return this.batch;
  }

  commit(): void {
    this.batch.length++;
    if (this.batch.full) this.flush();
  }

  flush(): void {
    if (this.batch.length === 0) return;
    for (const consume of this.consumers) consume(this.plan, this.batch);
    this.batch.length = 0;
  }
}
