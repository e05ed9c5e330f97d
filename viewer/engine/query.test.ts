import { describe, expect, it } from 'vitest';
import { collectSpans } from '../../analyzer/page/embed.ts';
import { cellsToArrow, spansToArrow } from '../../analyzer/page/span-arrow.ts';
import { generateSpans, PLANS } from '../testing/generated.ts';
import { run, type Query } from './query.ts';
import { arrowColumns } from './arrow-columns.ts';
import { cellTable, spanTable, type SpanTable } from './table.ts';

const DURATION = 12e9;

function tableOf(count: number, limit?: number): SpanTable {
  const spans = collectSpans({ plan: PLANS.mmio, batches: generateSpans('mmio', count) }, limit);
  const { columns, weight } = spans.take();
  return spanTable(arrowColumns(spansToArrow(PLANS.mmio, columns, weight)), spans.table);
}

const everything: Query = {
  window: { lo: 0, hi: DURATION },
  brush: null,
  groups: [],
  columns: 600,
  outliersBy: -1,
  limit: null,
  latency: null,
  linear: false,
};
const table = tableOf(30_000);
const usable = [...table.usable.keys()].filter((i) => table.usable[i] === 1);

describe('run', () => {
  it('counts all spans in heatmap and overview of a sample, until a slice is wider than a column', () => {
    const spans = collectSpans({ plan: PLANS.mmio, batches: generateSpans('mmio', 30_000) }, 2000);
    const { columns, weight } = spans.take();
    const sample = spanTable(arrowColumns(spansToArrow(PLANS.mmio, columns, weight)), spans.table);
    sample.cells = cellTable(arrowColumns(cellsToArrow(spans.cells!.take())), spans.table);
    for (const groups of [[], ['0'], ['0:80', '1']]) {
      const whole = run(table, DURATION, { ...everything, groups });
      const { heat, overview } = run(sample, DURATION, { ...everything, groups });
      expect(heat.marginal).toEqual(whole.heat.marginal);
      expect(heat.shown).toBe(whole.heat.shown);
      expect(Math.max(...overview.max.map((v) => v ?? 0))).toBe(
        Math.max(...whole.overview.max.map((v) => v ?? 0)),
      );
      // A span is at most half a slice from where it is counted.
      const margin = 2 * (spans.cells!.sliceNs / (DURATION / overview.count.length) + 1);
      const upTo = (counts: Float64Array, k: number): number =>
        counts.subarray(0, k).reduce((a, b) => a + b, 0);
      const k = 240;
      expect(upTo(overview.count, k)).toBeGreaterThanOrEqual(
        upTo(whole.overview.count, k - Math.ceil(margin)),
      );
      expect(upTo(overview.count, k)).toBeLessThanOrEqual(upTo(whole.overview.count, k + Math.ceil(margin)));
    }
    const narrow = { ...everything, window: { lo: 5e9, hi: 5e9 + 20 * spans.cells!.sliceNs } };
    const rows = run(sample, DURATION, narrow).heat;
    expect(rows.shown).toBe(run({ ...sample, cells: null }, DURATION, narrow).heat.shown);
  });

  it('counts every usable span once in heatmap, overview, groups and flame frames', () => {
    const { heat, overview, selection } = run(table, DURATION, everything);
    const sum = (list: Iterable<number>): number => [...list].reduce((a, b) => a + b, 0);
    expect(usable.length).toBeLessThan(table.rows);
    expect(sum(heat.counts)).toBe(usable.length);
    expect(sum(heat.marginal)).toBe(usable.length);
    expect(sum(overview.count)).toBe(usable.length);
    expect(sum(selection.frames.map((f) => f.count))).toBe(usable.length);
    expect(sum(selection.groups.filter((g) => g.key >= 0).map((g) => g.count))).toBe(usable.length);
    expect(sum(selection.groups.filter((g) => g.key < 0).map((g) => g.count))).toBe(usable.length);
    expect(selection.everything).toBe(true);
    const total = sum(usable.map((i) => table.total[i]!));
    expect(sum(selection.frames.flatMap((f) => f.stages)) / total).toBeCloseTo(1, 9);
  });

  it('limits everything but the heatmap to the box', () => {
    const brush = { time: { lo: 2e9, hi: 3e9 }, latency: { lo: 100_000, hi: 400_000 } };
    const { heat, selection } = run(table, DURATION, { ...everything, brush });
    const inside = usable.filter((i) => {
      const t = table.start[i]!;
      const ns = table.total[i]!;
      return t >= 2e9 && t < 3e9 && ns >= 100_000 && ns <= 400_000;
    });
    expect(inside.length).toBeGreaterThan(100);
    expect(selection.distribution.count).toBe(inside.length);
    expect(selection.distribution.max).toBe(Math.max(...inside.map((i) => table.total[i]!)));
    expect(selection.outliers[0]!.total).toBe(selection.distribution.max);
    expect(heat.counts.reduce((a, b) => a + b, 0)).toBe(usable.length);
    expect(selection.everything).toBe(false);
  });

  it('limits to groups, but still lists the others', () => {
    const { selection } = run(table, DURATION, { ...everything, groups: ['1'] });
    const net = usable.filter((i) => table.device[i] === 1);
    expect(selection.distribution.count).toBe(net.length);
    expect(selection.outliers.every((o) => table.device[o.row] === 1)).toBe(true);
    expect(new Set(selection.groups.map((g) => g.device)).size).toBe(4);
    const one = run(table, DURATION, { ...everything, groups: ['1:80:0'] }).selection;
    expect(one.distribution.count).toBe(
      net.filter((i) => table.key[i] === 0x50 && table.dir[i] === 0).length,
    );
  });

  it('splits the mean without remainder, and orders outliers by a stage', () => {
    const { selection } = run(table, DURATION, { ...everything, outliersBy: 2 });
    for (const split of selection.splits) {
      expect(split.stages.reduce((a, b) => a + b, 0) / split.mean).toBeCloseTo(1, 6);
    }
    const stage = selection.outliers.map((o) => o.stages[2]!);
    expect(stage).toEqual([...stage].sort((a, b) => b - a));
  });

  it('estimates the whole from a sample, and has its slowest exactly', () => {
    const sampled = run(tableOf(30_000, 6000), DURATION, everything).selection;
    const whole = run(table, DURATION, everything).selection;
    expect(sampled.distribution.count / whole.distribution.count).toBeCloseTo(1, 2);
    expect(sampled.distribution.at[0]! / whole.distribution.at[0]!).toBeCloseTo(1, 1);
    // 3000 of the slowest are kept, the last 1 % of all is among them.
    expect(sampled.distribution.at[3]! / whole.distribution.at[3]!).toBeCloseTo(1, 1);
    expect(sampled.outliers.slice(0, 100).map((o) => o.total)).toEqual(
      whole.outliers.slice(0, 100).map((o) => o.total),
    );
  });
});
