import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EVENT_COLUMNS } from './arrow/event-schema.ts';
import { ERROR_CODES } from './errors.ts';
import { EVENT } from './events.ts';
import { FORMAT_VERSION } from './manifest.ts';

const FORMAT = join(import.meta.dirname, '../docs/FORMAT.md');
const ERRORS = join(import.meta.dirname, '../docs/ERRORS.md');

/** A Markdown table, its columns padded as prettier does. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, i) => Math.max(3, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  return [line(rows[0]!), line(widths.map((width) => '-'.repeat(width))), ...rows.slice(1).map(line)].join(
    '\n',
  );
}

/** The part of a page between its two marks; written anew if UPDATE_DOCS is set. */
function part(page: string, name: string, expected: string): string {
  const text = readFileSync(page, 'utf8');
  const start = text.indexOf('-->\n', text.indexOf(`<!-- ${name}:`)) + 4;
  const end = text.indexOf(`<!-- end of ${name}`);
  expect(start).toBeGreaterThan(4);
  expect(end).toBeGreaterThanOrEqual(start);
  if (process.env['UPDATE_DOCS'] !== undefined) {
    writeFileSync(page, `${text.slice(0, start)}\n${expected}\n\n${text.slice(end)}`);
    return expected;
  }
  return text.slice(start, end).trim();
}

describe('docs/FORMAT.md', () => {
  it('has every kind of event as trace/events.ts has it', () => {
    const kinds = Object.values(EVENT).map((k) => [
      String(k.id),
      `\`${k.name}\``,
      k.columns.replaceAll('|', '\\|'),
    ]);
    const expected = table([['kind', 'name', 'columns'], ...kinds]);
    expect(part(FORMAT, 'kinds', expected)).toBe(expected);
  });

  it('names every column, and the present version with its history', () => {
    const text = readFileSync(FORMAT, 'utf8');
    const section = text.slice(text.indexOf('## Event files'), text.indexOf('### Kinds of event'));
    const types = { f64: 'Float64', u64: 'Uint64', u32: 'Uint32', i32: 'Int32', u16: 'Uint16' };
    for (const { name, type } of EVENT_COLUMNS) {
      const row = section
        .split('\n')
        .find((line) => line.startsWith('| `') && line.split('|')[1]!.includes(`\`${name}\``));
      expect(row, name).toContain(types[type as keyof typeof types]);
    }
    expect(text).toContain(`Version ${FORMAT_VERSION}.`);
    for (let version = 1; version <= FORMAT_VERSION; version++) {
      expect(text).toMatch(new RegExp(`^\\| ${version} +\\| \\S`, 'm'));
    }
  });
});

describe('docs/ERRORS.md', () => {
  it('has every code with its exit code', () => {
    const codes = Object.entries(ERROR_CODES).map(([code, { exit, meaning }]) => [
      `\`${code}\``,
      String(exit),
      meaning,
    ]);
    const expected = table([['code', 'exit', 'meaning'], ...codes]);
    expect(part(ERRORS, 'codes', expected)).toBe(expected);
  });
});
