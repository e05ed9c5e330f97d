import type { Distribution } from '../report/document.ts';

/**
 * What `trace analyze --truth --json` prints: how far the numbers of an unpatched Xen are from the exact ones, on a
 * trace that holds the trace points too. docs/REPORT.md explains every path. Times are ns; null: cannot be given.
 */
export interface TruthReport {
  format: 'ioreq-trace-truth';
  version: 1;
  trace: { path: string; domid: number | null; vcpus: number; duration_ns: number };
  clock: ClockTruth;
  mmio: MmioTruth;
  interrupts: FamilyTruth;
  requests: FamilyTruth;
  /** Injection proper, which only the trace points show: what an unpatched `interrupts.total` is taken for. */
  injection: ComparisonReport & { title: string };
  rules: RuleReport[];
  warnings: string[];
}

/** Signed: estimate minus exact, span by span. Below 0: the estimate is too short. */
export interface ErrorReport {
  mean_ns: number | null;
  min_ns: number | null;
  p1_ns: number | null;
  p50_ns: number | null;
  p90_ns: number | null;
  p99_ns: number | null;
  max_ns: number | null;
  /** Sum of the errors by sum of the exact values. */
  share_of_exact: number | null;
}

export interface ComparisonReport {
  /** Spans that have both. */
  count: number;
  exact: Distribution;
  estimate: Distribution;
  error: ErrorReport;
}

export interface LineReport extends ComparisonReport {
  name: string;
  title: string;
}

/** What an unpatched Xen does not show, over the same spans. */
export interface UnseenReport extends Distribution {
  name: string;
  title: string;
  /** The number of an unpatched report that holds it, or why none does. */
  hidden_in: string;
}

export interface SplitReport {
  /** 'all', 'undisturbed' (the vCPU was not preempted between trap and resume, or inject and read), 'preempted'. */
  spans: 'all' | 'undisturbed' | 'preempted';
  total: LineReport;
  stages: LineReport[];
  unseen: UnseenReport[];
}

export interface GroupTruth {
  by: Record<string, string | number>;
  total: ComparisonReport;
}

export interface FamilyTruth {
  pairing: PairingReport;
  splits: SplitReport[];
  groups: GroupTruth[];
}

export interface MmioTruth extends FamilyTruth {
  /** Waits of a vCPU that were joined with another ioreq of Dom0's than their own. */
  joined_otherwise: number;
}

export interface PairingReport {
  /** Spans of the exact analysis and of the one without the trace points. */
  exact: number;
  estimate: number;
  paired: number;
  /** Of `paired`: in no comparison, and why. */
  not_compared: { why: string; count: number }[];
  only_exact: number;
  only_estimate: number;
  /** Spans that were too many to be held. */
  cut: number;
}

export interface ClockTruth {
  /** Xen's counter in ns minus Dom0's clock in ns at the trace's first event. */
  offset_ns: number | null;
  /** 0: known by the domains' counter offsets. Else half the interval that the bounds of all trace points leave. */
  error_ns: number | null;
  exact: boolean;
  methods: ClockMethodTruth[];
}

export interface ClockMethodTruth {
  name: string;
  /** Whether an unpatched Xen gives what this method needs. */
  unpatched: boolean;
  offset_ns: number | null;
  error_ns: number | null;
  max_error_ns: number | null;
  /** Estimated minus true offset, at the first and the last event: the worse. */
  off_by_ns: number | null;
  /** Whether the truth lies in the stated interval; null if there is no truth, or no estimate. */
  holds: boolean | null;
  pairs: number;
  /** Why there is no estimate. */
  refusal: string | null;
}

export interface RuleReport {
  id: string;
  of: string;
  statement: string;
  /** Follows from the order of the events. False: seen to be so, `held` says how often. */
  certain: boolean;
  checked: number;
  held: number;
  /** By how much the worst span exceeds what is stated; null if all hold. */
  worst_ns: number | null;
}
