import type { DeviceFacts, Manifest } from '../../trace/manifest.ts';
import type { SpanBatch, SpanFamily, SpanPlan } from '../../trace/spans.ts';
import { NO_DEVICE } from '../../trace/spans.ts';
import type { PassOptions, PassResults, SpanPlans } from '../analyze.ts';
import { runPasses } from '../analyze.ts';
import type { SpanConsumer } from '../passes/span-sink.ts';
import type { FamilyFigures } from '../stats/family-stats.ts';
import { FamilyStats } from '../stats/family-stats.ts';
import { GroupedStats, MAX_GROUPS } from '../stats/grouped-stats.ts';
import type { GroupKey } from '../stats/group-key.ts';
import { compositeKey, compositeLabel } from '../stats/group-key.ts';
import { PERCENTILE_ERROR } from '../stats/histogram.ts';
import { Slowest } from '../stats/slowest.ts';
import type { TraceView } from '../view.ts';
import { durationNs } from '../view.ts';
import { countsReport } from './counts.ts';
import { endToEndReport } from './end-to-end.ts';
import type { ClockReport, DepthReport, GroupReport, Report, SlowSpan, TargetReport } from './document.ts';
import { estimateReports } from './estimates.ts';
import { distribution, familyReport, leftOut, stageReports } from './families.ts';
import { lineReports } from './lines.ts';
import type { SlowList } from './slow-spans.ts';
import { attachEvents, describeSlow } from './slow-spans.ts';

export interface AnalyzeOptions {
  path: string;
  /** Keys to group by, as one combination; none = no groups. */
  by?: readonly GroupKey[];
  /** How many of the slowest spans of each family to list. */
  slowest?: number;
  /** Takes every batch of spans as it is finished, e.g. to put them into a page. */
  onSpans?: SpanConsumer;
  warnings?: readonly string[];
  dom0Thread?: PassOptions['dom0Thread'];
}

/** What was counted of the spans of a trace: here, span by span, or by the database that holds them. */
export interface Collected {
  readonly stats: ReadonlyMap<SpanFamily, FamilyFigures>;
  readonly slowest: ReadonlyMap<SpanFamily, SlowList>;
  /** By compositeKey. */
  readonly groups: ReadonlyMap<SpanFamily, ReadonlyMap<number, FamilyFigures>>;
  /** Spans by device. */
  readonly perDevice: ReadonlyMap<SpanFamily, Float64Array>;
  /** By what the target vCPU did (`type`), of the families that tell. */
  readonly targets: ReadonlyMap<SpanFamily, ReadonlyMap<number, FamilyFigures>>;
  /** There are more groups than MAX_GROUPS. */
  readonly groupsCut: boolean;
}

class Collector implements Collected {
  readonly stats = new Map<SpanFamily, FamilyStats>();
  readonly slowest = new Map<SpanFamily, Slowest>();
  readonly perDevice = new Map<SpanFamily, Float64Array>();
  private readonly grouped = new Map<SpanFamily, GroupedStats>();
  private readonly byTarget = new Map<SpanFamily, GroupedStats>();
  private readonly by: readonly GroupKey[];

  constructor(plans: SpanPlans, by: readonly GroupKey[], slowest: number, devices: number) {
    this.by = by;
    for (const plan of Object.values(plans) as (SpanPlan | undefined)[]) {
      if (plan === undefined) continue;
      this.stats.set(plan.family, new FamilyStats(plan));
      this.slowest.set(plan.family, new Slowest(plan, slowest));
      this.grouped.set(plan.family, new GroupedStats(plan));
      this.perDevice.set(plan.family, new Float64Array(devices));
      if (plan.boundaries.some((b) => b.name === 'runs'))
        this.byTarget.set(plan.family, new GroupedStats(plan));
    }
  }

  get groups(): Map<SpanFamily, ReadonlyMap<number, FamilyStats>> {
    return new Map([...this.grouped].map(([family, { groups }]) => [family, groups]));
  }

  get targets(): Map<SpanFamily, ReadonlyMap<number, FamilyStats>> {
    return new Map([...this.byTarget].map(([family, { groups }]) => [family, groups]));
  }

  get groupsCut(): boolean {
    return [...this.grouped.values()].some(({ cut }) => cut);
  }

  readonly consume = ({ family }: SpanPlan, batch: SpanBatch): void => {
    const slowest = this.slowest.get(family)!;
    const perDevice = this.perDevice.get(family)!;
    this.stats.get(family)!.addAll(batch);
    for (let i = 0; i < batch.length; i++) {
      slowest.add(batch, i);
      if (batch.device[i] !== NO_DEVICE) perDevice[batch.device[i]!]!++;
    }
    this.byTarget.get(family)?.addAll(batch, targetOf);
    if (this.by.length === 0) return;
    this.grouped.get(family)!.addAll(batch, (_batch, i) => compositeKey(family, this.by, batch, i));
  };
}

function targetOf({ type }: SpanBatch, i: number): number {
  return type[i]!;
}

/** Analyzes a trace into one document. Reads the events twice, streaming; a third time for the slowest spans. */
export function analyzeTrace(view: TraceView, options: AnalyzeOptions): Report {
  const { manifest } = view;
  const by = options.by ?? [];
  let collector: Collector | undefined;
  let plans: SpanPlans | undefined;
  const begin = (p: SpanPlans): SpanConsumer[] => {
    plans = p;
    collector = new Collector(p, by, options.slowest ?? 10, manifest.devices.length);
    return options.onSpans === undefined ? [collector.consume] : [collector.consume, options.onSpans];
  };
  const results = runPasses(view, begin, options);
  return reportDocument(view, options, results, plans!, collector!);
}

