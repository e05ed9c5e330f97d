import { RUNSTATE } from '../../trace/events.ts';
import { TARGET_UNKNOWN } from '../../trace/spans.ts';

const { RUNNING, RUNNABLE } = RUNSTATE;

/**
 * What the scheduler's records say of one domain's vCPUs: their state, and for how long each has been preempted so
 * far. A vCPU is preempted from running→runnable until it runs again, whatever comes between. The difference of two
 * readings of `preempted`, both taken while the vCPU ran, is the preemption between them.
 */
export class VcpuStates {
  /** RUNSTATE, TARGET_UNKNOWN before the first record. */
  readonly state: Uint8Array;
  /** ns since the trace began. */
  readonly preempted: Float64Array;
  private readonly since: Float64Array;

  constructor(vcpus: number) {
    this.state = new Uint8Array(vcpus).fill(TARGET_UNKNOWN);
    this.preempted = new Float64Array(vcpus);
    this.since = new Float64Array(vcpus).fill(NaN);
  }

  /** A runstate record of `vcpu` at `t`, axis ns. */
  runstate(vcpu: number, old: number, now: number, t: number): void {
    this.state[vcpu] = now;
    if (old === RUNNING) this.since[vcpu] = now === RUNNABLE ? t : NaN;
    if (now !== RUNNING) return;
    const began = this.since[vcpu]!;
    if (began <= t) this.preempted[vcpu]! += t - began;
    this.since[vcpu] = NaN;
  }
}
