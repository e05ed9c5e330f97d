import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LatencySeries, SERIES_ERROR } from './series.ts';

/** Nearest rank. */
function exact(values: readonly number[], q: number): number {
  return [...values].sort((a, b) => a - b)[Math.max(1, Math.ceil(q * values.length - 1e-9)) - 1]!;
}

describe('LatencySeries', () => {
  it('gives percentiles within the stated error, and the maximum exactly', () => {
    const value = fc.oneof(
      fc.integer({ min: 0, max: 1000 }),
      fc.double({ min: 1, max: 1e13, noNaN: true, noDefaultInfinity: true }),
    );
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 200 }), (values) => {
        const series = new LatencySeries();
        for (const v of values) series.add(v);
        const got = series.closeWindow();
        expect(got.count).toBe(values.length);
        expect(got.max).toBe(Math.max(...values));
        for (const [p, q] of [
          [got.p50, 0.5],
          [got.p99, 0.99],
        ] as const) {
          const want = exact(values, q);
          // Below a nanosecond there is one bucket.
          expect(Math.abs(p - want)).toBeLessThanOrEqual(Math.max(1, want * SERIES_ERROR));
        }
        expect(series.total()).toEqual(got);
      }),
    );
  });

  it('keeps windows apart and adds them up', () => {
    const series = new LatencySeries();
    for (let i = 0; i < 100; i++) series.add(1000);
    expect(series.closeWindow()).toMatchObject({ count: 100, max: 1000 });
    expect(series.closeWindow().count).toBe(0);
    expect(series.closeWindow().p50).toBeNaN();
    for (let i = 0; i < 300; i++) series.add(9000);
    expect(series.closeWindow()).toMatchObject({ count: 300, p50: expect.closeTo(9000, -2) as number });
    const total = series.total();
    expect(total).toMatchObject({ count: 400, max: 9000 });
    expect(Math.abs(total.p50 - 9000)).toBeLessThanOrEqual(9000 * SERIES_ERROR);
  });

  it('takes durations beyond its range as the longest', () => {
    const series = new LatencySeries();
    series.add(2 ** 52);
    series.add(2 ** 60);
    expect(series.closeWindow()).toMatchObject({ count: 2, max: 2 ** 60 });
  });
});
