import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { build } from 'vite';
import { collectSpans, writePage } from '../../analyzer/page/embed.ts';
import type { PageReport } from '../../analyzer/page/page-format.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import { generateSpans, PLANS, reportOf } from './generated.ts';

/** Builds the page as it is shipped into `dir`; gives the template's path. */
export async function buildTemplate(dir: string): Promise<string> {
  await build({
    configFile: join(import.meta.dirname, '../vite.config.ts'),
    logLevel: 'silent',
    build: { outDir: dir, emptyOutDir: false },
  });
  return join(dir, 'index.html');
}

/** Writes a page with so many generated spans of each family; `change` may spoil the report. */
export async function writeGenerated(
  template: string,
  file: string,
  counts: Partial<Record<SpanFamily, number>>,
  change: (report: PageReport) => void = () => undefined,
  limit?: number,
): Promise<{ file: string; report: PageReport }> {
  const families = Object.entries(counts) as [SpanFamily, number][];
  const batches = Object.fromEntries(families.map(([f, n]) => [f, [...generateSpans(f, n)]]));
  const report = reportOf(batches);
  change(report);
  const tables = families.map(([family]) =>
    collectSpans({ plan: PLANS[family], batches: batches[family]! }, limit),
  );
  await writePage(readFileSync(template, 'utf8'), file, report, tables);
  return { file, report };
}

/** A number of the percentile table, ns: of the selection (0), of everything (1). */
export const ladder = (page: Page, row: string, column = 0): Promise<number> =>
  page
    .locator('#ladder-table tbody tr', { has: page.locator(`th:text-is("${row}")`) })
    .locator('td')
    .nth(column)
    .getAttribute('data-ns')
    .then(Number);

/**
 * Waits until the page's figures and texts have stood still for 400 ms: tables follow a drag or a zoom 90 ms after it,
 * the hash 150 ms after it, so that what is read before may be of a picture in between. The page itself measures the
 * time: on a slow machine its timers are late together.
 */
export const atRest = (page: Page): Promise<void> =>
  page.evaluate(
    () =>
      new Promise<void>((done) => {
        const watch = new MutationObserver(() => {
          again();
        });
        let timer = 0;
        const again = (): void => {
          clearTimeout(timer);
          timer = window.setTimeout(() => {
            watch.disconnect();
            done();
          }, 400);
        };
        const what = { subtree: true, childList: true, characterData: true };
        watch.observe(document.body, { ...what, attributeFilter: ['data-ns'] });
        again();
      }),
  );
