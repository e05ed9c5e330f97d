import { NO_DEVICE } from '../../../trace/spans.ts';
import type { LatencySink, LiveDevice, OpenVisitor } from './latency.ts';
import { MEASURE, MEASURES } from './latency.ts';
import type { Trigger, TriggerSubject } from './trigger.ts';
import { checkTriggers } from './trigger.ts';

/** The first latency that crossed a trigger. */
export interface TriggerHit {
  readonly trigger: Trigger;
  /** What was measured (latency.ts). */
  readonly measure: number;
  readonly clock: 'dom0' | 'xen';
  /** Its beginning and the row that showed it, in units of that clock since the feed's epoch. */
  readonly start: number;
  readonly at: number;
  /** How long it took, or has been open. */
  readonly ns: number;
  /** It has no end yet: it has been open for longer than the limit. */
  readonly open: boolean;
  /** Index into the target's devices, NO_DEVICE if unknown, and its name. */
  readonly device: number;
  readonly deviceName: string | undefined;
  /** NO_VCPU if unknown. */
  readonly vcpu: number;
}

const SUBJECT_OF: readonly TriggerSubject[] = ['mmio', 'mmio', 'irq', 'request'];

/**
 * Waits for a latency that crosses one of the triggers. What never ends shows no row: at each mark of time that the
 * feed gives, what is open for longer than a limit crosses it too.
 */
export class TriggerWatch implements LatencySink {
  /** The first crossing since the start or `rearm`. */
  hit: TriggerHit | undefined;
  /** Crossings by rows since the start, the first included; what is open is not counted until it ends. */
  crossings = 0;
  private readonly triggers: readonly Trigger[];
  private readonly devices: readonly LiveDevice[];
  /** By measure: no trigger of it can be crossed by less. */
  private readonly least = new Float64Array(MEASURES).fill(Infinity);

  /** Throws E_USAGE if a trigger names a device that is not there. */
  constructor(triggers: readonly Trigger[], devices: readonly LiveDevice[]) {
    checkTriggers(triggers, devices);
    this.triggers = triggers;
    this.devices = devices;
    for (const [measure, subject] of SUBJECT_OF.entries()) {
      for (const t of triggers) {
        if (t.subject === subject) this.least[measure] = Math.min(this.least[measure]!, t.ns);
      }
    }
  }

  /** Waits for the next crossing. */
  rearm(): void {
    this.hit = undefined;
  }

  latency(measure: number, start: number, end: number, ns: number, device: number, vcpu: number): void {
    if (ns < this.least[measure]!) return;
    const trigger = this.crossed(measure, ns, device);
    if (trigger === undefined) return;
    this.crossings++;
    this.hit ??= this.describe(trigger, measure, start, end, ns, device, vcpu, false);
  }

  until(_clock: number, ts: number, open: (visit: OpenVisitor) => void): void {
    // At the end of the recording what is open is cut off: nothing is known of how long it takes.
    if (this.hit !== undefined || !Number.isFinite(ts)) return;
    open((measure, start, ns, device, vcpu) => {
      if (ns < this.least[measure]!) return;
      const trigger = this.crossed(measure, ns, device);
      if (trigger === undefined || start >= (this.hit?.start ?? Infinity)) return;
      this.hit = this.describe(trigger, measure, start, ts, ns, device, vcpu, true);
    });
  }

  private crossed(measure: number, ns: number, device: number): Trigger | undefined {
    return this.triggers.find(
      (t) =>
        t.subject === SUBJECT_OF[measure] &&
        (t.orEqual ? ns >= t.ns : ns > t.ns) &&
        (t.device === undefined || this.devices[device]?.name === t.device),
    );
  }

  private describe(
    trigger: Trigger,
    measure: number,
    start: number,
    at: number,
    ns: number,
    device: number,
    vcpu: number,
    open: boolean,
  ): TriggerHit {
    const clock = measure === MEASURE.WAIT ? 'xen' : 'dom0';
    const deviceName = device === NO_DEVICE ? undefined : this.devices[device]?.name;
    return { trigger, measure, clock, start, at, ns, open, device, deviceName, vcpu };
  }
}
