import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isTraceError } from '../../trace/errors.ts';
import { parseCondition } from './condition.ts';

const NAMES = ['value', 'queue', 'sector'];
const CONSTANTS = new Map([['write', 1]]);
const holds = (text: string, values: Record<string, number | undefined>): boolean =>
  parseCondition(text, NAMES, CONSTANTS).holds((name) => values[name]);

describe('conditions', () => {
  it.each([
    ['value == 3', { value: 3 }, true],
    ['value != 3', { value: 3 }, false],
    ['value == 0x10 || queue == 1', { value: 5, queue: 1 }, true],
    ['value == 1 || value == 2 && queue == 9', { value: 1, queue: 0 }, true],
    ['(value == 1 || value == 2) && queue == 9', { value: 1, queue: 0 }, false],
    ['!(value < 2)', { value: 2 }, true],
    ['value & 4', { value: 6 }, true],
    ['value & 4 == 4', { value: 6 }, true],
    ['value & 0x80000000', { value: 0xffff_ffff }, true],
    ['value == write', { value: 1 }, true],
    ['sector > 5', { value: 1 }, false],
    ['sector <= 5', { value: 1 }, false],
    ['!(sector <= 5)', { value: 1 }, true],
    ['value', { value: 0 }, false],
  ])('%s of %o is %s', (text, values, expected) => {
    expect(holds(text, values)).toBe(expected);
  });

  it.each([
    '',
    'value ==',
    '== 3',
    'value == 3)',
    'value = 3',
    'valu == 3',
    'value 3',
    '"x"',
    'value == 3 &&',
  ])('refuses %j', (text) => {
    expect(() => parseCondition(text, NAMES, CONSTANTS)).toThrow(
      expect.objectContaining({ code: 'E_USAGE' }),
    );
  });

  it('is never anything but understood or refused', () => {
    const word = fc.constantFrom(
      'value',
      'queue',
      '3',
      '0x',
      '==',
      '&',
      '&&',
      '||',
      '!',
      '(',
      ')',
      ' ',
      '<=',
      'if',
      '€',
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 40 }), (words) => {
        try {
          const condition = parseCondition(words.join(''), NAMES, CONSTANTS);
          expect(typeof condition.holds(() => 1)).toBe('boolean');
        } catch (error) {
          expect(isTraceError(error) && error.code).toBe('E_USAGE');
        }
      }),
    );
    expect(() => parseCondition('('.repeat(100_000), NAMES, CONSTANTS)).toThrow('nesting');
    expect(() => parseCondition('!'.repeat(100_000), NAMES, CONSTANTS)).toThrow('nesting');
  });
});
