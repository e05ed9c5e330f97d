import type { LabelComparison, LabelFigure } from '../../analyzer/compare/by-label.ts';
import { escapeText } from './escape.ts';
import type { Style } from './style.ts';
import { table } from './table.ts';
import { count, duration } from './units.ts';

const COLUMNS = ['n', 'p50', 'between', 'Δ', 'p99', 'between', 'Δ'].map((title) => ({ title, right: true }));

/** A comparison by label as tables: one a device and family, a line a value of the label. */
export function comparisonText({ by, recordings, rows }: LabelComparison, style: Style): string {
  const many = new Map<string, number>();
  for (const { value } of recordings) many.set(value, (many.get(value) ?? 0) + 1);
  const parts = rows.map(({ family, device, values, changes }) => {
    const body = values.map(({ value, spans, p50, p99 }) => {
      const notes = [
        ...(
          [
            ['p50', p50],
            ['p99', p99],
          ] as const
        ).flatMap(([of, f]) => (f.significant === true ? [`${of} significant`] : [])),
        ...changes
          .filter((c) => c.from === value)
          .map((c) => `change of ${c.of} (p = ${c.p.toPrecision(2)})`),
      ];
      return [
        escapeText(value) + (many.get(value) === 1 ? '' : ` (${many.get(value)!} recordings)`),
        count(spans),
        ...cells(p50),
        ...cells(p99),
        notes.length === 0 ? '' : `<- ${notes.join(', ')}`,
      ];
    });
    const title = escapeText(device === null ? family : `${family} of ${device}`);
    const text = table(
      [{ title: by === null ? 'recording' : escapeText(by) }, ...COLUMNS, { title: '' }],
      body,
    );
    return `${style.bold(title)}\n${text}`;
  });
  return [
    ...parts,
    'between: 95 % intervals; Δ: from the line before; significant: their intervals do not overlap',
  ].join('\n\n');
}

function cells({ ns, lo_ns: lo, hi_ns: hi, percent }: LabelFigure): string[] {
  const end = (value: number | null): string => (value === null ? '?' : duration(value));
  return [
    ns === null ? '-' : duration(ns),
    ns === null ? '' : `${end(lo)} … ${end(hi)}`,
    percent === null ? '' : `${percent > 0 ? '+' : ''}${percent.toFixed(1)} %`,
  ];
}
