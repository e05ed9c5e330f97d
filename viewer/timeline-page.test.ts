import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writePage } from '../analyzer/page/embed.ts';
import type { Report } from '../analyzer/report/document.ts';
import { generateScenario } from '../fixtures/scenario/index.ts';
import { chromiumPath, launch, open } from './testing/browser.ts';
import { atRest, buildTemplate, ladder } from './testing/pages.ts';
import { pageTables } from './testing/tables.ts';

let dir = '';
let browser: Browser;
let file = '';
let report: Report;

/** `data-ns` of the chosen span's rows in the table of steps: its total, then its stages. */
const steps = (page: Page): Promise<number[]> =>
  page
    .locator('#timeline-steps tbody', { has: page.locator('tr.own') })
    .locator('td[data-ns]')
    .evaluateAll((cells) => cells.map((c) => Number(c.getAttribute('data-ns'))));

describe.skipIf(chromiumPath === undefined)('from the cloud to one request, on a scenario', () => {
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'ioreq-page-'));
    const options = { seed: 3, ioreqs: 700, drain: true, patched: true, hogs: 1, vcpus: 2 };
    generateScenario({ ...options, devices: ['blk', 'net'] }, join(dir, 'raw'));
    const made = await pageTables(join(dir, 'raw'), join(dir, 'trace'));
    report = made.report;
    file = join(dir, 'page.html');
    await writePage(readFileSync(await buildTemplate(dir), 'utf8'), file, report, made.spans);
    browser = await launch();
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    rmSync(dir, { recursive: true });
  });

  it('with the mouse: an outlier’s path, its numbers those of the report, and back with the box intact', async () => {
    const { page, faults } = await open(browser, file);
    const cloud = (await page.locator('canvas.interactive').boundingBox())!;
    await page.mouse.move(cloud.x + 64, cloud.y + 8);
    await page.mouse.down();
    await page.mouse.move(cloud.x + cloud.width - 100, cloud.y + 200, { steps: 3 });
    await page.mouse.up();
    await page.waitForSelector('#ladder-table th:has-text("selection")');
    // Not the figures of a box that the drag went through.
    await atRest(page);
    const p99 = await ladder(page, 'p99');
    await page.locator('.outliers tbody tr').first().click();
    await page.waitForSelector('#timeline-steps tr.own');
    const slowest = report.slowest.mmio[0]!;
    const [total, ...stages] = await steps(page);
    expect(total).toBe(slowest.total_ns);
    expect(stages).toHaveLength(report.mmio.plan!.stages.length);
    expect(stages.reduce((a, b) => a + b, 0)).toBeCloseTo(slowest.total_ns, 3);
    const verdict = (await page.locator('.verdict').textContent())!;
    expect(verdict).toContain(slowest.register);
    const longest = report.mmio.plan!.stages[stages.indexOf(Math.max(...stages))]!;
    expect(verdict).toContain(longest.title);
    expect(await colours(page)).toBeGreaterThan(10);
    await page.locator('.timeline button', { hasText: 'Back' }).click();
    await page.waitForSelector('#ladder-table th:has-text("selection")');
    expect(await ladder(page, 'p99')).toBe(p99);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('with the keyboard alone', async () => {
    const { page, faults } = await open(browser, file);
    await page.keyboard.press('Period');
    await page.waitForSelector('#timeline-steps tr.own');
    expect((await steps(page))[0]).toBe(report.slowest.mmio[0]!.total_ns);
    await page.keyboard.press('Period');
    await page.waitForFunction(
      (ns) => Number(document.querySelector('.own [data-ns]')?.getAttribute('data-ns')) === ns,
      report.slowest.mmio[1]!.total_ns,
    );
    await page.keyboard.press('Comma');
    await page.waitForFunction(
      (ns) => Number(document.querySelector('.own [data-ns]')?.getAttribute('data-ns')) === ns,
      report.slowest.mmio[0]!.total_ns,
    );
    await page.keyboard.press('KeyW');
    await page.waitForFunction(() => location.hash.includes('x='));
    const narrow = page.url();
    await page.keyboard.press('Shift+KeyD');
    await page.waitForFunction((url) => location.href !== url, narrow);
    await page.keyboard.press('Escape');
    await page.waitForSelector('.outliers tr:focus');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#timeline-steps tr.own');
    await page.keyboard.press('Digit4');
    await page.waitForSelector('.families button[aria-pressed="true"]:has-text("Virtio requests")');
    await page.waitForSelector('.tree tr.key');
    await page.keyboard.press('Period');
    await page.waitForSelector('#timeline-steps tr.own:has-text("queue")');
    expect((await steps(page))[0]).toBe(report.slowest.requests[0]!.total_ns);
    expect(await page.locator('#timeline-steps').textContent()).toContain('QueueNotify');
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('opens the same timeline from the link', async () => {
    const { page } = await open(browser, file);
    await page.locator('.outliers tbody tr').nth(2).click();
    await page.waitForSelector('#timeline-steps tr.own');
    await page.keyboard.press('KeyW');
    await page.waitForFunction(() => location.hash.includes('x='));
    const hash = new URL(page.url()).hash;
    const shown = await steps(page);
    await page.context().close();
    const again = await open(browser, file, { hash, ready: '#timeline-steps tr.own' });
    expect(await steps(again.page)).toEqual(shown);
    await again.page.context().close();
  });

  it('draws a box with the keyboard, goes back and forth, sets a limit, pins a note', async () => {
    const { page, faults } = await open(browser, file);
    await page.locator('canvas.interactive').focus();
    await page.keyboard.press('Space');
    for (const key of ['ArrowRight', 'ArrowUp'])
      for (let i = 0; i < 4; i++) await page.keyboard.press(`Shift+${key}`);
    await page.keyboard.press('Space');
    await page.waitForSelector('.chip:has-text("box")');
    await page.waitForFunction(() => location.hash.includes('b='));
    // More than once if the box came to rest between two keys, as on a slow machine.
    for (let i = 0; i < 9; i++) await page.keyboard.press('BracketLeft');
    await page.waitForSelector('.chip', { state: 'detached' });
    await page.keyboard.press('BracketRight');
    await page.waitForSelector('.chip:has-text("box")');
    await page.keyboard.press('Escape');
    await page.keyboard.press('KeyL');
    await page.waitForSelector('dialog input:focus');
    await page.keyboard.type('1 parsec');
    await page.keyboard.press('Enter');
    await page.waitForSelector('dialog [role="alert"]:has-text("Write a time")');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('100us');
    await page.keyboard.press('Enter');
    await page.waitForSelector('text=/slower than 100.0.µs/');
    await page.waitForSelector('dialog', { state: 'detached' });
    await page.keyboard.press('KeyM');
    await page.waitForSelector('dialog input:focus');
    await page.keyboard.type('<b>here</b>');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.chip:has-text("<b>here</b>")');
    await page.waitForFunction(() => location.hash.includes('p=') && location.hash.includes('l='));
    await page.keyboard.press('Shift+Slash');
    await page.waitForSelector('dialog:has-text("Zoom in")');
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog', { state: 'detached' });
    expect(faults).toEqual([]);
    await page.context().close();
  });
});

function colours(page: Page): Promise<number> {
  return page.locator('canvas.lanes').evaluate((canvas) => {
    const { width, height } = canvas as HTMLCanvasElement;
    const pixels = (canvas as HTMLCanvasElement).getContext('2d')!.getImageData(0, 0, width, height).data;
    return new Set(new Uint32Array(pixels.buffer)).size;
  });
}
