import type { ClockRelation } from '../../trace/manifest.ts';
import { noTrust } from './calls.ts';
import { coarseGuesses, type CoarseGuess } from './coarse.ts';
import type { ClockInput } from './clock-input.ts';
import { Envelope } from './envelope.ts';
import { Feasible, type Possible } from './feasible.ts';
import { findGrid } from './grid.ts';
import { epochDifference, relationOf, type Frame } from './relation.ts';
import { surveyDom0, surveyXen, type Dom0Survey, type XenSurvey } from './survey.ts';
import { sweep, type Methods, type SweepInput } from './sweep.ts';
import { clockRefusal, rateTolerance, type RateTolerance } from './tolerance.ts';

export interface Alignment {
  relation?: ClockRelation;
  /** Why there is no relation. */
  refusal?: string;
  /** Passes made over both sources after the survey. */
  passes: number;
}

/**
 * Finds where Xen's trace time lies against Dom0's, from causality alone; undefined if it cannot be told.
 * Reads each source a handful of times and holds a bounded amount of it.
 */
export function alignClocks(input: ClockInput): ClockRelation | undefined {
  return explainAlignment(input).relation;
}

export const ALL_METHODS: Methods = { exclusion: true, timer: true, answers: true, injects: true };

/** What an unpatched Xen allows: no records of its interrupts. */
export const UNPATCHED_METHODS: Methods = { exclusion: true, timer: false, answers: true, injects: false };

/** alignClocks, with the reason if there is no relation. `methods` leaves some out, for comparison. */
export function explainAlignment(input: ClockInput, methods: Methods = ALL_METHODS): Alignment {
  const ground = groundOf(input, methods);
  if (typeof ground === 'string') return { refusal: ground, passes: 0 };
  const { frame, plan } = ground;
  const guesses = guess(frame.xs, frame.ds, frame.tolerance);
  if (guesses.length === 0) {
    return {
      refusal: 'too few ioreqs on both sides to find which of Xen and Dom0 belong together',
      passes: 0,
    };
  }
  let passes = 0;
  for (const coarse of guesses) {
    const feasible = startOf(coarse, frame);
    const result = tighten(feasible, plan);
    passes += result.passes;
    if (!feasible.empty && result.plausible && corroborated(coarse, result.counts)) {
      return { relation: relationOf(feasible, result.counts, frame), passes };
    }
  }
  const best = guesses[0]!;
  const culprits = contradicting(best, frame, plan);
  const contradiction =
    culprits.length > 0
      ? `the bounds contradict each other (${culprits.join(', ')})`
      : 'no bound confirms the rough match of requests and answers';
  // One wrong record can spoil the bounds, but not a match that most of the trace agrees on.
  if (majority(best)) {
    const warning = `${contradiction}: only the rough match of requests and answers is left, and it may be wrong`;
    return { relation: relationOf(startOf(best, frame), {}, frame, warning), passes };
  }
  return { refusal: `${contradiction}, and too few requests and answers match to do without them`, passes };
}

/**
 * Whether a relation that is known from elsewhere agrees with all that was recorded: by how many ns it lies outside
 * of what causality allows (0 = inside; Infinity if nothing near it is possible), and how many bounds were looked at.
 */
