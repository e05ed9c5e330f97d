import { describe, expect, it } from 'vitest';
import { MAX_STRINGS, MAX_STRING_CHARS, NOT_KEPT, StringTable } from './strings.ts';

describe('StringTable', () => {
  it('gives the same number for the same text', () => {
    const table = new StringTable();
    expect([table.intern('a'), table.intern('b'), table.intern('a')]).toEqual([0, 1, 0]);
    expect(table.list).toEqual(['a', 'b']);
  });

  it('keeps no more texts than stated, and goes on telling those apart', () => {
    const table = new StringTable();
    for (let n = 0; n < 3 * MAX_STRINGS; n++) table.intern(`text ${n}`);
    expect(table.list.length).toBe(MAX_STRINGS + 1);
    expect(table.list[table.intern('text 7')]).toBe('text 7');
    expect(table.list[table.intern('one more')]).toBe(NOT_KEPT);
  });

  it('keeps no more characters than stated', () => {
    const table = new StringTable();
    const long = 'x'.repeat(MAX_STRING_CHARS / 8);
    for (let n = 0; n < 20; n++) table.intern(`${n}${long}`);
    expect(table.list.reduce((sum, text) => sum + text.length, 0)).toBeLessThanOrEqual(
      MAX_STRING_CHARS + NOT_KEPT.length,
    );
    expect(table.list.at(-1)).toBe(NOT_KEPT);
  });
});
