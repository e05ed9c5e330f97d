/**
 * Log-linear bins of nanoseconds: every octave is cut into 2^subBits equal parts, so that a bin's width is
 * at most 1/2^subBits of its value. clz32 and shifts, because Math.log2 per span is four times slower.
 */
export const OCTAVES = 48;

export function binOf(ns: number, subBits: number): number {
  if (!(ns >= 1)) return 0;
  let u: number;
  let base = 0;
  if (ns < 4_294_967_296) u = ns >>> 0;
  else {
    u = Math.min(4_294_967_295, ns / 65_536) >>> 0;
    base = 16;
  }
  const e = 31 - Math.clz32(u);
  const mantissa = e >= subBits ? u >>> (e - subBits) : u << (subBits - e);
  return ((e + base - 1) << subBits) + mantissa;
}

/** Lowest value of a bin; binLow(bin + 1) is its end. */
export function binLow(bin: number, subBits: number): number {
  const e = bin >> subBits;
  const sub = bin - (e << subBits);
  return 2 ** e * (1 + sub / 2 ** subBits);
}

export const binCount = (subBits: number): number => (OCTAVES << subBits) + 1;

/**
 * The axis that those bins are even on: whole numbers are powers of two, straight lines between them.
 * Charts draw with it, so that a bin's edge and a pixel's value agree exactly.
 */
export function octaveOf(ns: number): number {
  if (!(ns > 1)) return 0;
  const e = Math.floor(Math.log2(ns));
  return e + ns / 2 ** e - 1;
}

export function nsOfOctave(y: number): number {
  const e = Math.floor(y);
  return 2 ** e * (1 + y - e);
}
