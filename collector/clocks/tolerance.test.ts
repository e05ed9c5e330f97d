import { describe, expect, it } from 'vitest';
import { findGrid, Sampler } from './grid.ts';
import { mulberry } from './host-model.ts';
import { clockRefusal, multShift, rateTolerance } from './tolerance.ts';

describe('multShift', () => {
  it.each([
    // Periods that are whole nanoseconds need no rounding.
    [62_500_000, 600, 16],
    [62_500_000, 3600, 16],
    [100_000_000, 600, 10],
    [1_000_000_000, 600, 1],
  ])('%d Hz over %d s: %d ns a count, exactly', (hz, seconds, ns) => {
    const { mult, shift } = multShift(hz, seconds);
    expect(mult / 2 ** shift).toBe(ns);
  });

  it('rounds by no more than the tolerance says, and fits the guaranteed range into 64 bits', () => {
    for (const hz of [8_333_333, 19_200_000, 24_000_000, 33_333_333, 54_000_000, 99_990_005]) {
      for (const seconds of [600, 3600]) {
        const { mult, shift } = multShift(hz, seconds);
        const error = Math.abs(mult / 2 ** shift / (1e9 / hz) - 1);
        expect(error).toBeLessThanOrEqual(0.5 / mult);
        expect(BigInt(mult) * BigInt(hz) * BigInt(seconds)).toBeLessThan(1n << 64n);
      }
    }
  });
});

describe('rateTolerance', () => {
  it('is a few 1e-8 for clocks that only scale the counter, plus what whole kHz hide', () => {
    const known = rateTolerance('mono_raw', 62_500_001);
    expect(known.low).toBeGreaterThan(-4e-8);
    expect(known.high).toBeLessThan(4e-8);
    const cut = rateTolerance('local', 8_333_000);
    expect(cut.low).toBeGreaterThan(-1e-7);
    expect(cut.high).toBeGreaterThan(333 / 8_333_000);
  });

  it('allows NTP to slew', () => {
    for (const name of ['mono', 'boot', 'tai']) {
      const { low, high, slewed } = rateTolerance(name, 62_500_000);
      expect(slewed).toBe(true);
      expect(low).toBeLessThanOrEqual(-500e-6);
      expect(high).toBeGreaterThanOrEqual(500e-6);
    }
  });

  it('refuses what is no time of the counter', () => {
    expect(clockRefusal('mono_raw')).toBeUndefined();
    expect(clockRefusal('uptime')).toMatch(/jiffies/);
    expect(clockRefusal('counter')).toMatch(/no time/);
    expect(clockRefusal('constructor')).toMatch(/not known/);
  });
});

describe('findGrid', () => {
  function stamps(hz: number, seconds: number, count: number): Float64Array {
    const { mult, shift } = multShift(hz, 600);
    const random = mulberry(hz);
    const ticks = Array.from({ length: count }, () => Math.floor(random() * seconds * hz)).sort(
      (a, b) => a - b,
    );
    return Float64Array.from(ticks, (n) => Math.floor((n * mult) / 2 ** shift + 0.37));
  }

  it.each([8_333_333, 19_200_000, 24_000_000, 33_333_333, 62_500_000, 99_990_005])(
    'reads %d Hz out of the stamps, given whole kHz',
    (hz) => {
      const grid = findGrid(stamps(hz, 20, 500), 500, Math.floor(hz / 1000) * 1000, 600);
      const { mult, shift } = multShift(hz, 600);
      const found = grid?.period ?? NaN;
      expect(Math.abs(found / (mult / 2 ** shift) - 1)).toBeLessThan(1e-10);
    },
  );

  it('says nothing where stamps are too few, too close or off every grid', () => {
    expect(findGrid(stamps(62_500_000, 20, 50), 50, 62_500_000, 600)).toBeUndefined();
    expect(findGrid(stamps(62_500_000, 0.01, 500), 500, 62_500_000, 600)).toBeUndefined();
    const random = mulberry(3);
    const noise = Float64Array.from({ length: 500 }, () => Math.floor(random() * 1e9)).sort();
    expect(findGrid(noise, 500, 62_500_000, 600)).toBeUndefined();
    expect(findGrid(stamps(1_000_000_000, 20, 500), 500, 1_000_000_000, 600)).toBeUndefined();
  });
});

describe('Sampler', () => {
  it('keeps values spread over all of a stream', () => {
    const sampler = new Sampler(64);
    for (let i = 0; i < 100_000; i++) sampler.add(i);
    const kept = [...sampler.values.subarray(0, sampler.count)];
    expect(kept.length).toBeGreaterThan(30);
    expect(kept[0]).toBe(0);
    expect(kept.at(-1)).toBeGreaterThan(95_000);
    expect([...kept].sort((a, b) => a - b)).toEqual(kept);
  });
});
