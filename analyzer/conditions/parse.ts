import { TraceError } from '../../trace/errors.ts';
import { GROUP_KEYS, type GroupKey } from '../stats/group-key.ts';
import type { Bound, Comparison, Condition, NumberFigure, SpanFigure } from './condition.ts';
import { FAMILIES, NUMBERS, STATISTICS } from './condition.ts';

const TIME: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, μs: 1e3, ms: 1e6, s: 1e9 };
const PARTS = /(?:->|[\p{L}\p{N}_→])+/uy;
const VALUE = /[\p{L}\p{N}_.:/-]+/uy;

/**
 * Reads a condition (docs/COMMANDS.md has the language):
 *
 *     figure comparison bound
 *     figure: family ['[' key=value {',' key=value} ']'] ['.' stage] '.' statistic, or a number's path
 *     bound: ['+' | '-'] number [unit]; a sign makes it one of the change from A to B
 *
 * Throws E_USAGE with the character (from 1 on) at which it is wrong.
 */
export function parseCondition(text: string): Condition {
  const at = new Reader(text);
  const figure = readFigure(at);
  const comparison = at.need(/>=|<=|>|</y, 'one of >, >=, <, <=') as Comparison;
  const bound = readBound(at, figure);
  at.skip();
  if (at.position < text.length) at.wrong('nothing more');
  return { text: text.trim(), figure, comparison, bound };
}

function readFigure(at: Reader): SpanFigure | NumberFigure {
  at.skip();
  const begin = at.position;
  const first = at.name('a family (mmio, interrupts, injection, requests) or a number of the report');
  const filter = at.take(/\[/y) === undefined ? undefined : readFilter(at, first, begin);
  const parts: { text: string; position: number }[] = [];
  while (at.take(/\./y) !== undefined) {
    at.skip();
    const position = at.position;
    parts.push({ text: at.quoted() ?? at.name('a stage or a statistic'), position });
  }
  const path = [first, ...parts.map((p) => p.text)].join('.');
  if (filter === undefined && (NUMBERS as readonly string[]).includes(path))
    return { kind: 'number', path: path as NumberFigure['path'] };
  const family = FAMILIES.find((name) => name === first);
  if (family === undefined) {
    at.wrong(parts.length === 0 ? `one of ${FAMILIES.join(', ')}` : 'a path of docs/COMMANDS.md', begin);
  }
  const last = parts.pop();
  if (last === undefined) at.wrong('a dot and a statistic');
  const extra = parts[1];
  if (extra !== undefined) at.wrong('a comparison', extra.position);
  const part = parts[0]?.text.replaceAll('->', '→') ?? null;
  if (last.text === 'left_out' && part === null)
    return { kind: 'spans', family, filter: filter ?? new Map(), part, statistic: 'left_out' };
  if (last.text === 'share' && part !== null)
    return { kind: 'spans', family, filter: filter ?? new Map(), part, statistic: 'share' };
  if (!Object.hasOwn(STATISTICS, last.text)) {
    const other = part === null ? 'left_out' : 'share';
    at.wrong(`one of ${Object.keys(STATISTICS).join(', ')}, ${other}`, last.position);
  }
  const statistic = last.text as keyof typeof STATISTICS;
  return { kind: 'spans', family, filter: filter ?? new Map(), part, statistic };
}

function readFilter(at: Reader, family: string, begin: number): ReadonlyMap<GroupKey, string> {
  if (family === 'injection') at.wrong('a family that has groups: mmio, interrupts, requests', begin);
  const filter = new Map<GroupKey, string>();
  do {
    at.skip();
    const position = at.position;
    const key = at.name(`one of ${GROUP_KEYS.join(', ')}`);
    if (!(GROUP_KEYS as readonly string[]).includes(key))
      at.wrong(`one of ${GROUP_KEYS.join(', ')}`, position);
    if (filter.has(key as GroupKey)) at.wrong('each key once', position);
    at.need(/=/y, '=');
    at.skip();
    filter.set(key as GroupKey, at.quoted() ?? at.need(VALUE, 'a value, in quotes if it has blanks'));
  } while (at.take(/,/y) !== undefined);
  at.need(/\]/y, '] or a comma');
  return filter;
}

function readBound(at: Reader, figure: SpanFigure | NumberFigure): Bound {
  const sign = at.take(/[+-]/y);
  at.skip();
  const number = at.need(/[0-9]+(?:\.[0-9]+)?(?![0-9.])/y, 'a number');
  at.skip();
  const position = at.position;
  const unit = at.take(/%|[\p{L}]+/uy) ?? '';
  const value = Number(number) * (sign === '-' ? -1 : 1);
  const kind = kindOf(figure);
  if (unit === '%') {
    // Of the change of a figure, or a share itself.
    if (sign === undefined && kind !== 'fraction')
      at.wrong('a sign before a change in percent (+10%)', position);
    const change = sign === undefined ? null : kind === 'fraction' ? 'difference' : 'relative';
    return { value: value / 100, unit: 'fraction', change };
  }
  const change = sign === undefined ? null : 'difference';
  if (kind === 'fraction') at.wrong('%', position);
  if (kind === 'number') {
    if (unit !== '') at.wrong('no unit, as it is a number', position);
    return { value, unit: 'number', change };
  }
  const scale = Object.hasOwn(TIME, unit) ? TIME[unit] : undefined;
  if (scale === undefined) at.wrong('a unit: ns, us, ms, s', position);
  return { value: value * scale, unit: 'ns', change };
}

export function kindOf(figure: SpanFigure | NumberFigure): Bound['unit'] {
  if (figure.kind === 'number') return figure.path.endsWith('_ns') ? 'ns' : 'number';
  if (figure.statistic === 'share') return 'fraction';
  return figure.statistic === 'count' || figure.statistic === 'left_out' ? 'number' : 'ns';
}

class Reader {
  position = 0;
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  skip(): void {
    while (/\s/.test(this.text.charAt(this.position))) this.position++;
  }

  /** What the sticky `pattern` matches after blanks, or undefined. */
  take(pattern: RegExp): string | undefined {
    this.skip();
    pattern.lastIndex = this.position;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.position += found.length;
    return found;
  }

  need(pattern: RegExp, expected: string): string {
    return this.take(pattern) ?? this.wrong(expected);
  }

  name(expected: string): string {
    return this.need(PARTS, expected);
  }

  /** A text in double quotes; \" and \\ stand for themselves. */
  quoted(): string | undefined {
    const begin = this.position;
    if (this.take(/"/y) === undefined) return undefined;
    const inner = /(?:[^"\\]|\\["\\])*/y;
    inner.lastIndex = this.position;
    const found = inner.exec(this.text)![0];
    this.position += found.length;
    if (this.text.charAt(this.position) !== '"') this.wrong('a closing quote', begin);
    this.position++;
    return found.replace(/\\(.)/g, '$1');
  }

  wrong(expected: string, position = this.position): never {
    const rest = this.text.slice(position, position + 20);
    throw new TraceError('E_USAGE', `condition "${this.text}": wrong at character ${position + 1}`, {
      expected,
      got: rest === '' ? 'its end' : `"${rest}${this.text.length > position + 20 ? '…' : ''}"`,
    });
  }
}
