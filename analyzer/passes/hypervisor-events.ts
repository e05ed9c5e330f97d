import type { AxisLine } from '../../trace/axis.ts';
import type { EventColumns } from '../../trace/columns.ts';
import { K } from '../../trace/events.ts';
import type { Injections } from './injections.ts';
import type { VcpuStates } from './vcpu-states.ts';
import type { WaitSurroundings } from './wait-surroundings.ts';
import type { XenWaits } from './xen-waits.ts';

// Module constants: a loop over events must not look a property up for every row.
const { XEN_RUNSTATE, XEN_WAKE, ARM_S2_ABORT, ARM_VIRQ_INJECT, ARM_VIRQ_RETIRED } = K;

/** 1 for the kinds that a pass looks at. Hypervisor kinds are below 100; the mask keeps the index inside. */
const KIND_MASK = 511;
const WANTED = new Uint8Array(KIND_MASK + 1);
WANTED[XEN_RUNSTATE] = WANTED[XEN_WAKE] = 1;
WANTED.fill(1, ARM_S2_ABORT, ARM_VIRQ_RETIRED + 1);
const SELECT_ROWS = 1024;

/**
 * The hypervisor's rows of one domain, dealt to the passes in one loop because each needs what the one before just
 * learned: the vCPUs' states first, then ioreqs and injections.
 */
export class HypervisorEvents {
  private readonly domid: number;
  private readonly vcpus: number;
  private readonly waits: XenWaits;
  private readonly states: VcpuStates | undefined;
  private readonly injections: Injections | undefined;
  private readonly surroundings: WaitSurroundings | undefined;
  /** Scratch of `select`. */
  private readonly ours = new Int32Array(SELECT_ROWS);

  /** `states` and `injections`: only with trace points. `surroundings`: only without. */
  constructor(
    domid: number,
    vcpus: number,
    waits: XenWaits,
    states: VcpuStates | undefined,
    injections: Injections | undefined,
    surroundings?: WaitSurroundings,
  ) {
    this.domid = domid;
    this.vcpus = vcpus;
    this.waits = waits;
    this.states = states;
    this.injections = injections;
    this.surroundings = surroundings;
  }

  rows(batch: EventColumns, line: AxisLine, from: number, to: number): void {
    const { scale, shift } = line;
    const { kind, domid, vcpu, ts, arg0, arg1 } = batch;
    const { ours: rows, waits, states, injections, surroundings } = this;
    let begin = from;
    while (begin < to) {
      const end = Math.min(to, begin + rows.length);
      const n = this.select(kind, domid, begin, end);
      begin = end;
      for (let r = 0; r < n; r++) {
        const i = rows[r]!;
        const v = vcpu[i]!;
        const t = ts[i]! * scale + shift;
        const k = kind[i]!;
        if (v >= this.vcpus) {
          // A level-0 call names no vCPU.
          if (k >= ARM_VIRQ_INJECT) injections?.record(k, arg0[i]!, arg1[i]!, v, t);
        } else if (k === XEN_RUNSTATE) {
          if (states !== undefined) {
            states.runstate(v, arg0[i]!, arg1[i]!, t);
            injections?.runstate(v, arg0[i]!, arg1[i]!, t);
          } else surroundings?.runstate(v, arg0[i]!, arg1[i]!, t);
          waits.runstate(v, arg0[i]!, arg1[i]!, t);
        } else if (k === XEN_WAKE) waits.wake(v, t);
        else if (k >= ARM_VIRQ_INJECT) injections?.record(k, arg0[i]!, arg1[i]!, v, t);
        else {
          if (k === ARM_S2_ABORT) injections?.abort(v, t);
          waits.tracePoint(batch, i, k, v, t);
        }
      }
    }
  }

  /**
   * Indices of the rows that concern the domain, into `ours`. Kinds and domains come in an order that no branch
   * predictor knows, so this loop has no branch: every index is written, and the next one over it if it is not
   * wanted.
   */
  private select(kind: Uint16Array, domid: Uint16Array, begin: number, end: number): number {
    const { ours, domid: domain } = this;
    let n = 0;
    for (let i = begin; i < end; i++) {
      ours[n] = i;
      n += WANTED[kind[i]! & KIND_MASK]! & +(domid[i] === domain);
    }
    return n;
  }
}