/** The document of what the passes and `collected` say. `view` gives the events around the slowest spans. */
export function reportDocument(
  view: TraceView,
  options: AnalyzeOptions,
  results: PassResults,
  plans: SpanPlans,
  collector: Collected,
): Report {
  const { manifest } = view;
  const { devices } = manifest;
  const stats = (family: SpanFamily): FamilyFigures | undefined => collector.stats.get(family);
  const warnings = [...(options.warnings ?? manifest.warnings)];
  const counts = countsReport(manifest, results, warnings);
  if (collector.groupsCut) warnings.push(`more than ${MAX_GROUPS} groups: the rest is in no group`);
  const [mmio, interrupts, requests] = (['mmio', 'interrupt', 'request'] as const).map((family) =>
    describeSlow(collector.slowest.get(family), devices),
  ) as [SlowSpan[], SlowSpan[], SlowSpan[]];
  attachEvents(view, results, [...mmio, ...interrupts, ...requests]);
  const interruptSpans = stats('interrupt');
  return {
    format: 'ioreq-trace-report',
    version: 1,
    trace: {
      path: options.path,
      created: manifest.created,
      complete: manifest.complete,
      ended: manifest.ended,
      domid: results.scouted.domid ?? null,
      vcpus: results.scouted.vcpus,
      duration_ns: durationNs(view),
      host: manifest.host,
    },
    clock: clockReport(manifest),
    counts,
    devices: devices.map((d, n) => ({
      ...d,
      ioreqs: collector.perDevice.get('mmio')?.[n] ?? 0,
      interrupts: collector.perDevice.get('interrupt')?.[n] ?? 0,
    })),
    mmio: familyReport(stats('mmio'), plans.mmio),
    interrupts: {
      ...familyReport(interruptSpans, plans.interrupt),
      raises: results.interrupts.raises,
      coalesced: Math.max(0, results.interrupts.raises - counts.interrupts),
      end_to_end: endToEndReport(interruptSpans, results.hooks, stats('request')),
      by_target: targetReports(collector, 'interrupt'),
      lines: lineReports(results, devices),
      injection:
        plans.injection === undefined
          ? null
          : {
              ...familyReport(stats('injection'), plans.injection),
              by_spi: results.injections,
              by_target: targetReports(collector, 'injection'),
            },
    },
    requests: {
      ...familyReport(stats('request'), plans.request),
      bytes: stats('request')?.amount ?? 0,
      depth: depthReports(results, devices),
    },
    estimates: estimateReports(manifest, results, plans),
    groups: groupReports(collector, options.by ?? [], devices),
    slowest: { mmio, interrupts, requests },
    percentile_error: PERCENTILE_ERROR,
    warnings,
  };
}

function clockReport(manifest: Manifest): ClockReport {
  const { clock, logClock } = manifest;
  return {
    offset_ns: clock?.offsetNs ?? null,
    error_ns: clock?.errorNs ?? null,
    max_error_ns: clock?.maxErrorNs ?? null,
    rate_ppm: clock === undefined ? null : clock.rate * 1e6,
    methods: clock?.methods ?? [],
    warning: clock?.warning ?? null,
    log_offset_ns: logClock === undefined ? null : Number(logClock.offsetNs),
    log_error_ns: logClock?.errorNs ?? null,
    log_max_error_ns: logClock?.maxErrorNs ?? null,
    log_steady_error_ns: logClock?.steadyErrorNs ?? null,
    log_warning: logClock?.warning ?? null,
  };
}

/** RUNSTATE numbers by name, busy ones first. */
const TARGETS = ['running', 'runnable', 'blocked', 'offline'] as const;

function targetReports(collector: Collected, family: SpanFamily): TargetReport[] {
  const targets = [...(collector.targets.get(family) ?? [])].sort((a, b) => a[0] - b[0]);
  return targets.map(([target, stats]) => {
    const left = leftOut(stats);
    return {
      target: TARGETS[target] ?? 'unknown',
      count: stats.total.count + left.reduce((sum, l) => sum + l.count, 0),
      total: distribution(stats.total),
      stages: stageReports(stats),
      left_out: left,
    };
  });
}

function depthReports(results: PassResults, devices: readonly DeviceFacts[]): DepthReport[] {
  return results.depths.map((d) => ({
    device: devices[d.device]?.name ?? 'unknown',
    queue: d.queue,
    max: d.max,
    mean: d.since > d.first ? d.area / (d.since - d.first) : null,
  }));
}

const FAMILY_KEYS = { mmio: 'mmio', interrupt: 'interrupts', request: 'requests' } as const;

function groupReports(
  collector: Collected,
  by: readonly GroupKey[],
  devices: readonly DeviceFacts[],
): GroupReport[] {
  const reports: GroupReport[] = [];
  for (const family of ['mmio', 'interrupt', 'request'] as const) {
    const groups = [...(collector.groups.get(family) ?? [])].sort(
      (a, b) => b[1].total.sum - a[1].total.sum || a[0] - b[0],
    );
    for (const [key, stats] of groups) {
      reports.push({
        by: compositeLabel(family, by, key, devices),
        family: FAMILY_KEYS[family],
        total: distribution(stats.total),
        stages: stageReports(stats),
        left_out: leftOut(stats),
      });
    }
  }
  return reports;
}
