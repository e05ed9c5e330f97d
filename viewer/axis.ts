import { nsOfOctave, octaveOf } from './engine/bins.ts';

/** Ticks at 1, 2 or 5 times a power of ten, about `wanted` of them. */
export function linearTicks(lo: number, hi: number, wanted: number): { step: number; at: number[] } {
  const rough = (hi - lo) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * (rough / power <= 1 ? 1 : rough / power <= 2 ? 2 : rough / power <= 5 ? 5 : 10);
  const at: number[] = [];
  for (let k = Math.ceil(lo / step - 1e-9); k * step <= hi * (1 + 1e-12); k++) at.push(k * step);
  return { step, at };
}

/** Latency ticks at 1, 2 and 5 times powers of ten, thinned to powers of ten when they would crowd. */
export function latencyTicks(lo: number, hi: number, pixels: number): number[] {
  const decades = Math.log10(hi / lo);
  const steps = pixels / decades > 75 ? [1, 2, 5] : pixels / decades > 45 ? [1, 3] : [1];
  const at: number[] = [];
  for (let e = Math.floor(Math.log10(lo)); 10 ** e <= hi; e++) {
    for (const s of steps) if (s * 10 ** e >= lo && s * 10 ** e <= hi) at.push(s * 10 ** e);
  }
  return at;
}

/** Maps latencies to pixels, linearly or on the bins' own axis: top = slow. */
export class LatencyScale {
  readonly lo: number;
  readonly hi: number;
  readonly top: number;
  readonly height: number;
  readonly linear: boolean;

  constructor(loNs: number, hiNs: number, top: number, height: number, linear: boolean) {
    this.linear = linear;
    this.lo = linear ? loNs : octaveOf(loNs);
    this.hi = linear ? hiNs : octaveOf(hiNs);
    this.top = top;
    this.height = height;
  }

  y(ns: number): number {
    const at = this.linear ? ns : octaveOf(ns);
    return this.top + this.height * (1 - (at - this.lo) / (this.hi - this.lo));
  }

  ns(y: number): number {
    const at = this.lo + (1 - (y - this.top) / this.height) * (this.hi - this.lo);
    return this.linear ? at : nsOfOctave(at);
  }
}
