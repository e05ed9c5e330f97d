import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LossWindows, MAX_WINDOWS } from './loss-windows.ts';

describe('LossWindows', () => {
  it('touch what any of them touches, however they were added', () => {
    const time = fc.integer({ min: 0, max: 200 });
    fc.assert(
      fc.property(fc.array(fc.tuple(time, time)), time, time, (pairs, a, b) => {
        const windows = new LossWindows();
        const stretches = pairs.map(([x, y]) => [Math.min(x, y), Math.max(x, y)] as const);
        for (const [from, to] of stretches) windows.add(from, to);
        const [start, end] = [Math.min(a, b), Math.max(a, b)];
        expect(windows.touches(start, end)).toBe(stretches.some(([from, to]) => from <= end && to >= start));
      }),
    );
  });

  it('are no more than stated, and never touch less for that', () => {
    const windows = new LossWindows();
    const N = MAX_WINDOWS + 1000;
    for (let n = 0; n < N; n++) windows.add(10 * n, 10 * n + 1);
    expect(windows.count).toBe(MAX_WINDOWS);
    for (let n = 0; n < N; n += 97) expect(windows.touches(10 * n, 10 * n)).toBe(true);
    expect(windows.touches(5, 6)).toBe(false);
    expect(windows.touches(10 * N, 10 * N + 5)).toBe(false);
  });
});
