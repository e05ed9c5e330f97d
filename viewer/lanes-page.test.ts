import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writePage } from '../analyzer/page/embed.ts';
import type { PageReplay } from '../analyzer/page/page-format.ts';
import type { PageSpans } from '../analyzer/page/page-spans.ts';
import type { Report } from '../analyzer/report/document.ts';
import { generateScenario } from '../fixtures/scenario/index.ts';
import { chromiumPath, launch, open } from './testing/browser.ts';
import { buildTemplate } from './testing/pages.ts';
import { pageTables } from './testing/tables.ts';

let dir = '';
let browser: Browser;
let file = '';
let template = '';
let report: Report;
let spans: PageSpans[];

const EVIL = '<img src=x onerror=alert(1)>';
const divergence = (n: number, at_ns?: number): PageReplay['divergences'][0] => ({
  step: 100 * n,
  where: `blk0 ${EVIL}`,
  field: 'value',
  expected: `0x${n}`,
  got: EVIL,
  ...(at_ns === undefined ? {} : { at_ns }),
});

async function replayed(name: string, starts: readonly (number | undefined)[]): Promise<string> {
  const shown = join(dir, name);
  const divergences = starts.map((at, n) => divergence(n + 1, at));
  const replay = { target: 'built-in', level: 'registers', equal: false, proven: false, count: 9 };
  await writePage(template, shown, { ...report, replay: { ...replay, records: 1000, divergences } }, spans);
  return shown;
}

const hashHas = (page: Page, part: string): Promise<unknown> =>
  page.waitForFunction((p) => decodeURIComponent(location.hash).includes(p), part);
const chosenNs = (page: Page, ns: number): Promise<unknown> =>
  page.waitForFunction(
    (t) => Number(document.querySelector('.own [data-ns]')?.getAttribute('data-ns')) === t,
    ns,
  );

