import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { collectSpans } from '../analyzer/page/embed.ts';
import type { PageReport } from '../analyzer/page/page-format.ts';
import { spansToArrow } from '../analyzer/page/span-arrow.ts';
import { run } from './engine/query.ts';
import { arrowColumns } from './engine/arrow-columns.ts';
import { spanTable } from './engine/table.ts';
import { chromiumPath, launch, open } from './testing/browser.ts';
import { generateSpans, PLANS } from './testing/generated.ts';
import { atRest, buildTemplate, ladder, writeGenerated } from './testing/pages.ts';

let dir = '';
let browser: Browser;
let made: { file: string; report: PageReport };

const hashPart = async (page: Page, name: string): Promise<number[]> => {
  await page.waitForFunction((n) => new URLSearchParams(location.hash.slice(1)).has(n), name);
  const text = await page.evaluate((n) => new URLSearchParams(location.hash.slice(1)).get(n), name);
  return text!.split('-').map(Number);
};
const without = (page: Page, name: string): Promise<unknown> =>
  page.waitForFunction((n) => !new URLSearchParams(location.hash.slice(1)).has(n), name);

const SPANS = 5000;
const DURATION = 12e9;

/** Median of the spans that start in a time, ns, by the engine without a page. */
function medianIn(lo: number, hi: number): number {
  const spans = collectSpans({ plan: PLANS.mmio, batches: generateSpans('mmio', SPANS) });
  const { columns, weight } = spans.take();
  const table = spanTable(arrowColumns(spansToArrow(PLANS.mmio, columns, weight)), spans.table);
  const whole = { brush: null, groups: [], columns: 600, outliersBy: -1, limit: null, latency: null };
  const query = { ...whole, window: { lo, hi }, linear: false };
  return run(table, DURATION, query).selection.distribution.at[0]!;
}

describe.skipIf(chromiumPath === undefined)('the heatmap of the page', () => {
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'ioreq-heatmap-'));
    made = await writeGenerated(await buildTemplate(dir), join(dir, 'page.html'), { mmio: SPANS });
    browser = await launch();
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    rmSync(dir, { recursive: true });
  });

  it('zooms time at the pointer by the wheel, latency with Alt, and back', async () => {
    const { page, faults } = await open(browser, made.file);
    const box = (await page.locator('canvas.interactive').boundingBox())!;
    const share = 0.25;
    const left = 60;
    const plot = box.width - left - 92;
    await page.mouse.move(box.x + left + plot * share, box.y + 150);
    await page.mouse.wheel(0, -300);
    const [lo, hi] = await hashPart(page, 'w');
    // What is below the pointer stays below it, to a pixel.
    expect(Math.abs(lo! + (hi! - lo!) * share - DURATION * share)).toBeLessThan((2 * DURATION) / plot);
    expect(hi! - lo!).toBeLessThan(8e9);
    await page.keyboard.down('Alt');
    await page.mouse.wheel(0, -300);
    const [low, high] = await hashPart(page, 'y');
    expect(high! / low!).toBeLessThan(made.report.mmio!.total!.max_ns! / 20_000);
    // Zooming the picture chooses nothing: the figures are those of the time shown.
    const p50 = medianIn(lo!, hi!);
    expect(p50).not.toBe(made.report.mmio!.total!.p50_ns);
    await page.waitForSelector('#ladder-table th:has-text("selection")');
    await atRest(page);
    expect(await ladder(page, 'p50')).toBe(p50);
    await page.mouse.wheel(0, 900);
    await page.keyboard.up('Alt');
    await without(page, 'y');
    await atRest(page);
    expect(await ladder(page, 'p50')).toBe(p50);
    expect(await hashPart(page, 'w')).toEqual([lo, hi]);
    await page.mouse.wheel(0, 900);
    await without(page, 'w');
    await page.waitForSelector('#ladder-table th:has-text("selection")', { state: 'detached' });
    expect(await ladder(page, 'p50')).toBe(made.report.mmio!.total!.p50_ns);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('has a linear axis, and says of a cell how many, what share and whose is the slowest', async () => {
    const { page, faults } = await open(browser, made.file);
    await page.keyboard.press('KeyK');
    await page.waitForFunction(() => location.hash.includes('n=1'));
    await page.locator('canvas.interactive').focus();
    for (let k = 0; k < 12; k++) await page.keyboard.press('Shift+ArrowDown');
    const readout = page.locator('#heat-readout');
    await page.waitForFunction(() => / 0\sns to /.test(document.querySelector('#heat-readout')!.textContent));
    for (let k = 0; k < 3; k++) await page.keyboard.press('PageUp');
    const [low, high] = await hashPart(page, 'y');
    expect(low).toBe(0);
    expect(high).toBeLessThan(made.report.mmio!.total!.max_ns! / 7);
    const cell = /accesses \([\d.]+\s*%\), slowest: (blk|net|console)\d/;
    for (let k = 0; k < 96 && !cell.test((await readout.textContent())!); k++) {
      await page.keyboard.press('ArrowUp');
    }
    expect(await readout.textContent()).toMatch(cell);
    expect(faults).toEqual([]);
    await page.context().close();
  });
});
