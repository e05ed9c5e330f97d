import { describe, expect, it } from 'vitest';
import { collectSpans } from '../../analyzer/page/embed.ts';
import type { PageData } from '../../analyzer/page/page-format.ts';
import { spansToArrow } from '../../analyzer/page/span-arrow.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import { generateSpans, PLANS, randomOf, reportOf } from '../testing/generated.ts';
import { checkPageData } from './check-data.ts';
import { familyFigures } from './figures.ts';
import { run } from './query.ts';
import { arrowColumns } from './arrow-columns.ts';
import { spanTable, type SpanTable } from './table.ts';
import { sceneOf } from './timeline.ts';

const batches = [...generateSpans('mmio', 300)];
const spans = collectSpans({ plan: PLANS.mmio, batches });
const data: PageData = { version: 1, report: reportOf({ mmio: batches }), tables: [spans.table] };
const { columns, weight } = spans.take();
const bytes = spansToArrow(PLANS.mmio, columns, weight);

/** Everything that the worker does with a table. */
function use(table: SpanTable): void {
  const query = {
    window: { lo: 0, hi: 12e9 },
    brush: null,
    groups: [],
    columns: 300,
    outliersBy: 0,
    limit: 1000,
    latency: null,
    linear: false,
  };
  run(table, 12e9, query);
  familyFigures(table);
  if (table.rows > 0)
    sceneOf(new Map<SpanFamily, SpanTable>([['mmio', table]]), { family: 'mmio', row: 0 }, null);
}

describe('data of strangers', () => {
  it('accepts what is whole', () => {
    expect(checkPageData(JSON.parse(JSON.stringify(data)))).toEqual(JSON.parse(JSON.stringify(data)));
    use(spanTable(arrowColumns(bytes.slice()), spans.table));
  });

  it('names the path of what is wrong', () => {
    const text = JSON.stringify(data);
    const spoilt = (from: string, to: string) => (): PageData => {
      expect(text).toContain(from);
      return checkPageData(JSON.parse(text.replace(from, to)));
    };
    expect(spoilt('"version":1', '"version":9')).toThrow('version 9');
    expect(spoilt('"devices":[', '"devices":[7,')).toThrow('$.report.devices');
    expect(spoilt('"to":"dom0_irq","crossesClocks"', '"to":"x","crossesClocks"')).toThrow('is not');
    expect(spoilt('"totalTo":6', '"totalTo":99')).toThrow('$.tables[0].plan.totalTo');
  });

  it('reads or refuses every damaged table, with a message and without a crash', () => {
    const random = randomOf(3);
    let read = 0;
    for (let k = 0; k < 300; k++) {
      const damaged = bytes.slice(0, k % 3 === 0 ? Math.floor(random() * bytes.length) : undefined);
      const reach = k % 3 === 1 ? Math.min(4000, damaged.length) : damaged.length;
      for (let n = 0; n < 6; n++) damaged[Math.floor(random() * reach)] = Math.floor(random() * 256);
      let table: SpanTable;
      try {
        table = spanTable(arrowColumns(damaged), spans.table);
      } catch (error) {
        expect((error as Error).message).not.toBe('');
        expect(error).not.toBeInstanceOf(TypeError);
        continue;
      }
      use(table);
      read++;
    }
    expect(read).toBeGreaterThan(50);
    expect(read).toBeLessThan(290);
  });
});
