import { EventBatch } from '../../../trace/columns.ts';

/** Rows of one record that found no room in the batch it came in, kept for the next one. */
export class SpillRows {
  private batch = new EventBatch(0);
  private next = 0;

  /** An empty batch with room for `rows`, from which `drain` takes. */
  take(rows: number): EventBatch {
    if (this.batch.capacity < rows) this.batch = new EventBatch(rows);
    this.batch.clear();
    this.next = 0;
    return this.batch;
  }

  /** Moves what fits into `out`; true if rows are left over. */
  drain(out: EventBatch): boolean {
    while (this.next < this.batch.length && !out.full) copyRow(this.batch, this.next++, out);
    return this.next < this.batch.length;
  }
}

function copyRow(from: EventBatch, i: number, to: EventBatch): void {
  const row = to.push(from.ts[i]!, from.kind[i]!, from.cpu[i]!, from.domid[i]!, from.vcpu[i]!, from.pid[i]!);
  to.addr.set(from.addr.subarray(2 * i, 2 * i + 2), 2 * row);
  to.data.set(from.data.subarray(2 * i, 2 * i + 2), 2 * row);
  to.arg0[row] = from.arg0[i]!;
  to.arg1[row] = from.arg1[i]!;
  to.arg2[row] = from.arg2[i]!;
  to.arg3[row] = from.arg3[i]!;
}
