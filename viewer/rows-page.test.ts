import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { servedTemplate, writePage } from '../analyzer/page/embed.ts';
import { PageRowsFile } from '../analyzer/page/page-rows.ts';
import { PageSpans } from '../analyzer/page/page-spans.ts';
import { analyzeTrace } from '../analyzer/report/build.ts';
import { servePage } from '../cli/page-server.ts';
import { layLargeTrace } from '../fixtures/scale/large-trace.ts';
import type { SpanFamily } from '../trace/spans.ts';
import { chromiumPath, launch, open } from './testing/browser.ts';
import { atRest, buildTemplate } from './testing/pages.ts';

const ID = '0123456789abcdef';
/** A twentieth of the trace. */
const part = (duration: number, from: number): string => `#w=${duration * from}-${duration * (from + 0.05)}`;

/** What a person reads of the time shown: percentiles, registers, the slowest. */
async function figures(page: Page): Promise<string[]> {
  await atRest(page);
  const cells = page.locator('#ladder-table td:first-of-type, .stages td, .outliers td, .tree td');
  return (await cells.allTextContents()).map((text) => text.trim());
}

const banner = (page: Page, text: string): Promise<unknown> =>
  page.waitForSelector(`.banner b:text-is("${text}")`, { timeout: 20_000 });

const choose = (page: Page, name: string, bytes: Uint8Array): Promise<void> =>
  page
    .locator('.banner input[type=file]')
    .setInputFiles({ name, mimeType: 'application/octet-stream', buffer: Buffer.from(bytes) });

describe.skipIf(chromiumPath === undefined)('a page with a sample and the file of all rows', () => {
  const dir = mkdtempSync(join(tmpdir(), 'ioreq-rows-'));
  const [whole, sampled, served] = ['whole.html', 'page.html', 'served.html'].map((f) => join(dir, f)) as [
    string,
    string,
    string,
  ];
  const rowsPath = join(dir, 'page.rows');
  let browser: Browser;
  let rows: Uint8Array;
  let hash = '';
  let aside = '';
  beforeAll(async () => {
    const large = await layLargeTrace({
      events: 400_000,
      patched: true,
      tiles: 2,
      tileIoreqs: 500,
      vcpus: 2,
    });
    const view = { manifest: large.manifest, source: (id: string) => ({ batches: () => large.batches(id) }) };
    const all = new Map<SpanFamily, PageSpans>();
    const some = new Map<SpanFamily, PageSpans>();
    const file = new PageRowsFile(rowsPath, ID);
    const report = analyzeTrace(view, {
      path: 'large',
      onSpans(plan, batch) {
        for (const [map, limit] of [
          [all, 1_000_000],
          [some, 1000],
        ] as const) {
          if (!map.has(plan.family)) map.set(plan.family, new PageSpans(plan, limit));
          map.get(plan.family)!.add(batch);
        }
        file.add(plan, batch);
      },
    });
    const index = file.close();
    rows = readFileSync(rowsPath);
    expect(index.bytes).toBe(rows.length);
    const template = readFileSync(await buildTemplate(dir), 'utf8');
    await writePage(template, whole, report, [...all.values()]);
    await writePage(template, sampled, report, [...some.values()], undefined, index);
    writeFileSync(served, servedTemplate(readFileSync(sampled, 'utf8')));
    hash = part(report.trace.duration_ns, 0.45);
    aside = part(report.trace.duration_ns, 0.7);
    browser = await launch();
  }, 120_000);
  afterAll(async () => {
    await browser.close();
    rmSync(dir, { recursive: true });
  });

  it('shows of the time zoomed to what a page with all rows shows, from disk', async () => {
    const exact = await open(browser, whole, { hash });
    const expected = await figures(exact.page);
    expect(expected.length).toBeGreaterThan(50);
    const { page, faults } = await open(browser, sampled, { hash });
    await banner(page, 'A sample.');
    expect(await figures(page)).not.toEqual(expected);
    await choose(page, 'page.rows', rows);
    await banner(page, 'All rows');
    expect(await figures(page)).toEqual(expected);
    // The slowest of these has a timeline of its own.
    await page.keyboard.press('.');
    await page.waitForSelector('.timeline canvas');
    expect(await page.locator('.timeline').textContent()).toContain('The story, step by step');
    await page.keyboard.press('Escape');
    // Elsewhere at once, and there all rows again: of another time than before.
    const before = await page.locator('.banner').textContent();
    for (const { page: each } of [exact, { page }]) {
      await each.evaluate((h) => (location.hash = h), aside);
      await each.waitForFunction(() => /[1-9]/.test(document.querySelector('#ladder-table td')!.textContent));
    }
    await page.waitForFunction((old) => {
      const now = document.querySelector('.banner')?.textContent ?? '';
      return now.startsWith('All rows') && now !== old;
    }, before);
    expect(await figures(page)).toEqual(await figures(exact.page));
    // Out again: what the page itself holds.
    await page.keyboard.press('0');
    await banner(page, 'A sample.');
    expect(faults).toEqual([]);
    await exact.page.context().close();
    await page.context().close();
  });

  it.each([
    [
      'the rows of another trace',
      () => Buffer.from(Buffer.from(rows).toString('latin1').replace(ID, 'f'.repeat(16)), 'latin1'),
      'does not hold the rows of this trace',
    ],
    ['a file cut short', () => rows.slice(0, -1), 'does not hold the rows of this trace'],
    ['rows that are damaged', () => rows.slice().fill(0x55, 40), 'rows of mmio'],
  ])('says what is wrong with %s', async (_, bytes, message) => {
    const { page, faults } = await open(browser, sampled, { hash });
    await banner(page, 'A sample.');
    await choose(page, 'page.rows', bytes());
    await page.waitForSelector(`[role=alert]:has-text("${message}")`);
    // The page itself is as it was.
    await banner(page, 'A sample.');
    await page.waitForSelector('#ladder-table');
    expect(faults.filter((f) => f.startsWith('page:'))).toEqual([]);
    await page.context().close();
  });

  it('reads them by itself where trace view serves it, and asks nobody else', async () => {
    const server = await servePage(served, 0, rowsPath);
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
    const page = await context.newPage();
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.goto(`${server.url}${hash}`);
    await banner(page, 'All rows');
    const got = await figures(page);
    const exact = await open(browser, whole, { hash });
    expect(got).toEqual(await figures(exact.page));
    expect(asked.filter((url) => !url.startsWith(server.url) && !/^(blob|data):/.test(url))).toEqual([]);
    // A part of the file, not all of it.
    const parts = asked.filter((url) => url.includes('/rows?'));
    expect(parts.length).toBeGreaterThan(0);
    for (const bad of ['rows?9-2', 'rows?-1-2', 'rows', '../page.rows']) {
      expect((await page.request.get(`${server.url}${bad}`)).status()).toBeGreaterThanOrEqual(400);
    }
    await context.close();
    await exact.page.context().close();
    await server.close();
  });
});
