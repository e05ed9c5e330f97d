import type { ClockRelation, DeviceFacts, HostFacts } from '../../trace/manifest.ts';
import type { BoundaryClock, SpanPlan } from '../../trace/spans.ts';
import type { InjectionCounts } from '../passes/injections.ts';

/**
 * What `trace analyze --json` prints: one document; docs/REPORT.md explains every path. All times are
 * nanoseconds; a number that cannot be given is null, never 0.
 */
export interface Report {
  format: 'ioreq-trace-report';
  version: 1;
  trace: {
    path: string;
    created: string;
    complete: boolean;
    ended: string;
    domid: number | null;
    vcpus: number;
    duration_ns: number;
    host: HostFacts;
  };
  clock: ClockReport;
  counts: Counts;
  devices: (DeviceFacts & { ioreqs: number; interrupts: number })[];
  mmio: FamilyReport;
  interrupts: FamilyReport & {
    raises: number;
    coalesced: number;
    /** Every stage from the device model's raise to the guest's acknowledge, the ones not seen too. */
    end_to_end: EndToEndReport;
    /** Empty without trace points and runstates. */
    by_target: TargetReport[];
    lines: LineReport[];
    injection: (FamilyReport & { by_spi: InjectionCounts[]; by_target: TargetReport[] }) | null;
  };
  requests: FamilyReport & { bytes: number; depth: DepthReport[] };
  /** How the numbers of an unpatched Xen stand to what they are taken for; empty with trace points. */
  estimates: EstimateReport[];
  groups: GroupReport[];
  slowest: { mmio: SlowSpan[]; interrupts: SlowSpan[]; requests: SlowSpan[] };
  /** How far a percentile of more than 4096 values may be off, relative; smaller samples are exact. */
  percentile_error: number;
  warnings: string[];
}

export interface ClockReport {
  /** Xen's counter in ns minus Dom0's ftrace clock in ns, at the first event; null with one clock only. */
  offset_ns: number | null;
  /** Half the width of the interval in which offset_ns certainly lies. */
  error_ns: number | null;
  /** The largest half-width over the trace. */
  max_error_ns: number | null;
  rate_ppm: number | null;
  methods: ClockRelation['methods'];
  warning: string | null;
  /** Stamps of the device model's log minus Dom0's ftrace clock at the first ioreq; a float64: to 256 ns. */
  log_offset_ns: number | null;
  /** How far a logged event can be from its place on the axis at the first ioreq, and over all ioreqs. */
  log_error_ns: number | null;
  log_max_error_ns: number | null;
  /** The latter if the log's clock kept one rate; null if it certainly did not. */
  log_steady_error_ns: number | null;
  log_warning: string | null;
}

/** By what rule a number that stands for something not seen is wrong (analyzer/truth/rules.ts). */
export interface EstimateReport {
  id: string;
  /** Path of the number in this report. */
  of: string;
  stands_for: string;
  error: 'too short' | 'too long' | 'either way';
  statement: string;
  /** It follows from the order of events; else it was seen to be so. */
  certain: boolean;
  /** What the clocks add to it, ns; null: nothing. */
  clock_error_ns: number | null;
  /** The most that can be missing, over all waits of the domain's vCPUs, where something bounds it. */
  at_most: Distribution | null;
}

export interface Counts {
  ioreqs: number;
  reads: number;
  writes: number;
  invalidates: number;
  /** Ioreqs whose content no source shows. */
  unknown_content: number;
  /** Interrupts the guest took on virtio lines. */
  interrupts: number;
  /** What `interrupts` was counted by: 'status_reads' (one a handler run), 'vgic', 'raises'. */
  interrupts_by: string;
  /** List registers filled and re-pended on virtio lines; null without trace points. At least `interrupts`. */
  vgic_deliveries: number | null;
  raises: number;
  /** Of `raises`: by an irqfd, in Dom0's kernel. */
  raised_by_irqfd: number;
  /** Ioreqs (kicks) that Dom0's kernel answered itself. */
  answered_by_ioeventfd: number;
  notifies: number;
  /** Records lost over all sources. */
  lost: number;
  /** Events (rows) over all sources. */
  events: number;
  /** The same ioreqs as each source saw them. */
  by_source: SourceCount[];
  /** Whether every source that sees ioreqs counted the same number, those at the edges of its records set aside. */
  sources_agree: boolean;
  /** Ioreqs that not every source holds, because its records began or ended meanwhile. */
  at_edges: number;
}

export interface SourceCount {
  source: string;
  what: string;
  ioreqs: number;
}

