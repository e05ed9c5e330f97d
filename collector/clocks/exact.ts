import type { ClockRelation } from '../../trace/manifest.ts';
import type { ClockInput } from './clock-input.ts';
import { Feasible } from './feasible.ts';
import { epochDifference } from './relation.ts';
import type { CounterLine } from './timekeeper.ts';
import { counterLine } from './timekeeper.ts';
import { rateTolerance } from './tolerance.ts';

/** What is known of the clocks beside the events. */
export interface ClockFacts {
  /** CNTPCT - CNTVCT of Dom0 in ticks, as Xen recorded it. */
  readonly dom0Offset: bigint;
  /** Samples of the kernel's tk_fast_raw (host/timekeeper.ts). */
  readonly timekeeper: readonly (readonly bigint[])[];
  /** Readings of mono_raw in ns, each between two of Dom0's CNTVCT in ticks. */
  readonly pairs: readonly { before: bigint; ns: bigint; after: bigint }[];
}

/** The span that both sides cover, as the relation's reference: first and last event, absolute. */
export interface ClockSpan {
  readonly xenTicks: readonly [bigint, bigint];
  readonly dom0Ns: readonly [bigint, bigint];
}

export const TIMEKEEPER_METHOD = "CNTVOFF and the kernel's timekeeper";
export const SAMPLES_METHOD = 'CNTVOFF and samples of the counter';

/** Both sides are of one recording: none begins so long after the other's end. */
const MOST_APART_NS = 600e9;

/**
 * The relation between Xen's counter and Dom0's clock as Xen and Dom0's kernel tell it; or why it cannot be had.
 * Only mono_raw follows the counter by a constant rule that can be read: other clocks are slewed, or private.
 */
export function exactRelation(input: ClockInput, facts: ClockFacts, span: ClockSpan): ClockRelation | string {
  const { clockName } = input.dom0;
  if (clockName !== 'mono_raw')
    return `Dom0's clock "${clockName}" is not mono_raw, which alone follows the counter exactly`;
  const line =
    facts.timekeeper.length === 0
      ? "the kernel's timekeeper was not read"
      : counterLine(facts.timekeeper, input.xen.hz);
  const relation =
    typeof line === 'string'
      ? byPairs(input, facts, span, line)
      : fromLine(input, facts.dom0Offset, line, span);
  if (typeof relation === 'string') return relation;
  const apart = apartNs(input, relation.offsetNs, span);
  return apart > MOST_APART_NS
    ? `it would put Xen's records ${Math.round(apart / 1e9)} s from Dom0's`
    : relation;
}

/** ns between the two sides' events by that offset; below 0 where they overlap. */
function apartNs(input: ClockInput, offsetNs: number, { xenTicks, dom0Ns }: ClockSpan): number {
  const [first, last] = xenTicks.map((ticks) => (Number(ticks) * 1e9) / input.xen.hz - offsetNs) as [
    number,
    number,
  ];
  return Math.max(first - Number(dom0Ns[1]), Number(dom0Ns[0]) - last);
}

function byPairs(
  input: ClockInput,
  facts: ClockFacts,
  span: ClockSpan,
  whyNoLine: string,
): ClockRelation | string {
  if (facts.pairs.length === 0) return whyNoLine;
  return (
    fromPairs(input, facts, span) ?? `${whyNoLine}, and the samples of the counter contradict each other`
  );
}

/**
 * By the kernel's own line. A reading is cut to whole nanoseconds (text: rounded to microseconds), so the offset at a
 * reading lies within half of that; all else is exact.
 */
