import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writePage } from '../analyzer/page/embed.ts';
import { generateScenario } from '../fixtures/scenario/index.ts';
import { chromiumPath, launch, open } from './testing/browser.ts';
import { buildTemplate } from './testing/pages.ts';
import { pageTables } from './testing/tables.ts';

let dir = '';
let browser: Browser;
let file = '';

/** Cells of a row whose texts touch or lie over each other, and cells whose text is cut. */
const faultsOf = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    const found: string[] = [];
    const extent = (cell: Element): DOMRect => {
      const range = document.createRange();
      range.selectNodeContents(cell);
      return range.getBoundingClientRect();
    };
    for (const row of document.querySelectorAll('table.figures tr')) {
      let end = -Infinity;
      let before = '';
      for (const cell of row.children) {
        const { left, right, width } = extent(cell);
        const text = cell.textContent.trim();
        if (text === '' || width === 0 || cell.querySelector('.unseen') !== null) continue;
        const where = `${row.closest('section')?.getAttribute('aria-label') ?? ''}: "${before}" "${text}"`;
        if (left < end + 4) found.push(`touch: ${where}`);
        const style = getComputedStyle(cell);
        if (style.overflow !== 'visible' && cell.scrollWidth > cell.clientWidth + 1)
          found.push(`cut: ${where}`);
        end = right;
        before = text;
      }
    }
    for (const head of document.querySelectorAll('h2'))
      if (head.scrollWidth > head.clientWidth + 1) found.push(`cut: ${head.textContent}`);
    for (const box of document.querySelectorAll('.table-scroll, .centre .panel'))
      if (box.scrollWidth > box.clientWidth + 1) found.push(`scrolls: ${box.textContent.slice(0, 60)}`);
    for (const text of document.querySelectorAll('label, .plain, .segments button'))
      if (text.getClientRects().length > 1 || text.clientHeight > 34)
        found.push(`wraps: ${text.textContent}`);
    if (document.documentElement.scrollWidth > innerWidth) found.push('the page is wider than the window');
    return found;
  });

describe.skipIf(chromiumPath === undefined)('tables at every width', () => {
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'ioreq-widths-'));
    const devices: ('blk' | 'net' | 'console')[] = ['blk', 'net', 'console'];
    generateScenario({ seed: 5, ioreqs: 800, patched: true, vcpus: 2, hogs: 1, devices }, join(dir, 'raw'));
    const made = await pageTables(join(dir, 'raw'), join(dir, 'trace'));
    file = join(dir, 'page.html');
    await writePage(readFileSync(await buildTemplate(dir), 'utf8'), file, made.report, made.spans);
    browser = await launch();
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    rmSync(dir, { recursive: true });
  });

  it.each(['mmio', 'interrupt', 'injection', 'request'])(
    'have columns apart and no text cut: %s',
    async (family) => {
      const { page } = await open(browser, file, { hash: `#f=${family}` });
      for (const width of [1000, 1280, 1440, 1640, 1920, 2560]) {
        await page.setViewportSize({ width, height: 900 });
        await page.waitForTimeout(150);
        expect(await faultsOf(page), `${width} px`).toEqual([]);
      }
      await page.context().close();
    },
  );
});
