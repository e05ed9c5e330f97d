import type { AxisLine } from '../../trace/axis.ts';
import { traceAxis } from '../../trace/axis.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import type { SpanPlans } from '../analyze.ts';
import { runPasses } from '../analyze.ts';
import type { PassResults } from '../analyze.ts';
import type { TraceView } from '../view.ts';
import { SpanLog } from './span-log.ts';

const NOWHERE: AxisLine = { scale: NaN, shift: NaN };

/** One of the two analyses that are compared: its spans, and the way back from the axis to each clock's own units. */
export class Side {
  readonly results: PassResults;
  readonly logs = new Map<SpanFamily, SpanLog>();
  private readonly xen: AxisLine;
  private readonly dom0: AxisLine;

  constructor(view: TraceView) {
    this.results = runPasses(view, (plans: SpanPlans) => {
      for (const plan of Object.values(plans) as (SpanPlans[keyof SpanPlans] | undefined)[]) {
        if (plan !== undefined) this.logs.set(plan.family, new SpanLog(plan));
      }
      return [
        (plan, batch) => {
          this.logs.get(plan.family)?.add(batch);
        },
      ];
    });
    const axis = traceAxis(view.manifest);
    const lineOf = (id: string | undefined): AxisLine =>
      (id === undefined ? undefined : axis.line(id)) ?? NOWHERE;
    this.xen = lineOf(this.results.xenSource?.id);
    this.dom0 = lineOf(this.results.dom0Source?.id);
  }

  /** Instant of Xen's clock in ticks since its epoch: the same number in both analyses, whatever the axis. */
  ticks(axisNs: number): number {
    return (axisNs - this.xen.shift) / this.xen.scale;
  }

  /** The same of Dom0's clock, in its own unit. */
  dom0Time(axisNs: number): number {
    return (axisNs - this.dom0.shift) / this.dom0.scale;
  }

  /** Axis ns a tick. */
  get tickNs(): number {
    return this.xen.scale;
  }

  log(family: SpanFamily): SpanLog | undefined {
    return this.logs.get(family);
  }
}
