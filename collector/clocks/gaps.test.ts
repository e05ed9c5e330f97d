import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GapRing, InstantRing } from './gaps.ts';
import { LossWindows } from './windows.ts';

describe('GapRing', () => {
  it('finds the gap strictly around a time, by brute force', () => {
    const ends = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(ends, fc.integer({ min: 0, max: 3000 }), (steps, at) => {
        const ring = new GapRing();
        const gaps: [number, number][] = [];
        let t = 0;
        let from = NaN;
        for (const [i, step] of steps.entries()) {
          t += step;
          if (i % 2 === 0) ring.begin((from = t));
          else {
            ring.end(t);
            gaps.push([from, t]);
            from = NaN;
          }
        }
        // An open gap reaches as far as the records do.
        if (!Number.isNaN(from)) gaps.push([from, t + 10]);
        const expected = gaps.find(([a, b]) => a < at && at < b);
        expect(ring.find(at, t + 10)).toBe(expected !== undefined);
        if (expected !== undefined) expect([ring.foundFrom, ring.foundTo]).toEqual(expected);
      }),
    );
  });

  it('says that a stretch is clear only where neither of its ends lies in a gap, and mostly so', () => {
    const steps = fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 60 });
    let clear = 0;
    fc.assert(
      fc.property(
        steps,
        fc.integer({ min: -60, max: 60 }),
        fc.nat({ max: 40 }),
        (lengths, behind, length) => {
          const ring = new GapRing();
          let t = 0;
          for (const [i, step] of lengths.entries()) {
            t += step;
            if (i % 2 === 0) ring.begin(t);
            else ring.end(t);
          }
          const [from, to] = [t + behind, t + behind + length];
          if (!ring.isClear(from, to)) return;
          clear++;
          // Xen's records have been read beyond the stretch.
          expect([ring.find(from, to + 1), ring.find(to, to + 1)]).toEqual([false, false]);
        },
      ),
    );
    expect(clear).toBeGreaterThan(10);
  });

  it('knows nothing of a gap whose end was not recorded', () => {
    const ring = new GapRing();
    ring.begin(10);
    ring.forget();
    ring.end(20);
    expect(ring.find(15, 30)).toBe(false);
    ring.begin(40);
    ring.begin(50);
    ring.end(60);
    expect(ring.find(45, 70)).toBe(false);
    expect(ring.find(55, 70)).toBe(true);
  });

  it('forgets the oldest, and says "not known" there', () => {
    const ring = new GapRing();
    for (let i = 0; i < 10_000; i++) {
      ring.begin(10 * i);
      ring.end(10 * i + 5);
    }
    expect(ring.find(2, 1e6)).toBe(false);
    expect(ring.find(99_992, 1e6)).toBe(true);
  });
});

describe('InstantRing', () => {
  it('finds neighbours, by brute force', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 80 }),
        fc.integer(),
        (list, seed) => {
          const sorted = [...list].sort((a, b) => a - b);
          const at = Math.abs(seed) % 220;
          const ring = new InstantRing();
          for (const t of sorted) ring.add(t);
          expect(ring.firstFrom(at)).toBe(sorted.find((t) => t >= at) ?? NaN);
          expect(ring.lastTo(at)).toBe(sorted.findLast((t) => t <= at) ?? NaN);
        },
      ),
    );
  });

  it('says from when on it holds everything', () => {
    const ring = new InstantRing();
    for (let i = 0; i < 5000; i++) ring.add(i);
    expect(ring.reaches(100)).toBe(false);
    expect(ring.reaches(4000)).toBe(true);
    expect(ring.lastTo(3)).toBe(NaN);
  });
});

describe('LossWindows', () => {
  it('tells whether a stretch touches a loss, by brute force', () => {
    const loss = fc.tuple(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 40 }));
    fc.assert(
      fc.property(fc.array(loss, { maxLength: 30 }), loss, (losses, [from, length]) => {
        const windows = new LossWindows();
        const list = losses.map(([end, back]) => [end - back, end] as const).sort((a, b) => a[1] - b[1]);
        for (const [a, b] of list) windows.add(a, b);
        const expected = list.some(([a, b]) => a <= from + length && b >= from);
        expect(windows.touches(from, from + length)).toBe(expected);
      }),
    );
  });
});
