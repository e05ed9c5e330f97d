import type { EventColumns } from '../../../trace/columns.ts';
import { EventBatch } from '../../../trace/columns.ts';

/** What is given rows as they come, in time order, of one source. */
export interface RowConsumer {
  /** Rows [from, to) of `batch`, valid during the call only; `ts` counts from the feed's epoch of that source. */
  rows(batch: EventColumns, from: number, to: number): void;
  /** Every row before `ts` has been given, as far as is known. */
  until(ts: number): void;
}

/** Rows of a batch: small enough that few of them held back do not cost megabytes. */
const HOLD_BATCH_ROWS = 16_384;
const SPARE_BATCHES = 16;

/** Rows in time order: each batch from a row of its own on. */
interface Run {
  readonly batches: EventBatch[];
  readonly from: number[];
}

/**
 * Rows held back until those that belong before them have come. Each run is in time order by itself; `release`
 * gives the rows of all runs up to a time in one order, as ranges of the batches that hold them: nothing is copied.
 */
export class RowHold {
  /** Rows held. */
  held = 0;
  /** Rows given that belong before one given earlier. */
  late = 0;
  /** Time up to which rows have been given. */
  private given = -Infinity;
  private runs: Run[] = [];
  private readonly spare: EventBatch[] = [];
  private readonly consumer: RowConsumer;

  constructor(consumer: RowConsumer) {
    this.consumer = consumer;
  }

  /** An empty batch for `add`. */
  batch(): EventBatch {
    return this.spare.pop() ?? new EventBatch(HOLD_BATCH_ROWS);
  }

  /** Begins a run: rows that are in time order among themselves, later than older runs' where times are equal. */
  begin(): void {
    this.runs.push({ batches: [], from: [] });
  }

  /** Adds rows [from, end) of a batch to the last run. */
  add(batch: EventBatch, from = 0): void {
    const run = this.runs.at(-1);
    if (run === undefined || from >= batch.length) {
      this.recycle(batch);
      return;
    }
    run.batches.push(batch);
    run.from.push(from);
    this.held += batch.length - from;
  }

  /** Gives every row up to and with `limit`. */
  release(limit: number): void {
    for (;;) {
      // Runs are few: what is left of the last rounds.
      let first: Run | undefined;
      let firstTs = Infinity;
      let next = Infinity;
      let nextIsNewer = false;
      for (const run of this.runs) {
        const head = run.batches[0];
        if (head === undefined) continue;
        const ts = head.ts[run.from[0]!]!;
        if (ts < firstTs || first === undefined) {
          next = firstTs;
          nextIsNewer = false;
          first = run;
          firstTs = ts;
        } else if (ts < next) {
          next = ts;
          nextIsNewer = true;
        }
      }
      if (first === undefined || firstTs > limit) break;
      this.give(first, limit, next, nextIsNewer);
    }
    this.runs = this.runs.filter((run, n) => run.batches.length > 0 || n === this.runs.length - 1);
    this.given = Math.max(this.given, limit);
  }

  private give(run: Run, limit: number, next: number, nextIsNewer: boolean): void {
    const batch = run.batches[0]!;
    const { ts, length } = batch;
    const from = run.from[0]!;
    let to = from;
    if (nextIsNewer) while (to < length && ts[to]! <= limit && ts[to]! <= next) to++;
    else while (to < length && ts[to]! <= limit && ts[to]! < next) to++;
    // The head itself belongs here, whatever its time is compared with (never NaN in a source with a clock).
    if (to === from) to++;
    for (let i = from; i < to && ts[i]! < this.given; i++) this.late++;
    this.consumer.rows(batch, from, to);
    this.held -= to - from;
    if (to < length) {
      run.from[0] = to;
      return;
    }
    run.batches.shift();
    run.from.shift();
    this.recycle(batch);
  }

  private recycle(batch: EventBatch): void {
    batch.clear();
    if (this.spare.length < SPARE_BATCHES) this.spare.push(batch);
  }
}
