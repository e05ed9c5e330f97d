import type { Dom0Latencies } from './dom0-latencies.ts';
import type { LatencySink } from './latency.ts';
import { CLOCK, MEASURE, MEASURES } from './latency.ts';
import type { SeriesSummary } from './series.ts';
import { LatencySeries } from './series.ts';
import type { VcpuWaits } from './vcpu-waits.ts';

/** A latency's distribution so far and that of the window that `snapshot` just closed. */
export interface LiveDistribution {
  readonly total: SeriesSummary;
  readonly window: SeriesSummary;
}

export interface LiveSnapshot {
  /** Events of Dom0's hooks and answers to ioreqs since the start, in what was decoded. */
  readonly events: number;
  readonly ioreqs: number;
  /** Of the last window, per second of Dom0's time that was decoded; NaN if none was. */
  readonly eventsPerSecond: number;
  readonly ioreqsPerSecond: number;
  /** Xen's records, per second of Xen's time; NaN without them. */
  readonly xenEvents: number;
  readonly xenEventsPerSecond: number;
  /** Events that the kernel says it lost, as far as it counts them, and places at which either side lost some. */
  readonly lost: number;
  readonly losses: number;
  /** By MEASURE. */
  readonly measures: readonly LiveDistribution[];
  /** MEASURE.DOM0 by local event-channel port and MEASURE.WAIT by vCPU, ascending. */
  readonly byPort: readonly (LiveDistribution & { readonly port: number; readonly vcpu: number })[];
  readonly byVcpu: readonly (LiveDistribution & { readonly vcpu: number })[];
  /** What MEASURE.REQUEST is taken between. */
  readonly requests: 'pop→fill' | 'QueueNotify answered→interrupt raised';
}

interface Keyed {
  readonly key: number;
  readonly series: LatencySeries;
  vcpu: number;
}

/** Ports and vCPUs that are shown apart. */
const MAX_KEYS = 256;

/** The live line's numbers. Give it to Dom0Latencies (and VcpuWaits) as a sink, and `attach` those. */
export class LiveStats implements LatencySink {
  private readonly series = Array.from({ length: MEASURES }, () => new LatencySeries());
  private readonly byPort: (Keyed | undefined)[] = [];
  private readonly byVcpu: (Keyed | undefined)[] = [];
  private readonly ports: Keyed[] = [];
  private readonly vcpus: Keyed[] = [];
  private dom0: Dom0Latencies | undefined;
  private waits: VcpuWaits | undefined;
  /** Ticks of the system counter, per second. */
  private counterHz = NaN;
  /** How far each clock has come, and where it and the counts were when the window began. */
  private readonly now = new Float64Array(2).fill(NaN);
  private readonly began = new Float64Array(2).fill(NaN);
  private eventsBefore = 0;
  private ioreqsBefore = 0;
  private skippedBefore = 0;
  private xenBefore = 0;

  attach(dom0: Dom0Latencies, waits?: VcpuWaits, counterHz = NaN): void {
    this.dom0 = dom0;
    this.waits = waits;
    this.counterHz = counterHz;
  }

  latency(
    measure: number,
    _start: number,
    _end: number,
    ns: number,
    _device: number,
    vcpu: number,
    key: number,
  ): void {
    this.series[measure]!.add(ns);
    if (measure === MEASURE.DOM0) {
      const of = this.byPort[key] ?? keyed(this.byPort, this.ports, key);
      if (of === undefined) return;
      of.series.add(ns);
      of.vcpu = vcpu;
    } else if (measure === MEASURE.WAIT) {
      (this.byVcpu[key] ?? keyed(this.byVcpu, this.vcpus, key))?.series.add(ns);
    }
  }

  until(clock: number, ts: number): void {
    // At the end of the recording the mark is no time.
    if (Number.isFinite(ts)) this.advance(clock, ts);
  }

  /** The numbers up to now; the next window begins. */
  snapshot(): LiveSnapshot {
    this.advance(CLOCK.DOM0, this.dom0?.lastTs);
    this.advance(CLOCK.XEN, this.waits?.lastTs);
    const measures = this.series.map(distribution);
    const counts = this.dom0?.counts;
    const waits = this.waits?.counts;
    const [events, ioreqs, xenEvents] = [counts?.events ?? 0, counts?.ioreqs ?? 0, waits?.events ?? 0];
    const skipped = counts?.skippedNs ?? 0;
    const seconds = (this.elapsed(CLOCK.DOM0) - (skipped - this.skippedBefore)) / 1e9;
    const rate = (count: number, of: number): number => (of > 0 ? count / of : NaN);
    const snapshot: LiveSnapshot = {
      events,
      ioreqs,
      eventsPerSecond: rate(events - this.eventsBefore, seconds),
      ioreqsPerSecond: rate(ioreqs - this.ioreqsBefore, seconds),
      xenEvents,
      xenEventsPerSecond: rate(xenEvents - this.xenBefore, this.elapsed(CLOCK.XEN) / this.counterHz),
      lost: counts?.lost ?? 0,
      losses: (counts?.losses ?? 0) + (waits?.losses ?? 0),
      measures,
      byPort: ascending(this.ports).map((k) => ({ port: k.key, vcpu: k.vcpu, ...distribution(k.series) })),
      byVcpu: ascending(this.vcpus).map((k) => ({ vcpu: k.key, ...distribution(k.series) })),
      requests: this.dom0?.requestsFromTrace === true ? 'pop→fill' : 'QueueNotify answered→interrupt raised',
    };
    this.began.set(this.now);
    this.eventsBefore = events;
    this.ioreqsBefore = ioreqs;
    this.skippedBefore = skipped;
    this.xenBefore = xenEvents;
    return snapshot;
  }

  private advance(clock: number, ts = NaN): void {
    if (Number.isNaN(ts)) return;
    if (Number.isNaN(this.began[clock]!)) this.began[clock] = this.now[clock] = 0;
    this.now[clock] = Math.max(this.now[clock]!, ts);
  }

  private elapsed(clock: number): number {
    return this.now[clock]! - this.began[clock]!;
  }
}

function keyed(by: (Keyed | undefined)[], list: Keyed[], key: number): Keyed | undefined {
  if (list.length === MAX_KEYS) return undefined;
  const made = { key, series: new LatencySeries(), vcpu: 0xffff };
  by[key] = made;
  list.push(made);
  return made;
}

function ascending(list: readonly Keyed[]): Keyed[] {
  return [...list].sort((a, b) => a.key - b.key);
}

function distribution(series: LatencySeries): LiveDistribution {
  const window = series.closeWindow();
  return { window, total: series.total() };
}
