import { describe, expect, it } from 'vitest';
import { SpanBatch, type SpanPlan } from '../../trace/spans.ts';
import { PageSpans } from './page-spans.ts';

const plan: SpanPlan = {
  family: 'mmio',
  title: 'a → b',
  boundaries: [
    { name: 'a', clock: 'xen', bound: 'exact' },
    { name: 'b', clock: 'xen', bound: 'exact' },
  ],
  stages: [],
  totalFrom: 0,
  totalTo: 1,
  preempted: [],
};

/** Span i starts at 10 * i; every column says which span it is. */
function batchesOf(totals: readonly number[], size = 64): SpanBatch[] {
  const batches: SpanBatch[] = [];
  for (let from = 0; from < totals.length; from += size) {
    const batch = new SpanBatch(2, size);
    totals.slice(from, from + size).forEach((total, k) => {
      const i = from + k;
      batch.start[k] = 10 * i;
      batch.total[k] = total;
      batch.device[k] = i & 3;
      batch.key[k] = i;
      batch.at[0]![k] = 10 * i;
      batch.at[1]![k] = 10 * i + total;
      batch.length++;
    });
    batches.push(batch);
  }
  return batches;
}

function fill(totals: readonly number[], limit: number, slowest?: number): PageSpans {
  const spans = new PageSpans(plan, limit, slowest);
  for (const batch of batchesOf(totals)) spans.add(batch);
  return spans;
}

const scrambled = (n: number): number[] => Array.from({ length: n }, (_, i) => ((i * 7919) % n) + 1);

describe('PageSpans', () => {
  it('keeps every span, ordered by start, while they fit', () => {
    const spans = fill(scrambled(1000), 1000);
    const { columns, weight } = spans.take();
    expect(weight).toBeNull();
    expect(spans.table).toMatchObject({ spans: 1000, rows: 1000, slowest: 1000, weight: 1 });
    expect([...columns.key]).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect([...columns.total]).toEqual(scrambled(1000));
  });

  it('keeps all of the slowest and stands for every span by weight', () => {
    const n = 20_011;
    const spans = fill(scrambled(n), 1000, 100);
    const { columns, weight } = spans.take();
    const own = [...columns.total].filter((_, k) => weight![k] === 1).sort((a, b) => a - b);
    expect(own).toEqual(Array.from({ length: 100 }, (_, i) => n - 99 + i));
    expect(weight!.reduce((a, b) => a + b, 0)).toBeCloseTo(n, -1);
    expect(spans.table).toMatchObject({ spans: n, rows: 1000, slowest: 100 });
    expect(new Set(columns.key).size).toBe(1000);
    for (let k = 0; k < 1000; k++) expect(columns.at[1]![k]! - columns.at[0]![k]!).toBe(columns.total[k]);
  });

  it('samples the others evenly over the trace', () => {
    const n = 40_009;
    const { columns, weight } = fill(scrambled(n), 2100, 100).take();
    const quarter = [0, 0, 0, 0];
    columns.key.forEach((i, k) => {
      if (weight![k] !== 1) quarter[Math.floor((4 * i) / n)]!++;
    });
    // 2000 draws: 500 a quarter, standard deviation 19.
    for (const q of quarter) expect(Math.abs(q - 500)).toBeLessThan(5 * 19);
  });

  it('counts no span without a total as slow', () => {
    const totals = scrambled(3000).map((t, i) => (i % 3 === 0 ? NaN : t));
    const { columns, weight } = fill(totals, 300, 50).take();
    const slow = [...columns.total].filter((_, k) => weight![k] === 1);
    const expected = totals
      .filter((t) => !Number.isNaN(t))
      .sort((a, b) => b - a)
      .slice(0, 50);
    expect(slow.sort((a, b) => b - a)).toEqual(expected);
  });
});
