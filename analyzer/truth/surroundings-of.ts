import { K } from '../../trace/events.ts';
import { WaitSurroundings } from '../passes/wait-surroundings.ts';
import { timedStreams } from '../view.ts';
import type { TraceView } from '../view.ts';

/** By the tick at which a wait ended: the most that its trap can have taken, in ticks; NaN where that is not known. */
export class Surroundings {
  private readonly ends: Float64Array[];
  private readonly most: Float64Array[];

  constructor(view: TraceView, domid: number, vcpus: number) {
    const ends: number[][] = Array.from({ length: vcpus }, () => []);
    const most: number[][] = Array.from({ length: vcpus }, () => []);
    const { xen } = timedStreams(view);
    const pass = new WaitSurroundings(vcpus, (vcpu, notBefore, _offline, running, notAfter) => {
      ends[vcpu]!.push(running);
      most[vcpu]!.push(notAfter - notBefore);
    });
    for (const { kind, domid: dom, vcpu, arg0, arg1, ts, length } of xen?.batches() ?? []) {
      for (let i = 0; i < length; i++) {
        if (kind[i] === K.XEN_RUNSTATE && dom[i] === domid)
          pass.runstate(vcpu[i]!, arg0[i]!, arg1[i]!, ts[i]!);
      }
    }
    pass.finish();
    this.ends = ends.map((list) => Float64Array.from(list));
    this.most = most.map((list) => Float64Array.from(list));
  }

  atMost(vcpu: number, runningTick: number): number {
    const ends = this.ends[vcpu];
    if (ends === undefined) return NaN;
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ends[middle]! < runningTick - 0.5) low = middle + 1;
      else high = middle;
    }
    return low < ends.length && ends[low]! < runningTick + 0.5 ? this.most[vcpu]![low]! : NaN;
  }
}
