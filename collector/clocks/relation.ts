import type { ClockEstimate, ClockRelation } from '../../trace/manifest.ts';
import type { ClockInput } from './clock-input.ts';
import type { Possible } from './feasible.ts';
import type { Dom0Survey, XenSurvey } from './survey.ts';
import type { RateTolerance } from './tolerance.ts';

export interface Frame {
  readonly input: ClockInput;
  readonly xs: XenSurvey;
  readonly ds: Dom0Survey;
  readonly nsPerTick: number;
  readonly nsPerUnit: number;
  /** Where u = 0 lies and how long u = 1 is, Dom0 ns since its first event. */
  readonly middle: number;
  readonly halfLength: number;
  readonly tolerance: RateTolerance;
}

const METHOD_NAMES: Readonly<Record<string, string>> = {
  exclusion: 'no Dom0 event while its vCPU was not running',
  timer: "Dom0's timer interrupt handled while in a list register",
  answers: 'notify entry <= WAKE <= notify return',
  injects: 'set_irq_level entry <= INJECT <= return',
};

/**
 * The straight line through the middle of what is possible at the trace's two ends. What is possible is convex
 * above and below, so the line's error is largest at one of the ends.
 */
export function relationOf(
  feasible: Possible,
  counts: Readonly<Record<string, number>>,
  frame: Frame,
  warning?: string,
): ClockRelation {
  const { input, xs, ds, middle, halfLength, tolerance } = frame;
  const toU = (at: number): number => (at - middle) / halfLength;
  const centre = (u: number): number => (feasible.low(u) + feasible.high(u)) / 2;
  const roughly = centre(0);
  const first = Math.round(Math.min(ds.firstNs, xs.firstNs - roughly));
  const last = Math.max(ds.lastNs, xs.lastNs - roughly, first + 1);
  const [u0, u1] = [toU(first), toU(last)];
  const offset = centre(u0);
  const offsetEnd = centre(u1);
  const errorNs = (feasible.high(u0) - feasible.low(u0)) / 2;
  const maxErrorNs = feasible.farthest(u0, offset, u1, offsetEnd);
  const methods = Object.entries(counts)
    .filter(([, pairs]) => pairs > 0)
    .map(([name, pairs]) => ({ name: METHOD_NAMES[name] ?? name, pairs }));
  const dom0Epoch = input.dom0.epoch * BigInt(frame.nsPerUnit);
  const relation: ClockRelation = {
    xen: input.xen.id,
    dom0: input.dom0.id,
    offsetNs: epochDifference(input.xen.epoch, input.xen.hz, dom0Epoch, offset),
    errorNs,
    maxErrorNs,
    rate: (offsetEnd - offset) / (last - first),
    referenceDom0Ns: (dom0Epoch + BigInt(first)).toString(),
    methods,
  };
  const warnings = warning === undefined ? [] : [warning];
  if (warning === undefined && methods.length === 0) {
    warnings.push('no bound but the rough match of requests and answers: the relation may be wrong');
  }
  if (tolerance.slewed) {
    const ppm = (tolerance.high * 1e6).toFixed(0);
    warnings.push(`clock "${input.dom0.clockName}" is slewed; the error holds if by no more than ${ppm} ppm`);
  }
  if (warnings.length > 0) relation.warning = warnings.join('; ');
  return relation;
}

/** offset + (xenEpoch in ns - dom0Epoch), adding the large parts before anything becomes a float. */
export function epochDifference(xenTicks: bigint, hz: number, dom0Ns: bigint, offset: number): number {
  const milliHz = BigInt(Math.round(hz * 1000));
  const scaled = xenTicks * 1_000_000_000_000n;
  const whole = scaled / milliHz - dom0Ns;
  return Number(whole) + (Number(scaled % milliHz) / Number(milliHz) + offset);
}

/** A relation's numbers at another reference (absolute ns of Dom0, decimal). */
export function estimateAt(relation: ClockRelation, referenceDom0Ns: string): ClockEstimate {
  const { offsetNs, errorNs, maxErrorNs, rate, methods } = relation;
  const moved = Number(BigInt(referenceDom0Ns) - BigInt(relation.referenceDom0Ns));
  return { offsetNs: offsetNs + rate * moved, errorNs, maxErrorNs, rate, methods };
}