export function checkRelation(
  input: ClockInput,
  relation: Pick<ClockRelation, 'offsetNs' | 'rate' | 'referenceDom0Ns'>,
  methods: Methods = ALL_METHODS,
): { outsideNs: number; bounds: number } {
  const ground = groundOf(input, methods);
  if (typeof ground === 'string') return { outsideNs: 0, bounds: 0 };
  const { frame, plan } = ground;
  const { middle, halfLength, tolerance } = frame;
  const epochNs = input.dom0.epoch * BigInt(frame.nsPerUnit);
  // Relative to the epochs, as the survey's times are.
  const atEpochs = epochDifference(input.xen.epoch, input.xen.hz, epochNs, -relation.offsetNs);
  const reference = Number(BigInt(relation.referenceDom0Ns) - epochNs);
  const offset = (u: number): number => relation.rate * (middle + u * halfLength - reference) - atEpochs;
  const steepness = relation.rate * halfLength;
  const spread = Math.abs(tolerance.high - tolerance.low) * halfLength + 1;
  const box = [offset(0) - CHECK_REACH_NS, offset(0) + CHECK_REACH_NS] as const;
  const drift: [number, number] = [steepness - spread, steepness + spread];
  const possible = tolerance.slewed ? new Envelope(drift) : new Feasible(box, drift);
  possible.atLeast(0, box[0]);
  possible.atMost(0, box[1]);
  const { counts, plausible } = tighten(possible, plan);
  const bounds = Object.values(counts).reduce((sum, count) => sum + count, 0);
  if (possible.empty || !plausible) return { outsideNs: Infinity, bounds };
  let outsideNs = 0;
  for (let u = -1; u <= 1; u += 1 / 32) {
    const here = offset(u);
    outsideNs = Math.max(outsideNs, possible.low(u) - here, here - possible.high(u));
  }
  return { outsideNs, bounds };
}

/** What every search begins with; or why there can be none. */
function groundOf(input: ClockInput, methods: Methods): { frame: Frame; plan: Plan } | string {
  const { xen, dom0 } = input;
  const refusal = clockRefusal(dom0.clockName);
  if (refusal !== undefined) return refusal;
  if (!(xen.hz > 0)) return "the frequency of Xen's counter is not known";
  const nsPerTick = 1e9 / xen.hz;
  const nsPerUnit = dom0.unit === 'us' ? 1000 : 1;
  const xs = surveyXen(xen.batches(), xen.epoch, nsPerTick, input.domid);
  const ds = surveyDom0(dom0.batches(), nsPerUnit, dom0.strings, xs.domid);
  if (xs.rows === 0 || ds.rows === 0) return 'one of the sources holds no timed event';
  const tolerance = pinRate(rateTolerance(dom0.clockName, xen.hz), ds, xen.hz, nsPerUnit);
  const middle = (ds.firstNs + ds.lastNs) / 2;
  const halfLength = Math.max(ds.lastNs - ds.firstNs, xs.lastNs - xs.firstNs, 1) / 2;
  const frame: Frame = { input, xs, ds, nsPerTick, nsPerUnit, middle, halfLength, tolerance };
  const plan: Plan = {
    input,
    sweep: {
      nsPerTick,
      nsPerUnit,
      // Both clocks read one counter, so only the cutting or rounding of Dom0's reading to its unit blurs an order;
      // one more nanosecond for the arithmetic.
      slack: nsPerUnit + 1,
      domid: xs.domid,
      begin: xs.firstNs,
      losses: xs.losses,
      toU: (at) => (at - middle) / halfLength,
      timerName: ds.timerName,
      methods,
    },
  };
  return { frame, plan };
}

interface Plan {
  readonly input: ClockInput;
  readonly sweep: Omit<SweepInput, 'xen' | 'dom0' | 'trusted'>;
}

interface Tightened {
  counts: Record<string, number>;
  passes: number;
  /** Whether the answers that were seen have their records where they must be. */
  plausible: boolean;
}

/** Sweeps until a pass no longer narrows what is possible. */
function tighten(feasible: Possible, plan: Plan): Tightened {
  const trusted = noTrust();
  const counts: Record<string, number> = { exclusion: 0, timer: 0, answers: 0, injects: 0 };
  const width = (): number => {
    let sum = 0;
    for (let u = -1; u <= 1; u += 1 / 32) sum += feasible.high(u) - feasible.low(u);
    return sum;
  };
  let passes = 0;
  let plausible = true;
  for (let before = Infinity; passes < MAX_PASSES;) {
    const { xen, dom0 } = plan.input;
    const result = sweep(feasible, { ...plan.sweep, xen: xen.batches(), dom0: dom0.batches(), trusted });
    passes++;
    counts['exclusion']! += result.exclusion;
    counts['timer']! += result.timer;
    counts['answers'] = result.answers;
    counts['injects'] = result.injects;
    if (feasible.empty) break;
    plausible = result.calls.plausible();
    const trustedBefore = trusted.some((t) => t !== 0);
    result.calls.trust(trusted);
    const after = width();
    if (after > before * ENOUGH && trustedBefore === trusted.some((t) => t !== 0)) break;
    before = after;
  }
  return { counts, passes, plausible };
}

