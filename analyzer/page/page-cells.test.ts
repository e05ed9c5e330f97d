import { describe, expect, it } from 'vitest';
import { binOf } from '../../viewer/engine/bins.ts';
import { arrowColumns } from '../../viewer/engine/arrow-columns.ts';
import { cellTable } from '../../viewer/engine/table.ts';
import { generateSpans, PLANS } from '../../viewer/testing/generated.ts';
import { SPAN_FLAG, SpanBatch } from '../../trace/spans.ts';
import { collectSpans } from './embed.ts';
import { PageCells } from './page-cells.ts';
import { cellsToArrow } from './span-arrow.ts';

const batches = [...generateSpans('mmio', 30_000)];

/** Counts and largest latencies by the cells' own definition, with a Map of strings. */
function byMap(sliceNs: number): Map<string, { n: number; max: number }> {
  const cells = new Map<string, { n: number; max: number }>();
  for (const b of batches) {
    for (let i = 0; i < b.length; i++) {
      const v = b.total[i]!;
      if (Number.isNaN(v) || (b.flags[i]! & SPAN_FLAG.LOSS) !== 0) continue;
      const slice = Math.floor(b.start[i]! / sliceNs);
      const id = [slice, b.device[i], b.key[i], b.dir[i], binOf(v, 3)].join();
      const cell = cells.get(id) ?? { n: 0, max: 0 };
      cells.set(id, { n: cell.n + 1, max: Math.max(cell.max, v) });
    }
  }
  return cells;
}

describe('PageCells', () => {
  it.each([600, 3000, 40_000])('counts all spans in at most %d cells, by slice, group and bin', (limit) => {
    const cells = new PageCells(limit);
    for (const batch of batches) cells.add(batch);
    const taken = cells.take();
    expect(taken.rows).toBeLessThanOrEqual(limit);
    const expected = byMap(taken.sliceNs);
    expect(taken.rows).toBe(expected.size);
    for (let k = 0; k < taken.rows; k++) {
      const slice = Math.floor(taken.start[k]! / taken.sliceNs);
      const id = [slice, taken.device[k], taken.key[k], taken.dir[k], binOf(taken.total[k]!, 3)].join();
      expect(expected.get(id)).toEqual({ n: taken.weight[k], max: taken.total[k] });
    }
    expect([...taken.start]).toEqual([...taken.start].sort((a, b) => a - b));
  });

  it('has slices no longer than the cells need', () => {
    const cells = new PageCells(3000);
    for (const batch of batches) cells.add(batch);
    expect(byMap(cells.sliceNs / 2).size).toBeGreaterThan(3000);
  });

  it('gives up, and says so, when groups alone are more than cells', () => {
    const batch = new SpanBatch(2, 64);
    for (let i = 0; i < 64; i++) batch.key[i] = i;
    batch.length = 64;
    const cells = new PageCells(50);
    cells.add(batch);
    expect(cells.overflown).toBe(true);
    const enough = new PageCells(64);
    enough.add(batch);
    expect(enough.overflown).toBe(false);
  });

  it('comes with a sample only, and survives the way into the page', () => {
    expect(collectSpans({ plan: PLANS.mmio, batches }).cells).toBeUndefined();
    const spans = collectSpans({ plan: PLANS.mmio, batches }, 5000);
    const taken = spans.cells!.take();
    expect(spans.table.sliceNs).toBe(taken.sliceNs);
    const read = cellTable(arrowColumns(cellsToArrow(taken)), spans.table);
    for (const name of ['start', 'total', 'device', 'key', 'dir', 'weight'] as const) {
      expect(read[name]).toEqual(taken[name]);
    }
    const usable = [...byMap(taken.sliceNs).values()].reduce((sum, { n }) => sum + n, 0);
    expect(read.weight!.reduce((a, b) => a + b, 0)).toBe(usable);
    expect(read.groups.length).toBe(20);
  });
});