describe.skipIf(chromiumPath === undefined)('the timeline: replay, lanes, colours', () => {
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'ioreq-lanes-'));
    const options = { seed: 7, ioreqs: 500, drain: true, patched: true, vcpus: 2, batch: 3 };
    generateScenario({ ...options, devices: ['blk', 'net'] }, join(dir, 'raw'));
    const made = await pageTables(join(dir, 'raw'), join(dir, 'trace'));
    ({ report, spans } = made);
    template = readFileSync(await buildTemplate(dir), 'utf8');
    file = join(dir, 'page.html');
    await writePage(template, file, report, spans);
    browser = await launch();
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    rmSync(dir, { recursive: true });
  });

  it('shows where the replay differed, at its access, by key and by mouse', async () => {
    const [a, b] = [...report.slowest.mmio.slice(0, 2)].sort((x, y) => x.start_ns - y.start_ns);
    const shown = await replayed('timed.html', [a!.start_ns, b!.start_ns]);
    const { page, faults } = await open(browser, shown);
    await page.keyboard.press('KeyN');
    await chosenNs(page, a!.total_ns);
    const told = page.locator('#divergence');
    expect(await told.textContent()).toContain(`1 of 2: step 100, access at`);
    expect(await told.textContent()).toContain(`recorded 0x1, got ${EVIL}`);
    expect(await page.locator('.replay-strip').textContent()).toContain('over the trace’s time');
    await page.keyboard.press('KeyN');
    await chosenNs(page, b!.total_ns);
    expect(await told.textContent()).toContain('2 of 2: step 200');
    await page.keyboard.press('KeyN');
    expect(await told.textContent()).toContain('2 of 2');
    await page.keyboard.press('Shift+KeyN');
    await chosenNs(page, a!.total_ns);
    // The mark in the picture stands at the access's start; the strip's at its part of the whole.
    await page.locator('#replay-table tbody tr').nth(1).click();
    await chosenNs(page, b!.total_ns);
    await page.keyboard.press('KeyF');
    const strip = (await page.locator('.replay-strip svg').boundingBox())!;
    const at = (await page.locator('.replay-strip rect').first().boundingBox())!;
    const part = (at.x + at.width / 2 - strip.x) / strip.width;
    expect(Math.abs(part - a!.start_ns / report.trace.duration_ns)).toBeLessThan(0.005);
    await page.mouse.click(at.x + at.width / 2, at.y + 4);
    await chosenNs(page, a!.total_ns);
    await hashHas(page, 'r=0');
    expect(await page.locator('#app img').count()).toBe(0);
    const hash = new URL(page.url()).hash;
    await page.context().close();
    const again = await open(browser, shown, { hash, ready: '#divergence b' });
    expect(await again.page.locator('#divergence').textContent()).toContain('1 of 2');
    expect([...faults, ...again.faults]).toEqual([]);
    await again.page.context().close();
  });

  it('draws them over the recording’s records where their times are not known, and says so', async () => {
    const { page, faults } = await open(browser, await replayed('steps.html', [5, undefined]));
    await page.keyboard.press('Digit5');
    const strip = page.locator('.replay-strip');
    await strip.waitFor();
    expect(await strip.textContent()).toContain('recording’s 1\u2009000 records');
    expect(await strip.textContent()).toContain('has no times');
    const box = (await strip.locator('svg').boundingBox())!;
    await page.mouse.click(box.x + box.width * 0.2, box.y + 5);
    await page.waitForSelector('#divergence:has-text("2 of 2: step 200")');
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('lets lanes be moved by mouse and by keyboard, and keeps their order in the link', async () => {
    const { page, faults } = await open(browser, file);
    await page.keyboard.press('Digit4');
    await page.waitForSelector('#queue-table');
    await page.keyboard.press('Period');
    await page.waitForSelector('#timeline-steps tr.own');
    await page.locator('canvas.lanes').focus();
    const said = page.locator('p.unseen[role="status"]');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    const second = /^Lane (.+)$/.exec((await said.textContent())!)![1]!;
    await page.keyboard.press('Shift+ArrowUp');
    await page.waitForFunction(
      (t) => document.querySelector('p.unseen[role="status"]')?.textContent.startsWith(`${t}: lane 1 of`),
      second,
    );
    await page.waitForFunction(() => location.hash.includes('q='));
    const byKey = new URLSearchParams(new URL(page.url()).hash.slice(1)).get('q')!;
    expect(byKey).not.toContain('_');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => !location.hash.includes('q='));

    // The last lane's name, dragged to the top; then clicked, which puts it back.
    const box = (await page.locator('canvas.lanes').boundingBox())!;
    await page.mouse.move(box.x + 20, box.y + box.height - 14);
    await page.mouse.down();
    await page.mouse.move(box.x + 24, box.y + 40, { steps: 4 });
    await page.mouse.up();
    await page.waitForFunction(() => location.hash.includes('q='));
    const byMouse = new URLSearchParams(new URL(page.url()).hash.slice(1)).get('q')!;
    expect(byMouse).toMatch(/^l\d+$/);
    const hash = new URL(page.url()).hash;
    const again = await open(browser, file, { hash, ready: '#timeline-steps tr.own' });
    await again.page.locator('canvas.lanes').focus();
    await again.page.keyboard.press('ArrowDown');
    expect(await again.page.locator('p.unseen[role="status"]').textContent()).toMatch(/^Lane .* line/);
    await again.page.context().close();
    await page.mouse.click(box.x + 20, box.y + 40);
    await page.waitForFunction(() => !location.hash.includes('q='));
    expect([...faults, ...again.faults]).toEqual([]);
    await page.context().close();
  });

  it('colours requests by type, size and time in flight; goes to a span by its number', async () => {
    const { page, faults } = await open(browser, file);
    await page.keyboard.press('Digit4');
    await page.waitForSelector('#queue-table');
    await page.locator('text=Draw what is chosen').click();
    await page.waitForSelector('.colours select');
    const pixels = (): Promise<string> =>
      page.locator('canvas.lanes').evaluate((c) => (c as HTMLCanvasElement).toDataURL());
    const seen = new Set([await pixels()]);
    for (const [by, name] of [
      ['type', 'neither'],
      ['size', '≤ 4 KiB'],
      ['latency', 'longer in flight'],
    ] as const) {
      await page.locator('.colours select').selectOption(by);
      await page.waitForSelector(`.colours span:has-text("${name}")`);
      await hashHas(page, `h=${by}`);
      seen.add(await pixels());
    }
    expect(seen.size).toBe(4);
    await page.locator('canvas.lanes').focus();
    for (const wrong of ['#99999999', '#-1']) {
      await page.keyboard.press('KeyG');
      await page.waitForSelector('dialog input:focus');
      await page.keyboard.type(wrong);
      await page.keyboard.press('Enter');
      await page.waitForSelector('dialog .wrong:not(:empty)');
      await page.keyboard.press('Escape');
      await page.waitForSelector('dialog', { state: 'detached' });
    }
    await page.keyboard.press('KeyG');
    await page.waitForSelector('dialog input:focus');
    await page.keyboard.type('#17');
    await page.keyboard.press('Enter');
    await hashHas(page, 's=17');
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('counts raises that came before the one before was handled', async () => {
    const { page } = await open(browser, file);
    await page.keyboard.press('Digit2');
    await page.waitForSelector('#line-table');
    const cells = await page
      .locator('#line-table tbody tr')
      .evaluateAll((rows) =>
        rows.map((r) => [1, 2, 4].map((k) => Number(r.children[k]!.textContent.replace(/\D/g, '')))),
      );
    const sum = (k: number): number => cells.reduce((total, row) => total + row[k]!, 0);
    expect(sum(0)).toBe(report.interrupts.total.count);
    // Every interrupt of the scenario has its raise, so all others are raises of a line that is up.
    expect(sum(2)).toBe(sum(1) - sum(0));
    await page.context().close();
  });
});
