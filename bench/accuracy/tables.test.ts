import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RULES } from '../../analyzer/truth/rules.ts';
import { CAPTURE } from './run.ts';
import { accuracyTables, fillPage } from './tables.ts';
import { WORKLOADS } from './workloads.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const page = readFileSync(join(ROOT, 'docs', 'ACCURACY.md'), 'utf8');

/** Tables of a part of Markdown, by the heading above them; each a list of rows without the dashes. */
function tables(text: string): Map<string, string[][]> {
  const found = new Map<string, string[][]>();
  let heading = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) heading = line.replace(/^#+ /, '');
    if (!line.startsWith('|') || /^\| -+ \|/.test(line)) continue;
    const cells = line.split(/(?<!\\)\|/).slice(1, -1);
    found.set(heading, [...(found.get(heading) ?? []), cells.map((cell) => cell.trim())]);
  }
  return found;
}

describe('docs/ACCURACY.md', () => {
  const measured = page.slice(page.indexOf('<!-- accuracy:'), page.indexOf('<!-- end of accuracy'));
  const all = tables(measured);

  it('names a command that exists, and its source', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    expect(page).toContain('`npm run accuracy`');
    const built = /node out\/bench\/(\S+)\.js/.exec(scripts['accuracy']!)?.[1];
    expect(existsSync(join(ROOT, `${built!}.ts`))).toBe(true);
  });

  it('has the tables that the command writes, whole', () => {
    const titles = [...tables(accuracyTables([])).keys()];
    expect(titles.length).toBe(8);
    expect([...all.keys()]).toEqual(titles);
    expect(measured).toMatch(/^Recorded \d{4}-\d\d-\d\d, Xen 4\.\d+/m);
    for (const [title, rows] of all) {
      expect([title, rows.length > 1]).toEqual([title, true]);
      for (const row of rows) expect([title, row.length]).toEqual([title, rows[0]!.length]);
    }
  });

  it('holds workloads of the command alone, in its order', () => {
    const rows = all.get('MMIO: trap → resume, by descheduled → running')!;
    const names = new Set(rows.slice(1).map((row) => row[0]));
    const known = [...WORKLOADS.map((w) => w.title), CAPTURE.title];
    expect([...names]).toEqual(known.filter((title) => names.has(title)));
    expect(names).toContain(CAPTURE.title);
    for (const row of rows.slice(1)) expect(Number(row[2]!.replaceAll(',', ''))).toBeGreaterThan(0);
  });

  it('has no certain rule that did not hold, and no clock outside its interval', () => {
    const rows = all.get('The rules')!.slice(1);
    const known = new Map<string, boolean>(
      Object.values(RULES).map((rule) => [rule.statement, rule.certain]),
    );
    expect(rows.length).toBe(known.size);
    expect(rows.length).toBeGreaterThan(6);
    for (const [, called, rule, held] of rows) {
      expect(known.get(rule!)).toBe(called === 'certain');
      const [n, of] = held!.replaceAll(',', '').split(' of ').map(Number);
      expect(of).toBeGreaterThan(0);
      if (called === 'certain') expect([rule, n]).toEqual([rule, of]);
    }
    const clocks = all.get("Clock: Xen's counter against Dom0's")!.slice(1);
    expect(clocks.filter((row) => row.at(-1) === 'NO')).toEqual([]);
    // The constant is known on the testbed's patched host.
    const unpatched = clocks.filter((row) => row[1] === 'unpatched, all of it' && row[0] !== CAPTURE.title);
    expect(unpatched.filter((row) => row.at(-1) !== 'yes')).toEqual([]);
  });
});

describe('fillPage', () => {
  it('replaces what is between the marks, and nothing else', () => {
    const filled = fillPage(page, 'NEW');
    expect(filled).toContain('-->\n\nNEW\n\n<!-- end of accuracy -->');
    expect(filled.split('NEW')[0]).toBe(page.slice(0, page.indexOf('-->') + 3) + '\n\n');
    expect(fillPage(filled, 'NEW')).toBe(filled);
    expect(() => fillPage('no marks', 'NEW')).toThrow(/lacks/);
  });
});
