import { describe, expect, it } from 'vitest';
import { coarseGuesses } from './coarse.ts';
import { mulberry } from './host-model.ts';
import { Instants } from './survey.ts';

const OFFSET = 123_456_789;

function sequences(seed: number, count: number): { xen: number[]; dom0: [number, number][] } {
  const random = mulberry(seed);
  const xen: number[] = [];
  const dom0: [number, number][] = [];
  for (let i = 0, t = 1e9; i < count; i++) {
    t += 20_000 + 500_000 * random() ** 3;
    const entry = t - 500 - 3000 * random();
    xen.push(t);
    dom0.push([entry - OFFSET, t + 200 + 3000 * random() - OFFSET]);
  }
  return { xen, dom0 };
}

function instants(at: readonly number[], until?: readonly number[]): Instants {
  const list = new Instants();
  for (const [i, t] of at.entries()) {
    list.add(t);
    if (until !== undefined) list.close(until[i]!);
  }
  return list;
}

function guess(
  xen: readonly number[],
  dom0: readonly (readonly [number, number])[],
): [number, number, number] {
  const list = instants(
    dom0.map(([a]) => a),
    dom0.map(([, b]) => b),
  );
  const [best] = coarseGuesses(instants(xen), list, true, 1e-8);
  return [best?.low ?? NaN, best?.high ?? NaN, (best?.votes ?? 0) / (best?.of ?? 1)];
}

describe('coarseGuesses', () => {
  it('brackets the offset and all places agree', () => {
    for (let seed = 0; seed < 30; seed++) {
      const { xen, dom0 } = sequences(seed, 500);
      const [low, high, share] = guess(xen, dom0);
      expect(low).toBeLessThanOrEqual(OFFSET);
      expect(high).toBeGreaterThanOrEqual(OFFSET);
      expect(high - low).toBeLessThan(100_000);
      expect(share).toBe(1);
    }
  });

  it('does so when one side misses a part of the other', () => {
    for (let seed = 0; seed < 30; seed++) {
      const { xen, dom0 } = sequences(seed, 800);
      const [low, high] = guess(xen.slice(300), [...dom0.slice(0, 400), ...dom0.slice(430, 700)]);
      expect(low).toBeLessThanOrEqual(OFFSET);
      expect(high).toBeGreaterThanOrEqual(OFFSET);
    }
  });

  it('gives nothing for too few', () => {
    const { xen, dom0 } = sequences(1, 4);
    expect(guess(xen, dom0)[0]).toBeNaN();
  });
});
