import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, type Browser, type Page } from 'playwright-core';
import { writeLargeTrace } from '../fixtures/scale/large-trace.ts';
import { residentBytes } from './viewer/resident.ts';
import { run } from './scale/run.ts';

/**
 * The page of traces of N events each (`bench:viewer-large -- 1e6 1e7 1e8`; fixtures/scale, 52 bytes an event), in
 * headless Chromium. Printed: how `trace view -o` makes it (seconds, peak resident MB, MB of page and of the file of all
 * rows); ms from opening it to the first chart, and from zooming into a hundredth of the time to all rows of it; and
 * ms from dropping the trace directory itself on the empty page to the first chart. Memory is the private memory of the
 * page's process.
 */
const MAIN = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', 'dist', 'trace.mjs');
const CHROMIUM = process.env['IOREQ_TRACE_CHROMIUM'] ?? '/usr/bin/chromium';
const MB = 1e6;

async function opened(browser: Browser, file: string, ready: string): Promise<{ page: Page; ms: number }> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  const begun = performance.now();
  await page.goto(`file://${file}`, { waitUntil: 'commit' });
  await page.waitForSelector(ready, { timeout: 60_000 });
  return { page, ms: performance.now() - begun };
}

/** Chooses the rows, zooms, and waits until they are there; undefined if the page holds all of them anyway. */
async function zoomed(page: Page, rows: string, duration: number): Promise<number | undefined> {
  if ((await page.locator('.banner input').count()) === 0) return undefined;
  await page.locator('.banner input').setInputFiles(rows);
  const begun = performance.now();
  await page.evaluate(`location.hash = '#w=${duration * 0.5}-${duration * 0.51}'`);
  await page.waitForSelector('.banner b:text-is("All rows")', { timeout: 60_000 });
  return performance.now() - begun;
}

async function dropped(browser: Browser, empty: string, trace: string): Promise<{ ms: number; mb: number }> {
  const { page } = await opened(browser, empty, 'text=This page holds no trace');
  const session = await page.context().newCDPSession(page);
  const begun = performance.now();
  const data = { items: [], files: [trace], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
    await session.send('Input.dispatchDragEvent', { type, x: 300, y: 300, data });
  await page.waitForSelector('#ladder-table', { timeout: 600_000 });
  const ms = performance.now() - begun;
  const mb = (await residentBytes(browser)) / MB;
  await page.context().close();
  return { ms, mb };
}

const figure = (value: number | undefined, digits = 0): string =>
  value === undefined ? '-' : value.toFixed(digits);

async function main(sizes: number[]): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'ioreq-bench-viewer-'));
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu'],
  });
  const empty = join(dir, 'empty.html');
  const [page, rows, trace] = ['page.html', 'page.rows', 'large.trace'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  try {
    run(MAIN, 'view', '--empty', '-o', empty);
    console.log(
      'events   accesses  trace view s  its MB  page MB  rows MB  first chart ms  all rows ms  process MB  dropped s  process MB',
    );
    for (const events of sizes) {
      rmSync(trace, { recursive: true, force: true });
      rmSync(rows, { force: true });
      const { durationNs, ioreqs } = await writeLargeTrace(trace, { events, patched: true, seed: 1 });
      const view = run(MAIN, 'view', trace, '-o', page);
      const shown = await opened(browser, page, '#ladder-table');
      const zoom = await zoomed(shown.page, rows, durationNs);
      const resident = (await residentBytes(browser)) / MB;
      await shown.page.context().close();
      const drop = await dropped(browser, empty, trace);
      const sizeOf = (file: string): number | undefined => statSync(file, { throwIfNoEntry: false })?.size;
      const rowBytes = sizeOf(rows);
      console.log(
        [
          events.toExponential(0).padEnd(8),
          figure(ioreqs).padStart(8),
          figure(view.wall, 1).padStart(13),
          figure(view.rssMb).padStart(7),
          figure(sizeOf(page)! / MB, 1).padStart(8),
          figure(rowBytes === undefined ? undefined : rowBytes / MB, 1).padStart(8),
          figure(shown.ms).padStart(15),
          figure(zoom).padStart(12),
          figure(resident).padStart(11),
          figure(drop.ms / 1000, 1).padStart(10),
          figure(drop.mb).padStart(11),
        ].join(' '),
      );
    }
  } finally {
    await browser.close();
    rmSync(dir, { recursive: true });
  }
}

const sizes = process.argv.slice(2).map(Number);
await main(sizes.length === 0 ? [1e6, 1e7] : sizes);
