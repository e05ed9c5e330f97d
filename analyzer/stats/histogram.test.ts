import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EXACT_LIMIT, Histogram, PERCENTILE_ERROR } from './histogram.ts';

function nearestRank(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length - 1e-9) - 1)]!;
}

function filled(values: readonly number[]): Histogram {
  const h = new Histogram();
  for (const v of values) h.record(v);
  return h;
}

describe('Histogram', () => {
  it('is exact up to the limit', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -1e6, max: 1e10, noNaN: true }), { minLength: 1, maxLength: 300 }),
        (values) => {
          const h = filled(values);
          for (const q of [0.01, 0.5, 0.9, 0.99, 0.999, 1])
            expect(h.quantile(q)).toBe(nearestRank(values, q));
        },
      ),
    );
  });

  it('keeps percentiles within the stated error beyond it, and count, mean, extremes exact', () => {
    for (let seed = 1; seed <= 5; seed++) {
      let x = seed * 2654435761;
      const values = Array.from({ length: EXACT_LIMIT * 5 }, () => {
        x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
        return Math.exp((x / 2 ** 32) * 20) - 50;
      });
      const h = filled(values);
      expect(h.exact).toBe(false);
      expect(h.count).toBe(values.length);
      expect(h.max).toBe(Math.max(...values));
      expect(h.min).toBe(Math.min(...values));
      expect(h.quantile(1)).toBe(h.max);
      for (const q of [0.05, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999]) {
        const truth = nearestRank(values, q);
        expect(Math.abs(h.quantile(q) - truth)).toBeLessThanOrEqual(Math.abs(truth) * PERCENTILE_ERROR + 1);
      }
    }
  });

  it('does not depend on the order of the values', () => {
    const values = Array.from({ length: 10_000 }, (_, i) => (i * 7919) % 100_003);
    const forth = filled(values);
    const back = filled([...values].reverse());
    for (const q of [0.1, 0.5, 0.99]) expect(back.quantile(q)).toBe(forth.quantile(q));
  });

  it('has no percentile when it is empty', () => {
    expect(new Histogram().quantile(0.5)).toBeNaN();
    expect(new Histogram().mean).toBeNaN();
  });
});
