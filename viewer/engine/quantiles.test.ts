import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { binLow, binOf, nsOfOctave, octaveOf } from './bins.ts';
import { distribution, LADDER } from './quantiles.ts';

const latency = fc.oneof(
  fc.integer({ min: 0, max: 5000 }),
  fc.double({ min: 0, max: 1e12, noNaN: true }),
  fc.integer({ min: 1, max: 1 << 20 }).map((v) => v * 16),
);

describe('bins', () => {
  it('hold their values, and are in order', () => {
    fc.assert(
      fc.property(latency, fc.constantFrom(2, 3, 7), (ns, subBits) => {
        const bin = binOf(ns, subBits);
        // Below one sub-bucket a nanosecond, the value is cut to whole nanoseconds first.
        expect(binLow(bin, subBits)).toBeLessThanOrEqual(Math.max(1, ns));
        expect(binLow(bin + 1, subBits)).toBeGreaterThan(Math.floor(ns) * (ns < 2 ** 32 ? 1 : 1 - 2 ** -15));
      }),
    );
  });

  it('are even on the octave axis', () => {
    for (const bin of [0, 8, 83, 200, 333]) expect(octaveOf(binLow(bin, 3))).toBeCloseTo(bin / 8, 9);
    for (const ns of [1, 5, 1000, 123_456, 7e9]) expect(nsOfOctave(octaveOf(ns))).toBeCloseTo(ns, 3);
  });
});

describe('distribution', () => {
  it('gives the nearest-rank quantiles of a sort, exactly', () => {
    fc.assert(
      fc.property(fc.array(latency, { minLength: 1, maxLength: 300 }), (list) => {
        const d = distribution(Float64Array.from(list), list.length, null, LADDER);
        const sorted = Float64Array.from(list).sort();
        const expected = LADDER.map((q) => sorted[Math.max(1, Math.ceil(q * list.length - 1e-9)) - 1]);
        expect(d.at).toEqual(expected);
        expect(d).toMatchObject({ count: list.length, min: sorted[0], max: sorted.at(-1) });
      }),
    );
  });

  it('takes a weight as that many spans', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(latency, fc.integer({ min: 1, max: 5 })), { minLength: 1, maxLength: 60 }),
        (list) => {
          const many = list.flatMap(([v, w]) => Array<number>(w).fill(v));
          const weighted = distribution(
            Float64Array.from(list, ([v]) => v),
            list.length,
            Float32Array.from(list, ([, w]) => w),
            LADDER,
          );
          const plain = distribution(Float64Array.from(many), many.length, null, LADDER);
          expect(weighted.at).toEqual(plain.at);
          expect(weighted.count).toBe(plain.count);
        },
      ),
    );
  });

  it('gives a curve that rises to the maximum', () => {
    const curve = { x: [] as number[], y: [] as number[] };
    distribution(
      Float64Array.from({ length: 1000 }, (_, i) => 100 + i),
      1000,
      null,
      [],
      curve,
    );
    expect(curve.x[0]).toBe(-0);
    expect(curve.x.at(-1)).toBeCloseTo(3, 9);
    expect(curve.y.at(-1)).toBe(1099);
    for (let k = 1; k < curve.x.length; k++) {
      expect(curve.x[k]).toBeGreaterThanOrEqual(curve.x[k - 1]!);
      expect(curve.y[k]).toBeGreaterThanOrEqual(curve.y[k - 1]!);
    }
  });

  it('says nothing about no values', () => {
    expect(distribution(new Float64Array(0), 0, null, [0.5])).toMatchObject({ count: 0, at: [NaN] });
  });
});
