import type { SpanFamily } from '../../trace/spans.ts';
import type { Pairs } from './pairing.ts';
import { joinPairs, noneTaken, pairRows } from './pairing.ts';
import type { Side } from './side.ts';
import type { SpanLog } from './span-log.ts';
import type { Sides } from './family.ts';

const NO_PAIRS: Pairs = { exact: new Int32Array(0), estimate: new Int32Array(0), length: 0 };

/**
 * MMIO accesses by the record in which Xen lets the vCPU run again, to the tick; those that left no wait (answered
 * before the vCPU was descheduled) by the record of the answer in Dom0.
 */
export function pairMmio(sides: Sides): Pairs & { joinedOtherwise: number } {
  const exact = sides.exact.log('mmio');
  const estimate = sides.estimate.log('mmio');
  if (exact === undefined || estimate === undefined) return { ...NO_PAIRS, joinedOtherwise: 0 };
  const taken = noneTaken(exact, estimate);
  const by = (side: Side, log: SpanLog, clock: 'ticks' | 'dom0Time', name: string) => ({
    group: (row: number) => log.chunkOf(row).vcpu[log.at(row)]!,
    key: (row: number) => side[clock](log.time(row, log.index(name))),
  });
  const of = (clock: 'ticks' | 'dom0Time', name: string): Pairs =>
    pairRows(
      exact,
      estimate,
      by(sides.exact, exact, clock, name),
      by(sides.estimate, estimate, clock, name),
      taken,
    );
  const waits = of('ticks', 'running');
  const answers = of('dom0Time', 'answer');
  let joinedOtherwise = 0;
  const answer = [exact.index('answer'), estimate.index('answer')] as const;
  for (let n = 0; n < waits.length; n++) {
    const a = sides.exact.dom0Time(exact.time(waits.exact[n]!, answer[0]));
    const b = sides.estimate.dom0Time(estimate.time(waits.estimate[n]!, answer[1]));
    if (Math.abs(a - b) >= 0.5) joinedOtherwise++;
  }
  return { ...joinPairs(waits, answers), joinedOtherwise };
}

/** Requests by the instant at which the device model popped them. */
export function pairRequests(sides: Sides): Pairs {
  return pairSame('request', sides, 'popped');
}

function pairSame(family: SpanFamily, sides: Sides, name: string): Pairs {
  const exact = sides.exact.log(family);
  const estimate = sides.estimate.log(family);
  if (exact === undefined || estimate === undefined) return NO_PAIRS;
  const by = (side: Side, log: SpanLog) => ({
    group: (row: number) =>
      log.chunkOf(row).device[log.at(row)]! * 65_536 + log.chunkOf(row).key[log.at(row)]!,
    key: (row: number) => side.dom0Time(log.time(row, log.index(name))),
  });
  return pairRows(
    exact,
    estimate,
    by(sides.exact, exact),
    by(sides.estimate, estimate),
    noneTaken(exact, estimate),
  );
}

/**
 * Interrupts by their read of InterruptStatus. Unpatched, that is known by its wait: so an estimate belongs to the last
 * read of the same device that began before it, if no other one does.
 */
export function pairInterrupts(sides: Sides): Pairs {
  const exact = sides.exact.log('interrupt');
  const estimate = sides.estimate.log('interrupt');
  if (exact === undefined || estimate === undefined) return NO_PAIRS;
  const begins = (side: Side, log: SpanLog): Float64Array => {
    const b = log.index('status_read');
    return Float64Array.from({ length: log.length }, (_, row) => side.ticks(log.time(row, b)));
  };
  const [left, right] = [begins(sides.exact, exact), begins(sides.estimate, estimate)];
  const ofLeft = byDevice(exact, left);
  const ofRight = byDevice(estimate, right);
  const most = Math.min(ofLeft.length, ofRight.length);
  const pairs = { exact: new Int32Array(most), estimate: new Int32Array(most), length: 0 };
  for (let i = 0, j = 0; i < ofLeft.length && j < ofRight.length;) {
    const a = ofLeft[i]!;
    const b = ofRight[j]!;
    const device = exact.chunkOf(a).device[exact.at(a)]! - estimate.chunkOf(b).device[estimate.at(b)]!;
    const next = ofLeft[i + 1];
    const nextBegins =
      next !== undefined &&
      exact.chunkOf(next).device[exact.at(next)] === exact.chunkOf(a).device[exact.at(a)]
        ? left[next]!
        : Infinity;
    if (device < 0) i++;
    else if (device > 0 || right[b]! < left[a]! - 0.5) j++;
    else if (right[b]! >= nextBegins - 0.5) i++;
    else {
      pairs.exact[pairs.length] = a;
      pairs.estimate[pairs.length++] = b;
      i++;
      j++;
    }
  }
  return pairs;
}

function byDevice(log: SpanLog, begins: Float64Array): Int32Array {
  const device = (row: number): number => log.chunkOf(row).device[log.at(row)]!;
  const rows = Int32Array.from(begins.keys()).filter((row) => !Number.isNaN(begins[row]!));
  return rows.sort((a, b) => device(a) - device(b) || begins[a]! - begins[b]!);
}
