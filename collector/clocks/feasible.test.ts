import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Envelope } from './envelope.ts';
import { Feasible, type Possible } from './feasible.ts';

interface Bound {
  u: number;
  value: number;
  atLeast: boolean;
}

const bounds = fc.array(
  fc.record({
    u: fc.integer({ min: -64, max: 64 }).map((n) => n / 64),
    value: fc.integer({ min: -1000, max: 1000 }),
    atLeast: fc.boolean(),
  }),
  { maxLength: 40 },
);

function apply(to: Possible, list: readonly Bound[]): void {
  for (const { u, value, atLeast } of list) {
    if (atLeast) to.atLeast(u, value);
    else to.atMost(u, value);
  }
}

/** Smallest r + s*u over the box cut by the bounds, by trying every corner that two lines make. */
function bruteLow(list: readonly Bound[], box: number, u: number): number {
  // Lines a*r + b*s >= c.
  const lines = list.map((l) => {
    const sign = l.atLeast ? 1 : -1;
    return [sign, sign * l.u, sign * l.value] as [number, number, number];
  });
  lines.push([1, 0, -box], [-1, 0, -box], [0, 1, -box], [0, -1, -box]);
  let best = Infinity;
  for (let i = 0; i < lines.length; i++) {
    for (let j = i + 1; j < lines.length; j++) {
      const [a1, b1, c1] = lines[i]!;
      const [a2, b2, c2] = lines[j]!;
      const det = a1 * b2 - a2 * b1;
      if (Math.abs(det) < 1e-12) continue;
      const r = (c1 * b2 - c2 * b1) / det;
      const s = (a1 * c2 - a2 * c1) / det;
      if (lines.every(([a, b, c]) => a * r + b * s >= c - 1e-6)) best = Math.min(best, r + s * u);
    }
  }
  return best;
}

describe('Feasible', () => {
  it('never cuts off what the bounds allow, and keeps every bound to within the least cut', () => {
    fc.assert(
      fc.property(bounds, fc.double({ min: -2, max: 2, noNaN: true }), (list, u) => {
        const feasible = new Feasible([-500, 500], [-500, 500]);
        apply(feasible, list);
        const brute = bruteLow(list, 500, u);
        if (feasible.empty) {
          expect(brute).toBe(Infinity);
          return;
        }
        expect(feasible.low(u)).toBeLessThanOrEqual(brute + 1e-6);
        for (const b of list) {
          if (b.atLeast) expect(feasible.low(b.u)).toBeGreaterThanOrEqual(b.value - 0.26);
          else expect(feasible.high(b.u)).toBeLessThanOrEqual(b.value + 0.26);
        }
      }),
    );
  });

  it('is the exact programme where every cut counts', () => {
    const feasible = new Feasible([-100, 100], [-100, 100]);
    feasible.atLeast(-1, 10);
    feasible.atLeast(1, 30);
    feasible.atMost(-1, 14);
    feasible.atMost(1, 38);
    expect(feasible.low(0)).toBe(20);
    expect(feasible.high(0)).toBe(26);
    const [slowest, fastest] = feasible.drift();
    expect([slowest, fastest]).toEqual([8, 14]);
    expect(feasible.farthest(-1, 12, 1, 34)).toBe(4);
  });

  it('is empty once bounds contradict', () => {
    const feasible = new Feasible([-100, 100], [0, 0.001]);
    feasible.atLeast(0, 10);
    feasible.atMost(0.5, 5);
    expect(feasible.empty).toBe(true);
  });

  it('holds a bounded number of corners whatever comes', () => {
    const feasible = new Feasible([-1e9, 1e9], [-1e9, 1e9]);
    for (let i = 0; i < 5000; i++) {
      const angle = (i * 2.399963) % (2 * Math.PI);
      const u = Math.tan(angle / 2.1);
      if (i & 1) feasible.atMost(u, 1e8 * Math.hypot(1, u));
      else feasible.atLeast(u, -1e8 * Math.hypot(1, u));
    }
    expect(feasible.empty).toBe(false);
    expect(feasible.vertices).toBeLessThanOrEqual(64);
    // The circle of radius 1e8 is all possible.
    expect(feasible.high(0)).toBeGreaterThanOrEqual(1e8);
  });
});

describe('Envelope', () => {
  it('is the band that the bounds and the drift limits leave, and never narrower', () => {
    const limits = fc.tuple(
      fc.double({ min: -300, max: 100, noNaN: true }),
      fc.double({ min: 0, max: 300, noNaN: true }),
    );
    fc.assert(
      fc.property(
        bounds,
        limits,
        fc.double({ min: -1.5, max: 1.5, noNaN: true }),
        (list, [from, size], u) => {
          const to = from + size;
          const envelope = new Envelope([from, to]);
          apply(envelope, list);
          if (envelope.empty) return;
          let low = -Infinity;
          let high = Infinity;
          for (const b of list) {
            const du = u - b.u;
            const drifts = [from * du, to * du];
            if (b.atLeast) low = Math.max(low, b.value + Math.min(...drifts));
            else high = Math.min(high, b.value + Math.max(...drifts));
          }
          expect(envelope.low(u)).toBeLessThanOrEqual(low + 1e-6);
          expect(envelope.high(u)).toBeGreaterThanOrEqual(high - 1e-6);
          // A cell's width of drift, and the least cut, is what it may give away.
          const loose = (Math.abs(from) + Math.abs(to)) / 8192 + 0.26;
          if (low > -Infinity) expect(envelope.low(u)).toBeGreaterThanOrEqual(low - loose);
          if (high < Infinity) expect(envelope.high(u)).toBeLessThanOrEqual(high + loose);
        },
      ),
    );
  });

  it('is empty once bounds contradict', () => {
    const envelope = new Envelope([-1, 1]);
    envelope.atLeast(0.1, 10);
    envelope.atMost(0.2, 9.5);
    expect(envelope.empty).toBe(true);
  });
});
