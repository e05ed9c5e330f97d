import { describe, expect, it } from 'vitest';
import {
  columnUnit,
  count,
  duration,
  instant,
  inUnit,
  latencyTick,
  percent,
  safeText,
  timeTick,
} from './format.ts';

const plain = (text: string): string => text.replace(/[\u2009\u202f]/g, ' ');

describe('numbers as people read them', () => {
  it.each([
    [0, '0 ns'],
    [16, '16 ns'],
    [812.5, '813 ns'],
    [1000, '1.000 µs'],
    [53_214, '53.21 µs'],
    [270_100, '270.1 µs'],
    [4_012_300, '4.012 ms'],
    [12e9, '12.00 s'],
    [NaN, '–'],
    [null, '–'],
  ])('duration %s', (ns, text) => {
    expect(plain(duration(ns))).toBe(text);
  });

  it('puts a column into one unit', () => {
    const unit = columnUnit([86_800, 270_100, 9_524_000]);
    expect([86_800, 270_100, 9_524_000].map((v) => plain(inUnit(v, unit)))).toEqual([
      '86.8',
      '270.1',
      '9 524.0',
    ]);
  });

  it('gives instants to the nanosecond and counts with spaces', () => {
    expect(plain(instant(4_729_401_230))).toBe('4.729 401 230 s');
    expect(plain(count(1_234_567))).toBe('1 234 567');
    expect(plain(percent(0.99993))).toBe('99.993 %');
  });

  it('labels ticks', () => {
    expect(plain(latencyTick(200_000))).toBe('200 µs');
    expect(plain(timeTick(2.5e9, 5e8))).toBe('2.5 s');
    expect(plain(timeTick(12_345_000, 5000))).toBe('12 345 µs');
  });
});

describe('safeText', () => {
  it('shows control and direction characters as codes, and cuts what is long', () => {
    expect(safeText('a\u202eb\u0000c\nd')).toBe('a\\u202eb\\u0000c\\u000ad');
    expect(safeText('x'.repeat(1000))).toHaveLength(200);
    expect(safeText(undefined)).toBe('');
    expect(safeText({})).toBe('');
  });
});
