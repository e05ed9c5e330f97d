import type { Trend } from '../../analyzer/clickhouse/trend.ts';
import { escapeText } from './escape.ts';
import type { Style } from './style.ts';
import { table } from './table.ts';
import { count, duration } from './units.ts';

/** A figure over recordings as a table, a line a value of the label; changes stand at the first line of a new level. */
export function trendText(trend: Trend, style: Style): string {
  const counted = trend.of.endsWith('.count');
  const figure = (value: number | null): string =>
    value === null ? '-' : counted ? count(Math.round(value)) : duration(value);
  const changes = new Map(trend.changes.map((c) => [c.from, c]));
  const rows = trend.groups.map((group) => {
    const change = changes.get(group.value);
    const by =
      change?.relative == null
        ? ''
        : ` ${change.relative > 0 ? '+' : ''}${(100 * change.relative).toFixed(1)} %`;
    const note = change === undefined ? '' : `<- change${by} (p = ${change.p.toPrecision(2)})`;
    return [
      escapeText(group.value),
      String(group.recordings.length),
      count(group.recordings.reduce((sum, r) => sum + r.spans, 0)),
      figure(group.median),
      figure(group.lowest),
      figure(group.highest),
      note,
    ];
  });
  const of = trend.device === null ? trend.of : `${trend.of} of ${trend.device}`;
  const text = table(
    [
      { title: trend.by },
      { title: 'recordings', right: true },
      { title: 'spans', right: true },
      { title: 'median', right: true },
      { title: 'lowest', right: true },
      { title: 'highest', right: true },
      { title: '' },
    ],
    rows,
  );
  const end = trend.changes.length === 0 ? 'No change that is significant.' : `Changes: ${trend.method}.`;
  return `${style.bold(escapeText(`${of} by ${trend.by}`))}\n${text}\n\n${end}`;
}
