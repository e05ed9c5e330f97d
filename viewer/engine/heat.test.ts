import { describe, expect, it } from 'vitest';
import { collectSpans } from '../../analyzer/page/embed.ts';
import { spansToArrow } from '../../analyzer/page/span-arrow.ts';
import { generateSpans, PLANS } from '../testing/generated.ts';
import { rowLow, type Heat } from './heat.ts';
import { run, type Query } from './query.ts';
import { arrowColumns } from './arrow-columns.ts';
import { spanTable, type SpanTable } from './table.ts';

const SECONDS = 12;
const spans = collectSpans({ plan: PLANS.mmio, batches: generateSpans('mmio', 20_000, SECONDS) });
const { columns, weight } = spans.take();
const table: SpanTable = spanTable(arrowColumns(spansToArrow(spans.plan, columns, weight)), spans.table);
const whole: Query = {
  window: { lo: 0, hi: SECONDS * 1e9 },
  brush: null,
  groups: [],
  columns: 300,
  outliersBy: -1,
  limit: null,
  latency: null,
  linear: false,
};
const heatOf = (change: Partial<Query>): Heat => run(table, SECONDS * 1e9, { ...whole, ...change }).heat;

/** The cells once more, by comparing every span with every edge. */
function byComparison(heat: Heat, { window }: Query): { counts: number[]; worst: Map<number, number> } {
  const counts = new Array<number>(heat.rows * heat.columns).fill(0);
  const worst = new Map<number, number>();
  const slowest = new Map<number, number>();
  for (let i = 0; i < table.rows; i++) {
    const v = table.total[i]!;
    const column = Math.floor(((table.start[i]! - window.lo) * heat.columns) / (window.hi - window.lo));
    if (table.usable[i] === 0 || column < 0 || column >= heat.columns) continue;
    const row = Array.from({ length: heat.rows }, (_, r) => r).find(
      (r) => v >= rowLow(heat, r) && v < rowLow(heat, r + 1),
    );
    if (row === undefined) continue;
    const cell = row * heat.columns + column;
    counts[cell]!++;
    if (v > (slowest.get(cell) ?? -1)) {
      slowest.set(cell, v);
      worst.set(cell, table.device[i]!);
    }
  }
  return { counts, worst };
}

describe('the heatmap', () => {
  it.each<[string, Partial<Query>]>([
    ['of everything', {}],
    ['of some latencies', { latency: { lo: 60_000, hi: 300_000 } }],
    [
      'of some latencies and some time',
      { latency: { lo: 80_001, hi: 81_000 }, window: { lo: 2e9, hi: 5e9 } },
    ],
    ['linear', { linear: true }],
    ['linear, of some latencies', { linear: true, latency: { lo: 50_000, hi: 150_000 } }],
  ])('%s counts each span in the cell whose edges are around it', (_name, change) => {
    const heat = heatOf(change);
    const { counts, worst } = byComparison(heat, { ...whole, ...change });
    expect([...heat.counts]).toEqual(counts);
    expect(heat.shown).toBe(counts.reduce((a, b) => a + b, 0));
    expect(heat.shown).toBeGreaterThan(20);
    for (const [cell, device] of worst) expect(heat.worst[cell]).toBe(device);
    expect(heat.rows).toBeLessThanOrEqual(130);
  });

  it('has finer rows where less is shown', () => {
    const height = (heat: Heat): number => rowLow(heat, 1) / rowLow(heat, 0);
    expect(height(heatOf({ latency: { lo: 100_000, hi: 130_000 } }))).toBeLessThan(1.01);
    expect(height(heatOf({}))).toBeGreaterThan(1.05);
  });
});
