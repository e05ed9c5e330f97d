import type { GroupKey } from '../stats/group-key.ts';

export const FAMILIES = ['mmio', 'interrupts', 'injection', 'requests'] as const;
export type Family = (typeof FAMILIES)[number];

/** What is known of a distribution, and the fewest values of which it says something: one beyond the percentile. */
export const STATISTICS = {
  count: 0,
  mean: 1,
  min: 1,
  p50: 2,
  p90: 10,
  p99: 100,
  p999: 1000,
  max: 1,
} as const;
export type Statistic = keyof typeof STATISTICS;

/** Single numbers of a report, by path. Those that end in _ns take a unit of time. */
export const NUMBERS = [
  'trace.duration_ns',
  'clock.error_ns',
  'clock.max_error_ns',
  'counts.ioreqs',
  'counts.reads',
  'counts.writes',
  'counts.invalidates',
  'counts.unknown_content',
  'counts.interrupts',
  'counts.vgic_deliveries',
  'counts.raises',
  'counts.raised_by_irqfd',
  'counts.answered_by_ioeventfd',
  'counts.notifies',
  'counts.lost',
  'counts.events',
  'counts.at_edges',
  'interrupts.raises',
  'interrupts.coalesced',
  'requests.bytes',
] as const;

export interface SpanFigure {
  readonly kind: 'spans';
  readonly family: Family;
  /** By key, in the order written; empty: the whole family. */
  readonly filter: ReadonlyMap<GroupKey, string>;
  /** A stage's name, 'staged', 'in_kernel', or null: the total. */
  readonly part: string | null;
  readonly statistic: Statistic | 'share' | 'left_out';
}

export interface NumberFigure {
  readonly kind: 'number';
  readonly path: (typeof NUMBERS)[number];
}

export type Comparison = '>' | '>=' | '<' | '<=';

export interface Bound {
  /** ns, a plain number, or a fraction. */
  readonly value: number;
  readonly unit: 'ns' | 'number' | 'fraction';
  /** The bound is of the change from A to B: the difference, or its share of A's figure. null: of the figure itself. */
  readonly change: 'difference' | 'relative' | null;
}

/** One `--fail-on`: what must not hold. */
export interface Condition {
  readonly text: string;
  readonly figure: SpanFigure | NumberFigure;
  readonly comparison: Comparison;
  readonly bound: Bound;
}
