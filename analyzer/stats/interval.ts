/** Of a standard normal distribution: 95 % lie within. */
const Z = 1.96;

/**
 * The 95 % interval of the quantile `q` of `n` values, as the fractions between whose order statistics it lies: from
 * ranks alone (binomial, with the normal approximation), so that no shape of the latencies is assumed. An end is NaN
 * where there are too few values to bound it on that side: of p99, the upper one below some 400.
 */
export function quantileInterval(q: number, n: number): readonly [number, number] {
  const half = Z * Math.sqrt((q * (1 - q)) / Math.max(1, n));
  const end = (at: number): number => (n > 0 && at > 0 && at < 1 - 1 / (2 * n) ? at : NaN);
  return [end(q - half), end(q + half)];
}