function fromLine(input: ClockInput, dom0Offset: bigint, line: CounterLine, span: ClockSpan): ClockRelation {
  const { mult, shift, constant, samples } = line;
  const milliHz = BigInt(Math.round(input.xen.hz * 1000));
  const cut = input.dom0.unit !== 'us';
  const one = 1n << shift;
  /** Xen ns minus `ns`, in the middle of what a reading of `ns` can be: whole and rest. */
  const offsetAt = (ns: bigint): number => {
    const denominator = 2n * mult * milliHz;
    const twice = 2n * ns + (cut ? 1n : 0n);
    const numerator = (twice * one - 2n * constant + 2n * dom0Offset * mult) * 1_000_000_000_000n;
    const rest = numerator - ns * denominator;
    const whole = rest / denominator;
    return Number(whole) + Number(rest - whole * denominator) / Number(denominator);
  };
  const ticksToNs = (ticks: bigint): bigint => ((ticks - dom0Offset) * mult + constant) >> shift;
  const first = least(span.dom0Ns[0], ticksToNs(span.xenTicks[0]));
  const last = greatest(span.dom0Ns[1], ticksToNs(span.xenTicks[1]));
  const offsetNs = offsetAt(first);
  const rate = (2 ** Number(shift) / Number(mult)) * (1e9 / input.xen.hz) - 1;
  const length = Number(last - first);
  // Of float64: in the offset itself, and in rate times the trace's length.
  const errorNs = (cut ? 0.5 : 500) + Math.abs(offsetNs) * 2 ** -52;
  return {
    xen: input.xen.id,
    dom0: input.dom0.id,
    offsetNs,
    errorNs,
    maxErrorNs: errorNs + length * 2 ** -52,
    rate,
    referenceDom0Ns: first.toString(),
    methods: [{ name: TIMEKEEPER_METHOD, pairs: samples }],
    exact: true,
  };
}

/** By readings of mono_raw between two of the counter: exact to the distance between these. */
function fromPairs(input: ClockInput, facts: ClockFacts, span: ClockSpan): ClockRelation | undefined {
  const { hz } = input.xen;
  const unit = input.dom0.unit === 'us' ? 500 : 1;
  const tolerance = rateTolerance('mono_raw', hz);
  const origin = span.dom0Ns[0];
  const half = Math.max(
    1,
    Number(span.dom0Ns[1] - origin) / 2,
    ...facts.pairs.map(({ ns }) => Math.abs(Number(ns - origin))),
  );
  const bounds = facts.pairs.map(({ before, ns, after }) => ({
    u: Number(ns - origin) / half,
    low: epochDifference(before + facts.dom0Offset, hz, ns, -unit),
    high: epochDifference(after + facts.dom0Offset, hz, ns, unit),
  }));
  const drift: [number, number] = [tolerance.low * half, tolerance.high * half];
  const reach =
    Math.max(Math.abs(drift[0]), Math.abs(drift[1])) * Math.max(...bounds.map(({ u }) => Math.abs(u))) + 1;
  const feasible = new Feasible(
    [Math.min(...bounds.map(({ low }) => low)) - reach, Math.max(...bounds.map(({ high }) => high)) + reach],
    drift,
  );
  for (const { u, low, high } of bounds) {
    feasible.atLeast(u, low);
    feasible.atMost(u, high);
  }
  if (feasible.empty) return undefined;
  const centre = (u: number): number => (feasible.low(u) + feasible.high(u)) / 2;
  const offsetNs = centre(0);
  const firstXen = epochDifference(span.xenTicks[0], hz, origin, -offsetNs);
  const lastXen = epochDifference(span.xenTicks[1], hz, origin, -offsetNs);
  const first = Math.min(0, Math.round(firstXen));
  const last = Math.max(Number(span.dom0Ns[1] - origin), lastXen, first + 1);
  const [u0, u1] = [first / half, last / half];
  const [offset, offsetEnd] = [centre(u0), centre(u1)];
  return {
    xen: input.xen.id,
    dom0: input.dom0.id,
    offsetNs: offset,
    errorNs: (feasible.high(u0) - feasible.low(u0)) / 2,
    maxErrorNs: feasible.farthest(u0, offset, u1, offsetEnd),
    rate: (offsetEnd - offset) / (last - first),
    referenceDom0Ns: (origin + BigInt(first)).toString(),
    methods: [{ name: SAMPLES_METHOD, pairs: facts.pairs.length }],
    exact: true,
  };
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function greatest(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
