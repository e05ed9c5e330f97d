import { analyzeTrace } from '../../analyzer/report/build.ts';
import type { Report } from '../../analyzer/report/document.ts';
import { PageSpans } from '../../analyzer/page/page-spans.ts';
import { spansToArrow } from '../../analyzer/page/span-arrow.ts';
import { importCapture } from '../../collector/import.ts';
import { openTrace } from '../../trace/open.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import { arrowColumns } from '../engine/arrow-columns.ts';
import { spanTable, type SpanTable } from '../engine/table.ts';

/** Imports raw files into `dir` and gives the report with the span tables as the page's worker has them. */
export async function pageTables(
  raw: string,
  dir: string,
): Promise<{ report: Report; spans: PageSpans[]; tables: Map<SpanFamily, SpanTable> }> {
  await importCapture([raw], dir, { tool: { name: 'test', version: '0' } });
  const families = new Map<SpanFamily, PageSpans>();
  const report = analyzeTrace(openTrace(dir), {
    path: 'scenario',
    onSpans(plan, batch) {
      let spans = families.get(plan.family);
      if (spans === undefined) families.set(plan.family, (spans = new PageSpans(plan)));
      spans.add(batch);
    },
  });
  const tables = new Map<SpanFamily, SpanTable>();
  for (const [family, spans] of families) {
    const { columns, weight } = spans.take();
    tables.set(family, spanTable(arrowColumns(spansToArrow(spans.plan, columns, weight)), spans.table));
  }
  return { report, spans: [...families.values()], tables };
}
