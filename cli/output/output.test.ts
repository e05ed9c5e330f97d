import { describe, expect, it } from 'vitest';
import { frequencyOption, integerOption } from '../commands/options.ts';
import { ProgressBar } from './progress.ts';
import { table } from './table.ts';
import { bytes, count, duration, frequency } from './units.ts';

describe('units', () => {
  it.each([
    [0, '0 ns'],
    [16, '16 ns'],
    [999, '999 ns'],
    [28_546.61, '28.55 µs'],
    [999_960, '1 ms'],
    [1_500_000, '1.5 ms'],
    [82_178_123_872, '82.18 s'],
    [1e14, '100000 s'],
    [-1500, '-1.5 µs'],
    [NaN, '-'],
  ])('duration %d is %s', (ns, text) => {
    expect(duration(ns)).toBe(text);
  });

  it('write counts, sizes and frequencies', () => {
    expect([count(0), count(1234), count(1234567)]).toEqual(['0', '1,234', '1,234,567']);
    expect([bytes(10), bytes(1536), bytes(3 * 2 ** 30)]).toEqual(['10 B', '1.5 KiB', '3 GiB']);
    expect([frequency(62.5e6), frequency(1e9), frequency(50)]).toEqual(['62.5 MHz', '1 GHz', '50 Hz']);
  });

  it('are read from options', () => {
    expect([frequencyOption('62.5MHz'), frequencyOption('24000000')]).toEqual([62.5e6, 24e6]);
    expect(integerOption(0, 100)('0x10')).toBe(16);
    for (const bad of ['', '1.5', 'x', '101', '-1'])
      expect(() => integerOption(0, 100)(bad)).toThrow('whole number');
  });
});

describe('table', () => {
  it('aligns columns and leaves no blanks at line ends', () => {
    const rows = [
      ['a', '1', 'µ'],
      ['long name', '1,000', ''],
    ];
    expect(table([{ title: 'n' }, { title: 'v', right: true }, { title: 'u' }], rows)).toBe(
      'n              v  u\na              1  µ\nlong name  1,000',
    );
  });
});

describe('progress', () => {
  it('draws on a terminal only, and takes itself away', () => {
    let drawn = '';
    const write = (text: string): void => {
      drawn += text;
    };
    const silent = new ProgressBar('x', false, write);
    silent.update(1, 2);
    silent.clear();
    expect(drawn).toBe('');
    const bar = new ProgressBar('x', true, write);
    bar.update(1, 2);
    bar.update(1, 2);
    bar.clear();
    expect(drawn).toBe('\rx [###############...............]  50 % of 2 B\u001b[K\r\u001b[K');
  });
});
