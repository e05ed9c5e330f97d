import type { Comparison } from './difference.ts';
import type { RuleReport } from './document.ts';
import type { Sides } from './family.ts';
import { RuleCheck } from './rule-check.ts';
import type { SpanLog } from './span-log.ts';
import type { Surroundings } from './surroundings-of.ts';

/** Holds every rule by which unpatched reports state their error against the spans of which both sides are known. */
export class RuleChecks {
  private readonly sides: Sides;
  /** What the clocks of both analyses leave open, ns. */
  private readonly clockError: number;
  private readonly surroundings: Surroundings;
  private readonly wait = new RuleCheck('wait');
  private readonly around = new RuleCheck('surroundings');
  private readonly dom0 = new RuleCheck('dom0');
  private readonly descheduled = new RuleCheck('descheduled');
  private readonly crossing = new RuleCheck('crossing');
  private readonly join = new RuleCheck('join');
  private readonly read = new RuleCheck('read');
  private readonly notify = new RuleCheck('notify');
  /** Begins (axis ns) of the estimated waits that were joined with another ioreq than their own. */
  private readonly misjoined = new Set<number>();

  constructor(sides: Sides, clockError: number, surroundings: Surroundings) {
    this.sides = sides;
    this.clockError = clockError;
    this.surroundings = surroundings;
  }

  /** Rows of a pair of MMIO accesses that both analyses time. */
  mmio(exact: SpanLog, e: number, estimate: SpanLog, u: number): void {
    const { sides, clockError } = this;
    const [a, b] = [at(exact, e), at(estimate, u)];
    const tickNs = sides.exact.tickNs;
    const ticks = (from: number, to: number): number => sides.exact.ticks(to) - sides.exact.ticks(from);
    const exactNs = ticks(a('trap'), a('resume')) * tickNs;
    const waited = (sides.estimate.ticks(b('running')) - sides.estimate.ticks(b('offline'))) * tickNs;
    this.wait.add(waited - exactNs);
    const vcpu = estimate.chunkOf(u).vcpu[estimate.at(u)]!;
    const most = this.surroundings.atMost(vcpu, sides.estimate.ticks(b('running')));
    this.around.add(exactNs - most * tickNs);
    this.dom0.add(a('answer') - a('dom0_irq') - exactNs);
    const own = Math.abs(sides.exact.dom0Time(a('answer')) - sides.estimate.dom0Time(b('answer'))) < 0.5;
    if (Number.isNaN(a('answer')) && Number.isNaN(b('answer'))) return;
    this.join.add(own ? 0 : Math.abs(b('answer') - a('answer')));
    if (!own) {
      this.misjoined.add(b('offline'));
      return;
    }
    this.descheduled.add(b('dom0_irq') - b('offline') - (a('dom0_irq') - a('send')) - clockError);
    this.crossing.add(Math.abs(b('wake') - b('answer') - (a('wake') - a('answer'))) - clockError);
  }

  /** `injection` takes what the estimate is read as: list register filled after the injection. */
  interrupt(exact: SpanLog, e: number, estimate: SpanLog, u: number, injection: Comparison): void {
    const [a, b] = [at(exact, e), at(estimate, u)];
    const estimated = b('status_read') - b('raise');
    this.read.add(a('lr') - a('raise') - estimated - this.clockError);
    injection.add(a('lr') - a('inject'), estimated);
  }

  request(exact: SpanLog, e: number, estimate: SpanLog, u: number): void {
    const [a, b] = [at(exact, e), at(estimate, u)];
    if (this.misjoined.has(b('notify'))) return;
    this.notify.add(b('used') - b('notify') - (a('used') - a('notify')) - this.clockError);
  }

  get report(): RuleReport[] {
    const { wait, around, dom0, descheduled, crossing, join, read, notify } = this;
    return [wait, around, dom0, descheduled, crossing, join, read, notify].flatMap((check) => check.report);
  }
}

function at(log: SpanLog, row: number): (name: string) => number {
  return (name) => log.time(row, log.index(name));
}
