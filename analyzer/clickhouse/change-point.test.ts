import { describe, expect, it } from 'vitest';
import { changePoints, median } from './change-point.ts';

const anywhere = (values: readonly number[]): boolean[] => values.map(() => true);

/** A fixed sequence of numbers in 0..1. */
function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 4_294_967_296;
  };
}

describe('changePoints', () => {
  it('finds a step and says the levels on both sides of it', () => {
    const values = [10, 11, 10.5, 9.8, 10.2, 10.9, 14, 14.5, 13.8, 15, 14.2, 14.1];
    const [change, ...more] = changePoints(values, anywhere(values));
    expect(more).toEqual([]);
    expect(change!.at).toBe(6);
    expect(change!.before).toBeCloseTo(10.35);
    expect(change!.after).toBeCloseTo(14.15);
    // Of the 924 ways to halve twelve values two lie as far apart: 0.0022; to the accuracy of the shuffles.
    expect(change!.p).toBeGreaterThan(0.0004);
    expect(change!.p).toBeLessThan(0.006);
  });

  it('finds two steps, each with the levels up to the next', () => {
    const random = noise(7);
    const level = (at: number): number => (at < 15 ? 100 : at < 30 ? 130 : 90);
    const values = Array.from({ length: 45 }, (_, i) => level(i) + 5 * random());
    const found = changePoints(values, anywhere(values));
    expect(found.map((c) => c.at)).toEqual([15, 30]);
    expect(found.map((c) => Math.round(c.before / 10) * 10)).toEqual([100, 130]);
    expect(found.map((c) => Math.round(c.after / 10) * 10)).toEqual([130, 90]);
  });

  it('takes neither one outlier nor too few samples for a change', () => {
    const outlier = [10, 11, 10.5, 9.8, 10.2, 500, 10.9, 10.4, 9.9, 10.8, 10.1, 10.6];
    expect(changePoints(outlier, anywhere(outlier))).toEqual([]);
    expect(changePoints([1, 100], [true, true])).toEqual([]);
    expect(changePoints([], [])).toEqual([]);
    expect(changePoints([5, 5, 5, 5, 5, 5, 5, 5], anywhere([5, 5, 5, 5, 5, 5, 5, 5]))).toEqual([]);
  });

  it('puts a change only where one may be, though the step lies elsewhere', () => {
    const values = [1, 2, 3, 4, 5, 6, 107, 108, 109, 110, 111, 112];
    expect(
      changePoints(
        values,
        values.map((_, i) => i === 4 || i === 8),
      ).map((c) => c.at),
    ).toEqual([4, 8]);
  });

  it('finds a change in at most one of twenty sequences that have none', () => {
    const random = noise(1);
    let found = 0;
    for (let n = 0; n < 200; n++) {
      const values = Array.from({ length: 12 }, random);
      if (changePoints(values, anywhere(values)).length > 0) found++;
    }
    // Binomial with p = 0.05: 19 of 200 or more have a probability of 0.6 %; the sequences are fixed.
    expect(found).toBeLessThan(19);
    expect(found).toBeGreaterThan(1);
  });
});

describe('median', () => {
  it('is the middle, or the mean of the two', () => {
    expect([median([3, 1, 2]), median([4, 1, 2, 3]), median([])]).toEqual([2, 2.5, NaN]);
  });
});
