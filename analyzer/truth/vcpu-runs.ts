import type { AxisLine } from '../../trace/axis.ts';
import type { EventColumns } from '../../trace/columns.ts';
import { K, RUNSTATE } from '../../trace/events.ts';

/** Instants in ascending order, growing. */
class Instants {
  private at = new Float64Array(1024);
  private count = 0;

  add(t: number): void {
    if (this.count === this.at.length) {
      const larger = new Float64Array(2 * this.count);
      larger.set(this.at);
      this.at = larger;
    }
    this.at[this.count++] = t;
  }

  /** Whether one lies in [from, to]. */
  within(from: number, to: number): boolean {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.at[middle]! < from) low = middle + 1;
      else high = middle;
    }
    return low < this.count && this.at[low]! <= to;
  }
}

/** When each vCPU of a domain was preempted (running → runnable). Times as the line gives them. */
export class Preemptions {
  private readonly domid: number;
  private readonly of: Instants[];

  constructor(domid: number, vcpus: number) {
    this.domid = domid;
    this.of = Array.from({ length: vcpus }, () => new Instants());
  }

  rows({ kind, domid, vcpu, arg0, arg1, ts, length }: EventColumns, { scale, shift }: AxisLine): void {
    for (let i = 0; i < length; i++) {
      if (kind[i] !== K.XEN_RUNSTATE || domid[i] !== this.domid) continue;
      if (arg0[i] !== RUNSTATE.RUNNING || arg1[i] !== RUNSTATE.RUNNABLE) continue;
      this.of[vcpu[i]!]?.add(ts[i]! * scale + shift);
    }
  }

  within(vcpu: number, from: number, to: number): boolean {
    return this.of[vcpu]?.within(from, to) ?? false;
  }
}