/** Most places of the trace agree. */
function majority({ votes, of }: CoarseGuess): boolean {
  return of >= MIN_PLACES && votes * 2 > of;
}

/** Whether anything beside the rough match itself speaks for it. */
function corroborated(coarse: CoarseGuess, counts: Readonly<Record<string, number>>): boolean {
  const { exclusion = 0, timer = 0, answers = 0, injects = 0 } = counts;
  return majority(coarse) || answers + injects > 0 || exclusion + timer >= MIN_CUTS;
}

/** Methods that by themselves leave nothing possible; if none does but all together do, all of them. */
function contradicting(coarse: CoarseGuess, frame: Frame, plan: Plan): string[] {
  const none: Methods = { exclusion: false, timer: false, answers: false, injects: false };
  const alone = (Object.keys(none) as (keyof Methods)[]).filter((name) => plan.sweep.methods[name]);
  const guilty = alone.filter((name) => {
    const feasible = startOf(coarse, frame);
    const { plausible } = tighten(feasible, {
      ...plan,
      sweep: { ...plan.sweep, methods: { ...none, [name]: true } },
    });
    return feasible.empty || !plausible;
  });
  if (guilty.length > 0) return guilty;
  const together = startOf(coarse, frame);
  const { plausible } = tighten(together, plan);
  return together.empty || !plausible ? alone : [];
}

/** Narrows the tolerance to what Dom0's own time stamps tell of the counter's frequency. */
function pinRate(tolerance: RateTolerance, ds: Dom0Survey, hz: number, nsPerUnit: number): RateTolerance {
  if (tolerance.rangeSeconds === undefined || nsPerUnit !== 1) return tolerance;
  const { values, count } = ds.stamps;
  const grid = findGrid(values, count, hz, tolerance.rangeSeconds);
  if (grid === undefined) return tolerance;
  const rate = 1e9 / hz / grid.period - 1;
  const uncertain = 2 / (values[count - 1]! - values[0]!);
  return { ...tolerance, low: rate - uncertain, high: rate + uncertain };
}

function guess(xs: XenSurvey, ds: Dom0Survey, tolerance: RateTolerance): CoarseGuess[] {
  const rate = Math.max(Math.abs(tolerance.low), Math.abs(tolerance.high));
  const all: CoarseGuess[] = [];
  for (const { answers, instants } of ds.sequences) {
    const found = coarseGuesses(answers ? xs.wakes : xs.waits, instants, answers, rate);
    all.push(...found);
    // Most places agree: no need to look at less telling sequences.
    if (found[0] !== undefined && found[0].votes * 2 > found[0].of) break;
  }
  return all.sort((a, b) => b.votes / b.of - a.votes / a.of).slice(0, MAX_GUESSES);
}

/** What is possible of offset and drift as far as the coarse guess tells. */
function startOf(coarse: CoarseGuess, { middle, halfLength, tolerance }: Frame): Possible {
  const reach = coarse.at - middle;
  const u = reach / halfLength;
  const drifts = [tolerance.low * reach, tolerance.high * reach];
  const drift: [number, number] = [tolerance.low * halfLength, tolerance.high * halfLength];
  const possible = tolerance.slewed
    ? new Envelope(drift)
    : new Feasible([coarse.low - Math.max(...drifts) - 1, coarse.high - Math.min(...drifts) + 1], drift);
  possible.atLeast(u, coarse.low);
  possible.atMost(u, coarse.high);
  return possible;
}

/** Places that must have been compared for a majority of them to mean something. */
const MIN_PLACES = 8;
const MIN_CUTS = 3;
const MAX_PASSES = 8;
/** How far around a relation that is to be checked bounds are looked for. */
const CHECK_REACH_NS = 1e6;
const MAX_GUESSES = 4;
/** A pass that leaves more than this share of the width is the last. */
const ENOUGH = 0.98;