export interface Distribution {
  count: number;
  mean_ns: number | null;
  min_ns: number | null;
  p50_ns: number | null;
  p90_ns: number | null;
  p99_ns: number | null;
  p999_ns: number | null;
  max_ns: number | null;
  /** 95 % intervals of median and p99 (analyzer/stats/interval.ts); absent in reports of before. */
  p50_lo_ns?: number | null;
  p50_hi_ns?: number | null;
  p99_lo_ns?: number | null;
  p99_hi_ns?: number | null;
}

export interface StageReport extends Distribution {
  name: string;
  title: string;
  from: string;
  to: string;
  in_total: boolean;
  crosses_clocks: boolean;
  bound: 'exact' | 'no-later-than';
  /** Share of the staged total's sum; null for stages outside the total. */
  share: number | null;
}

export interface FamilyReport {
  title: string;
  total: Distribution;
  /** The spans whose every stage was seen: the stages' means add up to this mean. */
  staged: Distribution;
  /** Of `total`: answered (ioeventfd) or raised (irqfd) by Dom0's kernel. */
  in_kernel: Distribution;
  /** Of `staged`: preemption of the vCPU, in those spans that had any; null where it cannot be seen. */
  preempted: Distribution | null;
  stages: StageReport[];
  left_out: { why: string; count: number }[];
  /** Totals in buckets of half an octave, ascending, empty ones between left in; first bucket may be negative. */
  histogram: HistogramBucket[];
  plan: SpanPlan | null;
}

/** One stage of the whole way of an interrupt. */
export interface EndToEndStage extends Distribution {
  name: string;
  title: string;
  from: string;
  to: string;
  seen: boolean;
  /** Why it was not seen; null if it was. */
  why: string | null;
  /** Names of the unseen stages that a seen one stands for as their sum. */
  sum_of: string[];
  in_total: boolean;
  bound: 'exact' | 'no-later-than';
  share: number | null;
}

export interface EndToEndReport {
  /** In order of time. */
  stages: EndToEndStage[];
  /** What comes before the raise: the stage of the virtio requests that ends with it; null if no request is seen. */
  before: (Distribution & { name: string; title: string; family: 'requests' }) | null;
}

/** Interrupts whose target vCPU did the same thing when they were injected. */
export interface TargetReport {
  /** Xen's runstate: running, runnable (preempted, or being woken already), blocked (idle), offline (in an ioreq). */
  target: 'running' | 'runnable' | 'blocked' | 'offline' | 'unknown';
  /** Interrupts of this kind, those in no number too. */
  count: number;
  total: Distribution;
  stages: StageReport[];
  left_out: { why: string; count: number }[];
}

/** One device line: what became of its raises. null: not seen without trace points. */
export interface LineReport {
  spi: number;
  device: string;
  /** set_irq_level(1) and signals of an irqfd; null without a probe on them. */
  raised: number | null;
  /** Of these: while the hypervisor was traced. */
  raised_while_traced: number | null;
  injected: number | null;
  lr: number | null;
  repended: number | null;
  merged: number | null;
  already_queued: number | null;
  lowered: number | null;
  retired: number | null;
  /** Runs of the guest's handler: its reads of InterruptStatus. */
  taken: number;
  /** What the trace's edges cut: queued or in a list register at its end, and since before it. */
  queued_at_end: number | null;
  in_lr_at_end: number | null;
  queued_before: number | null;
  in_lr_before: number | null;
  identities: LineIdentity[];
}

export interface LineIdentity {
  /** E.g. 'injected = lr + repended + merged + already_queued'. */
  what: string;
  /** The two sides, with what the edges of the trace cut put right. */
  left: number;
  right: number;
  holds: boolean;
}

export interface HistogramBucket {
  from_ns: number;
  to_ns: number;
  count: number;
}

export interface GroupReport {
  by: Record<string, string | number>;
  family: 'mmio' | 'interrupts' | 'requests';
  total: Distribution;
  stages: StageReport[];
  left_out: { why: string; count: number }[];
}

export interface DepthReport {
  device: string;
  queue: number;
  /** Requests popped and not yet used. */
  max: number;
  mean: number | null;
}

export interface SlowSpan {
  start_ns: number;
  total_ns: number;
  device: string | null;
  register: string | null;
  queue: number | null;
  spi: number | null;
  direction: string | null;
  vcpu: number | null;
  /** Bytes of a request, raises of an interrupt, access size of an MMIO access. */
  amount: number;
  /** The instants of this span, with the source each was read in. */
  boundaries: { name: string; clock: BoundaryClock; at_ns: number | null }[];
  /** The lengths of its stages, without preemption, which is one of them where it can be seen. */
  stages: { name: string; in_total: boolean; ns: number | null }[];
  /** Events of its vCPU and its device model's threads while it was open. */
  events: { at_ns: number; source: string; cpu: number; event: string; detail: string }[];
  events_cut: boolean;
}
