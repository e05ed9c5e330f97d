import { multShift } from './tolerance.ts';

/**
 * The counter's exact frequency, read from Dom0's own time stamps. A stamp is floor(n * P + phase) for a whole
 * count n and P = mult / 2^shift ns a count, so for the true P all stamps lie within 1 ns of one phase. A wrong
 * P shifts the phase by its error times the time elapsed and spreads the stamps over all of P. A trace of one
 * second tells frequencies apart that differ by a few 1e-9.
 *
 * This matters because Xen reports its frequency in whole kHz: 8333 kHz is 8,333,333 Hz, 4e-5 off, which would
 * be 2 ms a minute.
 */
export interface Grid {
  /** Counter frequency, Hz. */
  readonly hz: number;
  /** ns a count of the kernel's clock. */
  readonly period: number;
}

/** Steps of fewer ns cannot be told from 1 ns rounding. */
const MIN_PERIOD_NS = 4;
const MIN_STAMPS = 64;
const MIN_SPAN_NS = 1e8;
/** Stamps that may be off the grid: `global` nudges a stamp that would run backwards. */
const MAX_OFF_GRID = 0.01;

/** `stamps`: some of the source's event times, ns, in order, `count` of them. */
export function findGrid(
  stamps: Float64Array,
  count: number,
  hz: number,
  rangeSeconds: number,
): Grid | undefined {
  if (count < MIN_STAMPS || stamps[count - 1]! - stamps[0]! < MIN_SPAN_NS) return undefined;
  const last = hz % 1000 === 0 ? 999 : 0;
  for (let extra = 0; extra <= last; extra++) {
    const { mult, shift } = multShift(hz + extra, rangeSeconds);
    const period = mult / 2 ** shift;
    if (period < MIN_PERIOD_NS) return undefined;
    if (onGrid(stamps, count, period)) return { hz: hz + extra, period };
  }
  return undefined;
}

function onGrid(stamps: Float64Array, count: number, period: number): boolean {
  const origin = stamps[0]!;
  let off = 0;
  for (let i = 1; i < count; i++) {
    const steps = (stamps[i]! - origin) / period;
    // Two cut-off readings differ from a whole number of periods by less than 1 ns.
    if (Math.abs(steps - Math.round(steps)) * period >= 1.001 && ++off > count * MAX_OFF_GRID) return false;
  }
  return true;
}

/** Keeps at most `capacity` values of a stream, evenly spread over all of it. */
export class Sampler {
  readonly values: Float64Array;
  count = 0;
  private stride = 1;
  private skip = 0;

  constructor(capacity: number) {
    this.values = new Float64Array(capacity);
  }

  add(value: number): void {
    if (this.skip > 0) {
      this.skip--;
      return;
    }
    if (this.count === this.values.length) {
      this.count >>= 1;
      for (let i = 0; i < this.count; i++) this.values[i] = this.values[2 * i]!;
      this.stride *= 2;
    }
    this.values[this.count++] = value;
    this.skip = this.stride - 1;
  }
}
