import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PageReport } from '../analyzer/page/page-format.ts';
import type { SpanFamily } from '../trace/spans.ts';
import { chromiumPath, launch, open, warnWithoutBrowser } from './testing/browser.ts';
import { atRest, buildTemplate, ladder, writeGenerated } from './testing/pages.ts';

warnWithoutBrowser();

let dir = '';
let browser: Browser;
let template = '';

const makePage = (
  name: string,
  counts: Partial<Record<SpanFamily, number>>,
  change?: (report: PageReport) => void,
  limit?: number,
): ReturnType<typeof writeGenerated> => writeGenerated(template, join(dir, name), counts, change, limit);

async function dragBox(page: Page): Promise<void> {
  const box = (await page.locator('canvas.interactive').boundingBox())!;
  await page.mouse.move(box.x + 200, box.y + 12);
  await page.mouse.down();
  await page.mouse.move(box.x + 450, box.y + 110, { steps: 4 });
  await page.mouse.up();
  await page.waitForSelector('#ladder-table th:has-text("selection")');
  await atRest(page);
}

describe.skipIf(chromiumPath === undefined)('the page, opened from disk without a network', () => {
  let shared: { file: string; report: PageReport };

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'ioreq-viewer-'));
    template = await buildTemplate(dir);
    browser = await launch();
    shared = await makePage('page.html', { mmio: 30_000, interrupt: 3000, injection: 3000, request: 3000 });
  }, 60_000);

  afterAll(async () => {
    await browser.close();
    rmSync(dir, { recursive: true });
  });

  it('draws every part, with no error and no request, and the figures of the report', async () => {
    const { page, faults } = await open(browser, shared.file);
    for (const [row, key] of [
      ['mean', 'mean_ns'],
      ['p50', 'p50_ns'],
      ['p90', 'p90_ns'],
      ['p99', 'p99_ns'],
      ['p99.9', 'p999_ns'],
      ['max', 'max_ns'],
    ] as const) {
      expect(await ladder(page, row), row).toBe(shared.report.mmio!.total![key]);
    }
    const stages = page.locator('table.stages tbody tr');
    expect(await stages.count()).toBe(6);
    for (const [k, stage] of shared.report.mmio!.stages!.entries()) {
      const cells = stages.nth(k).locator('td[data-ns]');
      expect(Number(await cells.nth(0).getAttribute('data-ns'))).toBe(stage.mean_ns);
      expect(Number(await cells.nth(2).getAttribute('data-ns'))).toBe(stage.p99_ns);
    }
    const first = page.locator('table.outliers td[data-ns]').first();
    expect(Number(await first.getAttribute('data-ns'))).toBe(shared.report.mmio!.total!.max_ns);
    expect(await paintedColours(page, 'canvas.layer >> nth=0')).toBeGreaterThan(20);
    expect(await paintedColours(page, '.ladder-plot canvas')).toBeGreaterThan(5);
    expect(await paintedColours(page, '.overview-plot canvas')).toBeGreaterThan(5);
    expect(await paintedColours(page, 'canvas.pointer')).toBeGreaterThan(5);
    expect(await page.title()).toBe('P3.trace · ioreq-trace');
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('shows the page’s own percentiles as the report has them', async () => {
    // A window that takes in everything but is set makes the page count for itself.
    const { page } = await open(browser, shared.file, { hash: '#b=0-12000000000-0-100000000000' });
    await page.waitForSelector('#ladder-table th:has-text("selection")');
    expect(await ladder(page, 'p99')).toBe(shared.report.mmio!.total!.p99_ns);
    expect(await ladder(page, 'p99', 1)).toBe(shared.report.mmio!.total!.p99_ns);
    expect(await ladder(page, 'p99.9')).toBe(shared.report.mmio!.total!.p999_ns);
    await page.context().close();
  });

  it('filters everything by a box on the heatmap, and by a device', async () => {
    const { page, faults } = await open(browser, shared.file);
    const p50 = await ladder(page, 'p50');
    const before = await page.locator('section[aria-label="Flame graph"] .readout').textContent();
    await dragBox(page);
    expect(await ladder(page, 'p50')).toBeGreaterThan(2 * p50);
    expect(await ladder(page, 'p50', 1)).toBe(p50);
    expect(await page.locator('section[aria-label="Flame graph"] .readout').textContent()).not.toBe(before);
    await page.waitForFunction(() => location.hash.includes('b='));
    await page.keyboard.press('Tab');
    await page.locator('canvas.interactive').focus();
    await page.keyboard.press('Escape');
    await page.waitForSelector('#ladder-table th:has-text("selection")', { state: 'detached' });
    await page.locator('.tree tr.device', { hasText: 'net0' }).click();
    await page.waitForSelector('.chip:has-text("net0")');
    await page.waitForFunction(() =>
      [...document.querySelectorAll('.outliers tbody tr')].every((r) => r.textContent.includes('net0')),
    );
    expect(await page.locator('.tree tr.device').count()).toBe(4);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('shows a slow access in full, with bounds as bounds', async () => {
    const { page } = await open(browser, shared.file);
    await page.locator('.outliers tbody tr').nth(1).click();
    await page.waitForSelector('.waterfall');
    expect(await page.locator('.waterfall .boundary').count()).toBe(7);
    expect(await page.locator('.waterfall .stage-row').count()).toBe(6);
    expect(await page.locator('.waterfall').textContent()).toContain('±5.376');
    await page.locator('.families button', { hasText: 'Injections' }).click();
    await page.waitForSelector('table.stages tr.late');
    expect(await page.locator('table.stages tr.late').first().textContent()).toContain('≤');
    await page.locator('.outliers tbody tr').first().click();
    await page.waitForSelector('.waterfall .boundary.late');
    await page.context().close();
  });

  it('keeps hostile names as inert text', async () => {
    const evil = '<img src=x onerror=alert(1)></script><script>alert(2)</script>\u202e\u0007';
    const { file } = await makePage('evil.html', { mmio: 2000 }, (report) => {
      report.devices![0]!.name = evil;
      report.trace!.path = evil;
      report.trace!.host = { xenVersion: evil, machine: evil };
      report.warnings = [evil];
      report.mmio!.left_out = [{ why: evil, count: 3 }];
    });
    expect(readFileSync(file, 'utf8')).not.toContain('onerror');
    const { page, faults } = await open(browser, file);
    expect(await page.locator('#app img, #app script').count()).toBe(0);
    expect(await page.locator('h1').textContent()).toContain('<img src=x onerror=alert(1)></script>');
    expect(await page.locator('h1').textContent()).toContain('\\u202e\\u0007');
    expect(await page.locator('.tree').textContent()).toContain('<img src=x');
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('has a light and a dark theme, the system’s unless one is chosen', async () => {
    const background = (page: Page): Promise<string> =>
      page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const { page, faults } = await open(browser, shared.file, { colorScheme: 'dark' });
    const dark = await background(page);
    await page.locator('button.theme').click();
    await page.waitForFunction(() => document.documentElement.dataset['theme'] === 'light');
    const light = await background(page);
    expect(light).not.toBe(dark);
    await page.emulateMedia({ colorScheme: 'light' });
    expect(await background(page)).toBe(light);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('says what is not there', async () => {
    const { file } = await makePage('few.html', { mmio: 40, injection: 0 });
    const { page, faults } = await open(browser, file);
    expect(await page.locator('.families').textContent()).toContain('none in this trace');
    await page.locator('.families button', { hasText: 'Virtio requests' }).click();
    await page.waitForSelector('text=This trace holds no requests');
    await page.locator('.families button', { hasText: 'MMIO' }).click();
    await page.waitForSelector('#ladder-table .weak');
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('says that it is a sample, and shows the report’s figures', async () => {
    const { file, report } = await makePage('sample.html', { mmio: 20_000 }, undefined, 5000);
    const { page } = await open(browser, file);
    expect(await page.locator('.banner').textContent()).toMatch(/20.000 accesses; this page holds 5.000/);
    expect(await ladder(page, 'p50')).toBe(report.mmio!.total!.p50_ns);
    expect(await ladder(page, 'p99')).toBe(report.mmio!.total!.p99_ns);
    // Overview and heatmap count every span, not the sample.
    const cells = page.locator('#heat-table tbody tr td:nth-child(2)');
    const counts = (await cells.allTextContents()).map((t) => Number(t.replace(/\s/g, '')));
    expect(counts.reduce((a, b) => a + b, 0)).toBe(report.mmio!.total!.count);
    await page.context().close();
  });

  it('explains a file that was cut short, and one without data', async () => {
    const html = readFileSync(shared.file, 'utf8');
    const cut = join(dir, 'cut.html');
    writeFileSync(cut, html.slice(0, html.indexOf('id="ioreq-spans-mmio"') + 5000));
    const first = await open(browser, cut, { ready: '[role="alert"]' });
    expect(await first.page.locator('[role="alert"]').textContent()).toContain('cannot be shown');
    await first.page.context().close();
    const { page } = await open(browser, template, { ready: 'text=This page holds no trace' });
    await page.context().close();
  });
});

/** Distinct colours on a canvas: more than a few means that something is drawn. */
function paintedColours(page: Page, selector: string): Promise<number> {
  return page.locator(selector).evaluate((canvas) => {
    const { width, height } = canvas as HTMLCanvasElement;
    const pixels = (canvas as HTMLCanvasElement).getContext('2d')!.getImageData(0, 0, width, height).data;
    return new Set(new Uint32Array(pixels.buffer)).size;
  });
}
