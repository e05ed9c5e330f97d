import type { EventColumns } from '../../trace/columns.ts';
import type { LogClock } from '../../trace/manifest.ts';
import { answeringThread } from './answers.ts';
import { Envelope } from './envelope.ts';
import { Feasible, type Possible } from './feasible.ts';
import { LogPairs } from './log-pairs.ts';
import { clockRefusal, WALL_SLEW } from './tolerance.ts';

/** A device model's stamped log and Dom0's trace of the same time. `batches` starts anew at every call. */
export interface LogInput {
  log: { batches(): Iterable<EventColumns>; epoch: bigint; unit: 'ns' | 'us'; ioreqs: number; id: string };
  dom0: {
    batches(): Iterable<EventColumns>;
    epoch: bigint;
    unit: 'ns' | 'us';
    clockName: string;
    lost: number;
    id: string;
  };
  /** Threads of the device models; if there are none, any thread may be the one that answers. */
  pids: readonly number[];
}

export interface LogAlignment {
  relation?: LogClock;
  /** Why there is no relation. */
  refusal?: string;
}

/**
 * Finds where the stamps of a device model's log lie on Dom0's clock, from causality alone. The device model
 * serves one ioreq after the other, so its n-th ioreq in the log is the one of its n-th answer, and the log's
 * line was written between the read of the event channel and the answer:
 *
 *   read entry <= the log's clock - offset <= notify entry,  stamp <= the log's clock < stamp + 1 unit.
 *
 * The log's clock never runs backwards unless it is stepped, which is why a bound holds at the very instant that
 * gives it: at the answer the clock reads at least the stamp, at the read less than the stamp's end.
 */
export function alignLog(input: LogInput): LogAlignment {
  const { log, dom0 } = input;
  const refusal = clockRefusal(dom0.clockName);
  if (refusal !== undefined) return { refusal };
  const dom0Unit = nsPerUnit(dom0.unit);
  const stampNs = nsPerUnit(log.unit);
  const found = answeringThread(dom0.batches(), input.pids, log.ioreqs);
  if (found.thread === undefined) return { refusal: found.refusal };
  const { pid, first, last } = found.thread;

  // u runs over [-1, 1] from the first answer to the last; what lies a little before is within its reach.
  const begin = first * dom0Unit;
  const middle = (begin + last * dom0Unit) / 2;
  const halfLength = Math.max(last * dom0Unit - middle, MIN_HALF_LENGTH_NS);
  const toU = (at: number): number => (at - middle) / halfLength;
  const drift: [number, number] = [-WALL_SLEW * halfLength, WALL_SLEW * halfLength];
  const possible = new Envelope(drift);
  const neighbours = [new Envelope(drift), new Envelope(drift)] as const;
  // Dom0's readings are cut or rounded to their unit; one more nanosecond for the arithmetic.
  const slack = dom0Unit + 1;
  const bound = (into: Possible, stamp: number, from: number, answer: number): void => {
    into.atLeast(toU(answer), stamp - answer - slack);
    if (!Number.isNaN(from)) into.atMost(toU(from), stamp + stampNs - from + slack);
  };

  const pairs = new LogPairs(log.batches(), stampNs, dom0Unit, pid);
  let reference = begin;
  let steady: Feasible | undefined;
  let stampBefore = NaN;
  let fromBefore = NaN;
  let answerBefore = NaN;
  try {
    for (const batch of dom0.batches()) {
      for (let row = pairs.next(batch, 0); row >= 0; row = pairs.next(batch, row)) {
        const { stamp, from, answer } = pairs;
        if (Number.isNaN(stamp)) return { refusal: 'not all of its ioreqs have a stamp' };
        if (Number.isNaN(stampBefore)) reference = Number.isNaN(from) ? answer : from;
        else {
          bound(neighbours[0], stamp, fromBefore, answerBefore);
          bound(neighbours[1], stampBefore, from, answer);
        }
        bound(possible, stamp, from, answer);
        steady ??= steadyFrom(possible, toU(reference), drift);
        bound(steady, stamp, from, answer);
        stampBefore = stamp;
        fromBefore = from;
        answerBefore = answer;
        if (possible.empty) return { refusal: contradiction(pairs.count) };
      }
    }
  } finally {
    pairs.close();
  }

  const end = Math.max(answerBefore, reference + 1);
  const [u0, u1] = [toU(reference), toU(end)];
  // A clock that is not slewed anew keeps its rate: the line is its, if there is one, and else of the band.
  const constant = steady !== undefined && !steady.empty ? steady : undefined;
  const model: Possible = constant ?? possible;
  const centre = (u: number): number => (model.low(u) + model.high(u)) / 2;
  const [offset, offsetEnd] = [centre(u0), centre(u1)];
  const worst = possible.farthest(u0, offset, u1, offsetEnd);
  if (!Number.isFinite(worst)) return { refusal: 'nothing tells when the device model took its ioreqs up' };
  // From the clock to its stamps: a stamp is up to a unit early. A nanosecond for the rounding.
  const ofStamps = stampNs / 2 + 1;
  const dom0Epoch = dom0.epoch * BigInt(dom0Unit);
  const relation: LogClock = {
    log: log.id,
    dom0: dom0.id,
    offsetNs: (log.epoch * BigInt(stampNs) - dom0Epoch + BigInt(Math.round(offset - stampNs / 2))).toString(),
    errorNs: Math.max(possible.high(u0) - offset, offset - possible.low(u0)) + ofStamps,
    maxErrorNs: worst + ofStamps,
    ...(constant === undefined
      ? {}
      : { steadyErrorNs: constant.farthest(u0, offset, u1, offsetEnd) + ofStamps }),
    rate: (offsetEnd - offset) / (end - reference),
    referenceDom0Ns: (dom0Epoch + BigInt(Math.round(reference))).toString(),
    pairs: pairs.count,
  };
  const doubts: string[] = [];
  if (neighbours.some((envelope) => !envelope.empty))
    doubts.push("its ioreqs fit Dom0's answers as well if they are taken for their neighbours");
  if (dom0.lost > 0)
    doubts.push("Dom0's records were lost, so the log may have as many ioreqs as answers by chance");
  if (doubts.length > 0) relation.warning = `the device model's log may lie elsewhere: ${doubts.join('; ')}`;
  return { relation };
}

/**
 * What is possible of a clock of constant rate, as wide as the first ioreq leaves it. It has to be bounded from
 * the start; if the first ioreq does not do that, by what no trace exceeds.
 */
function steadyFrom(possible: Envelope, u: number, drift: readonly [number, number]): Feasible {
  const reach = 2 * Math.abs(drift[0]) + 1;
  const [low, high] = [possible.low(u), possible.high(u)];
  return new Feasible([low - reach, (Number.isFinite(high) ? high : low + UNBOUNDED_NS) + reach], drift);
}

function contradiction(pair: number): string {
  return (
    `from its ioreq ${pair} on the log contradicts what was before: its clock was set, ` +
    `or its ioreqs are not those that were answered`
  );
}

function nsPerUnit(unit: 'ns' | 'us'): number {
  return unit === 'us' ? 1000 : 1;
}

/** Longer than any ioreq takes. */
const UNBOUNDED_NS = 3600e9;
/** A log of one ioreq has no length. */
const MIN_HALF_LENGTH_NS = 1e6;
