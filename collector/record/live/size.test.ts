import { describe, expect, it } from 'vitest';
import { isTraceError } from '../../../trace/errors.ts';
import { parseSize } from './size.ts';

function messageOf(text: string): string {
  try {
    return `${parseSize(text)}`;
  } catch (error) {
    if (isTraceError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
}

describe('parseSize', () => {
  it('takes powers of 1024', () => {
    expect(['64M', '64 MiB', '1.5G', '2GiB', '512K', '4096', '10B', '1KiB', '.5K'].map(parseSize)).toEqual([
      64 * 2 ** 20,
      64 * 2 ** 20,
      1.5 * 2 ** 30,
      2 ** 31,
      2 ** 19,
      4096,
      10,
      1024,
      512,
    ]);
  });

  it('says what is wrong', () => {
    const texts = [
      '',
      'M',
      '-1M',
      '1e6',
      '64MB',
      '64kb',
      '64m',
      '64T',
      '0',
      '0.1B',
      '9999999999G',
      '1 2',
      'Infinity',
    ];
    expect(texts.map((t) => `${t} | ${messageOf(t)}`).join('\n')).toMatchInlineSnapshot(`
      " | E_USAGE: '' is no size; expected a number and K, M or G, such as 64M, got nothing
      M | E_USAGE: 'M' is no size; expected a number and K, M or G, such as 64M, got M
      -1M | E_USAGE: '-1M' is no size; expected a number and K, M or G, such as 64M, got -1M
      1e6 | E_USAGE: '1e6' is no size; expected a number and K, M or G, such as 64M, got 1e6
      64MB | E_USAGE: size '64MB' has no known unit; expected MiB (powers of 1024), got MB
      64kb | E_USAGE: size '64kb' has no known unit; expected KiB (powers of 1024), got kb
      64m | E_USAGE: size '64m' has no known unit; expected K, M, G, KiB, MiB or GiB, got m
      64T | E_USAGE: size '64T' has no known unit; expected K, M, G, KiB, MiB or GiB, got T
      0 | E_USAGE: size '0' is nothing; expected at least 1 byte, got 0
      0.1B | E_USAGE: size '0.1B' is nothing; expected at least 1 byte, got 0.1B
      9999999999G | E_USAGE: size '9999999999G' is too large; expected less than 2^53 bytes, got 9999999999G
      1 2 | E_USAGE: '1 2' is no size; expected a number and K, M or G, such as 64M, got 1 2
      Infinity | E_USAGE: 'Infinity' is no size; expected a number and K, M or G, such as 64M, got Infinity"
    `);
  });
});
