import type { Diff, DiffRow } from '../../analyzer/compare/diff.ts';
import { escapeText } from './escape.ts';
import type { Style } from './style.ts';
import { table } from './table.ts';
import { count, duration } from './units.ts';

/** The comparison as a table, at most `top` rows; what is not significant is dim. */
export function diffText({ a, b, rows }: Diff, style: Style, top: number): string {
  const shown = rows.slice(0, top);
  const body = shown.map((r) => [
    name(r),
    count(r.count_a),
    count(r.count_b),
    duration(r.p50.a_ns ?? NaN),
    duration(r.p50.b_ns ?? NaN),
    duration(r.p99.a_ns ?? NaN),
    duration(r.p99.b_ns ?? NaN),
    signed(r.p99.delta_ns),
    percent(r.p99.percent),
    `${signed(r.p99.lo_ns, '?')} … ${signed(r.p99.hi_ns, '?')}`,
    verdict(r),
  ]);
  const titles = ['group', 'n A', 'n B', 'p50 A', 'p50 B', 'p99 A', 'p99 B', 'Δ p99', 'Δ %', 'between', ''];
  const columns = titles.map((title, k) => ({ title, right: k > 0 && k < 10 }));
  const [head, ...lines] = table(columns, body).split('\n');
  return [
    `A  ${escapeText(a.path)}`,
    `B  ${escapeText(b.path)}`,
    '',
    style.bold(head!),
    ...lines.map((line, k) => (weak(shown[k]!) ? style.dim(line) : line)),
    ...(rows.length > shown.length ? [`… ${count(rows.length - shown.length)} more (--top, --json)`] : []),
    '',
    'between: the change if both p99 lie in their 95 % intervals; significant: the intervals do not overlap',
  ].join('\n');
}

function name({ family, by, stage }: DiffRow): string {
  const group =
    by === null ? [] : Object.entries(by).map(([key, v]) => (typeof v === 'number' ? `${key} ${v}` : v));
  return escapeText([family, ...group].join(' ') + (stage === null ? '' : `: ${stage}`));
}

const weak = ({ p50, p99, only_in: only }: DiffRow): boolean =>
  only === null && p50.significant !== true && p99.significant !== true;

function verdict({ p50, p99, only_in: only }: DiffRow): string {
  if (only !== null) return `only in ${only}`;
  if (p99.significant === true)
    return p50.significant === true ? 'significant, and the median' : 'significant';
  if (p50.significant === true) return 'median significant';
  return p99.significant === null ? 'too few to tell' : 'not significant';
}

function signed(ns: number | null, unknown = '-'): string {
  if (ns === null) return unknown;
  return `${ns > 0 ? '+' : ns < 0 ? '-' : ''}${duration(Math.abs(ns))}`;
}

function percent(value: number | null): string {
  return value === null ? '-' : `${value > 0 ? '+' : ''}${value.toFixed(1)} %`;
}
