import { EventBatch } from '../../../trace/columns.ts';

/** Rows held back: far more than a device model's threads can have in flight at once. */
const WINDOW_ROWS = 8192;

/**
 * Restores time order within a bounded window. A device model's threads read the clock before they append
 * to the trace, so neighbours may be swapped; a record is never thousands of records late.
 *
 * Producers push into `staging`; when it is full, or at the end, `settle` sorts what is held (stable; rows
 * without time stay behind the row before them) and releases the older half (at the end: all). A row that
 * is older than rows released before it, which only a clock set back can make, comes where it is.
 */
export class ReorderWindow {
  staging: EventBatch;
  private spare: EventBatch;
  private readonly keys: Float64Array;
  /** Rows [cursor, ready) of `staging` are in order and may go. */
  private cursor = 0;
  private ready = 0;

  constructor(rows: number = WINDOW_ROWS) {
    this.staging = new EventBatch(rows);
    this.spare = new EventBatch(rows);
    this.keys = new Float64Array(rows);
  }

  /** Whether released rows are waiting for `moveTo`; only if not may rows be pushed. */
  get waiting(): boolean {
    return this.cursor < this.ready;
  }

  settle(all: boolean): void {
    const n = this.staging.length;
    if (this.disordered(n)) this.sort(n);
    this.ready = all ? n : (n + 1) >>> 1;
  }

  /** Moves released rows until they are all gone or `out` is full. */
  moveTo(out: EventBatch): void {
    const count = Math.min(this.ready - this.cursor, out.capacity - out.length);
    copyRows(this.staging, this.cursor, this.cursor + count, out);
    this.cursor += count;
    if (this.cursor < this.ready) return;
    const left = this.staging.length - this.ready;
    if (left > 0 && this.ready > 0) {
      this.spare.clear();
      copyRows(this.staging, this.ready, this.staging.length, this.spare);
      [this.staging, this.spare] = [this.spare, this.staging];
    } else if (left === 0) {
      this.staging.clear();
    }
    this.cursor = 0;
    this.ready = 0;
  }

  private disordered(n: number): boolean {
    const { ts } = this.staging;
    let key = -Infinity;
    let found = false;
    for (let i = 0; i < n; i++) {
      const t = ts[i]!;
      if (!Number.isNaN(t)) {
        if (t < key) found = true;
        key = t;
      }
      this.keys[i] = key;
    }
    return found;
  }

  private sort(n: number): void {
    const { keys } = this;
    const order = new Uint32Array(n);
    for (let i = 0; i < n; i++) order[i] = i;
    order.sort((a, b) => (keys[a]! < keys[b]! ? -1 : keys[a]! > keys[b]! ? 1 : a - b));
    this.spare.clear();
    for (let i = 0; i < n;) {
      let end = i + 1;
      while (end < n && order[end]! === order[end - 1]! + 1) end++;
      copyRows(this.staging, order[i]!, order[i]! + end - i, this.spare);
      i = end;
    }
    [this.staging, this.spare] = [this.spare, this.staging];
  }
}

function copyRows(from: EventBatch, start: number, end: number, to: EventBatch): void {
  const at = to.length;
  to.ts.set(from.ts.subarray(start, end), at);
  to.kind.set(from.kind.subarray(start, end), at);
  to.cpu.set(from.cpu.subarray(start, end), at);
  to.domid.set(from.domid.subarray(start, end), at);
  to.vcpu.set(from.vcpu.subarray(start, end), at);
  to.pid.set(from.pid.subarray(start, end), at);
  to.addr.set(from.addr.subarray(2 * start, 2 * end), 2 * at);
  to.data.set(from.data.subarray(2 * start, 2 * end), 2 * at);
  to.arg0.set(from.arg0.subarray(start, end), at);
  to.arg1.set(from.arg1.subarray(start, end), at);
  to.arg2.set(from.arg2.subarray(start, end), at);
  to.arg3.set(from.arg3.subarray(start, end), at);
  to.length = at + end - start;
}
