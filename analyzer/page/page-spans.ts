import { SpanBatch, type SpanFamily, type SpanPlan } from '../../trace/spans.ts';
import { PageCells } from './page-cells.ts';
import type { PageTable } from './page-format.ts';

/**
 * Spans that a page takes in whole. A span is 50 to 90 bytes in the file, gzipped and in base64: with all of
 * these the page stays below 50 MB, which browsers open in some seconds.
 */
export const PAGE_ROWS: Readonly<Record<SpanFamily, number>> = {
  mmio: 300_000,
  interrupt: 100_000,
  injection: 100_000,
  request: 150_000,
};
/** Of these, so many are kept for the slowest spans when there are more. */
export const PAGE_SLOWEST = 10_000;

/**
 * Takes a family's spans batch by batch and keeps what a page can hold: all of them, or the slowest plus a
 * uniform sample of the others. Memory is bounded by `limit` rows, whatever the trace's length.
 *
 * The slowest lie in slots 0 .. slowest-1, while over the limit ordered as a min-heap on the total; the sample
 * lies behind them (Vitter, algorithm R). A span that falls out of the heap is offered to the sample then,
 * so every span is offered at most once and the sample stays uniform.
 */
export class PageSpans {
  readonly plan: SpanPlan;
  spans = 0;
  private readonly limit: number;
  private readonly slowest: number;
  private columns: SpanBatch;
  /** Counts of all spans, once there are too many to take in whole. */
  private counted: PageCells | undefined;
  private offered = 0;
  private sampling = false;
  private seed = 0x2545f491;

  constructor(
    plan: SpanPlan,
    limit = PAGE_ROWS[plan.family],
    slowest: number = Math.min(PAGE_SLOWEST, limit >> 1),
  ) {
    this.plan = plan;
    this.limit = limit;
    this.slowest = slowest;
    this.columns = batchOf(plan, Math.min(limit, 8192));
  }

  add(batch: SpanBatch): void {
    if (this.counted === undefined && this.columns.length + batch.length > this.limit) {
      this.counted = new PageCells();
      this.counted.add(this.columns);
    }
    this.counted?.add(batch);
    for (let i = 0; i < batch.length; i++) {
      this.spans++;
      const free = this.columns.length;
      if (free < this.limit) {
        if (this.columns.full) this.grow();
        copyRow(batch, i, this.columns, free);
        this.columns.length = free + 1;
      } else {
        if (!this.sampling) this.startSampling();
        this.offer(batch, i);
      }
    }
  }

  get table(): PageTable {
    const rows = this.columns.length;
    const sample = rows - this.slowest;
    return {
      family: this.plan.family,
      plan: this.plan,
      spans: this.spans,
      rows,
      slowest: this.sampling ? this.slowest : rows,
      weight: this.sampling && sample > 0 ? this.offered / sample : 1,
      ...(this.cells === undefined ? {} : { sliceNs: this.cells.sliceNs }),
    };
  }

  /** Only of a sample. */
  get cells(): PageCells | undefined {
    return this.counted?.overflown === false ? this.counted : undefined;
  }

  /** The kept rows ordered by start, and how many spans each stands for (null = 1 each). */
  take(): { columns: SpanBatch; weight: Float32Array | null } {
    const { columns } = this;
    const rows = columns.length;
    const order = Uint32Array.from({ length: rows }, (_, i) => i);
    const { start } = columns;
    // A span without its first boundary has no start: these go last, where no time range finds them.
    order.sort((a, b) => orderKey(start[a]!) - orderKey(start[b]!) || a - b);
    const sorted = batchOf(this.plan, rows);
    sorted.length = rows;
    for (let k = 0; k < rows; k++) copyRow(columns, order[k]!, sorted, k);
    if (!this.sampling) return { columns: sorted, weight: null };
    const each = this.table.weight;
    return { columns: sorted, weight: Float32Array.from(order, (slot) => (slot < this.slowest ? 1 : each)) };
  }

  private grow(): void {
    const larger = batchOf(this.plan, Math.min(this.limit, this.columns.capacity * 2));
    for (const [from, to] of pairs(this.columns, larger)) to.set(from);
    larger.length = this.columns.length;
    this.columns = larger;
  }

  private startSampling(): void {
    this.sampling = true;
    for (let i = this.slowest >> 1; i >= 0; i--) this.siftDown(i);
    // The rows behind the heap came first, not slowest: exchange until the heap holds the slowest.
    for (let i = this.slowest; i < this.limit; i++) {
      if (this.slower(i, 0)) {
        this.swap(i, 0);
        this.siftDown(0);
      }
    }
    this.offered = this.limit - this.slowest;
  }

  private offer(batch: SpanBatch, row: number): void {
    this.offered++;
    const sample = this.limit - this.slowest;
    const pick = Math.floor(this.random() * this.offered);
    const slot = pick < sample ? this.slowest + pick : -1;
    if (this.slowest > 0 && slowness(batch.total[row]!) > slowness(this.columns.total[0]!)) {
      if (slot >= 0) copyRow(this.columns, 0, this.columns, slot);
      copyRow(batch, row, this.columns, 0);
      this.siftDown(0);
    } else if (slot >= 0) copyRow(batch, row, this.columns, slot);
  }

  private slower(a: number, b: number): boolean {
    return slowness(this.columns.total[a]!) > slowness(this.columns.total[b]!);
  }

  private siftDown(from: number): void {
    for (let i = from; ;) {
      let least = i;
      for (let child = 2 * i + 1; child <= 2 * i + 2; child++) {
        if (child < this.slowest && this.slower(least, child)) least = child;
      }
      if (least === i) return;
      this.swap(i, least);
      i = least;
    }
  }

  private swap(a: number, b: number): void {
    for (const [column] of pairs(this.columns, this.columns)) {
      const held = column[a]!;
      column[a] = column[b]!;
      column[b] = held;
    }
  }

  /** xorshift32: the same trace gives the same page. */
  private random(): number {
    this.seed ^= this.seed << 13;
    this.seed ^= this.seed >>> 17;
    this.seed ^= this.seed << 5;
    return (this.seed >>> 0) / 4_294_967_296;
  }
}

/** A span without a total is no outlier. */
const slowness = (total: number): number => (Number.isNaN(total) ? -1 : total);
const orderKey = (start: number): number => (Number.isNaN(start) ? Number.MAX_VALUE : start);

export function batchOf(plan: SpanPlan, capacity: number): SpanBatch {
  return new SpanBatch(plan.boundaries.length, capacity, plan.preempted.length);
}

type Column = Float64Array | Uint32Array | Uint16Array | Uint8Array;

function columnsOf(batch: SpanBatch): Column[] {
  const { start, total, device, key, vcpu, dir, type, flags, amount, value, group, at, preempted } = batch;
  return [start, total, device, key, vcpu, dir, type, flags, amount, value, group, ...at, ...preempted];
}

const cached = new WeakMap<SpanBatch, Column[]>();

function columnList(batch: SpanBatch): Column[] {
  let list = cached.get(batch);
  if (list === undefined) cached.set(batch, (list = columnsOf(batch)));
  return list;
}

function* pairs(a: SpanBatch, b: SpanBatch): Generator<[Column, Column]> {
  const left = columnList(a);
  const right = columnList(b);
  for (let c = 0; c < left.length; c++) yield [left[c]!, right[c]!];
}

export function copyRow(from: SpanBatch, i: number, to: SpanBatch, k: number): void {
  const source = columnList(from);
  const target = columnList(to);
  for (let c = 0; c < source.length; c++) target[c]![k] = source[c]![i]!;
}
