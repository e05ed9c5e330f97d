import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writePage } from '../analyzer/page/embed.ts';
import type { PageReplay } from '../analyzer/page/page-format.ts';
import type { PageSpans } from '../analyzer/page/page-spans.ts';
import type { Report } from '../analyzer/report/document.ts';
import { generateScenario } from '../fixtures/scenario/index.ts';
import { chromiumPath, launch, open } from './testing/browser.ts';
import { SPAN_FLAG } from '../trace/spans.ts';
import { atRest, buildTemplate } from './testing/pages.ts';
import { pageTables } from './testing/tables.ts';

let dir = '';
let browser: Browser;
let file = '';
let a: Report;
let b: Report;
let aSpans: PageSpans[];
let bSpans: PageSpans[];

/** Start of the first access that counts, ns. */
function first(spans: readonly PageSpans[]): number {
  const { columns } = spans.find(({ plan }) => plan.family === 'mmio')!.take();
  const { start, total, flags } = columns;
  return start[total.findIndex((ns, i) => !Number.isNaN(ns) && (flags[i]! & UNUSABLE) === 0)]!;
}
const UNUSABLE = SPAN_FLAG.LOSS | SPAN_FLAG.INVALIDATE;

const nsOf = (page: Page, row: string): Promise<number[]> =>
  page
    .locator('#compare-table tbody tr', { has: page.locator(`th:text-is("${row}")`) })
    .locator('td[data-ns]')
    .evaluateAll((cells) => cells.map((c) => Number(c.getAttribute('data-ns'))));

async function saved(page: Page, click: () => Promise<void>): Promise<{ name: string; bytes: Buffer }> {
  const [download] = await Promise.all([page.waitForEvent('download'), click()]);
  return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
}

interface AxeRun {
  violations: { id: string; impact: string; nodes: { html: string }[] }[];
}

describe.skipIf(chromiumPath === undefined)('comparison, exports, tables', () => {
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'ioreq-views-'));
    const scenario = { ioreqs: 900, drain: true, patched: true, vcpus: 2, batch: 3 } as const;
    generateScenario({ ...scenario, seed: 1, devices: ['blk', 'net'] }, join(dir, 'a'));
    generateScenario(
      { ...scenario, seed: 2, devices: ['blk'], hogs: 2, serviceNs: 900_000, patched: false },
      join(dir, 'b'),
    );
    const one = await pageTables(join(dir, 'a'), join(dir, 'a.trace'));
    const second = await pageTables(join(dir, 'b'), join(dir, 'b.trace'));
    [a, b] = [one.report, second.report];
    aSpans = one.spans;
    bSpans = second.spans;
    file = join(dir, 'page.html');
    const template = readFileSync(await buildTemplate(dir), 'utf8');
    const other = { report: second.report, families: second.spans };
    await writePage(template, file, one.report, one.spans, other);
    browser = await launch();
  }, 90_000);
  afterAll(async () => {
    await browser.close();
    rmSync(dir, { recursive: true });
  });

  it('compares two traces, group by group, and says that the hooks differ', async () => {
    const { page, faults } = await open(browser, file, {
      hash: '#v=compare',
      ready: '#compare-table tbody tr',
    });
    await page.waitForSelector('#compare-table tbody tr th:text-is("all")');
    const [p50a, p50b, p99a, p99b, delta] = await nsOf(page, 'all');
    expect([p50a, p99a]).toEqual([a.mmio.total.p50_ns, a.mmio.total.p99_ns]);
    expect([p50b, p99b]).toEqual([b.mmio.total.p50_ns, b.mmio.total.p99_ns]);
    expect(delta).toBe(p99b! - p99a!);
    expect(await page.locator('.warning').textContent()).toContain('only A has the instants trap, send');
    expect(await page.locator('#compare-table').textContent()).toContain('only in A');
    // Requests: the service is slower by construction.
    await page.keyboard.press('Digit4');
    await page.keyboard.press('Digit6');
    await page.waitForSelector('#compare-table tbody tr:has-text("queue 0")');
    const slower = await nsOf(page, 'blk0 queue 0 in');
    expect(slower[4]).toBeGreaterThan(0);
    expect(await page.locator('#compare-table tr', { hasText: 'blk0 queue 0 in' }).textContent()).toMatch(
      /[^t] significant|significant,/,
    );
    await page.keyboard.press('Digit4');
    await page.keyboard.press('KeyB');
    await page.waitForSelector('.top [aria-pressed="true"]:text-is("B")');
    // The other one stands behind it, dashed.
    await page.waitForSelector('#ladder-lines:has-text("A all")');
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('keeps the distance from the first span when it shows the other trace', async () => {
    const { page, faults } = await open(browser, file, {
      hash: `#w=${a.trace.duration_ns * 0.5}-${a.trace.duration_ns * 0.6}`,
    });
    const window = async (): Promise<number[]> => {
      await atRest(page);
      return (await page.evaluate(() => location.hash))
        .match(/w=([\d.]+)-([\d.]+)/)!
        .slice(1)
        .map(Number);
    };
    const [lo, hi] = await window();
    await page.keyboard.press('KeyB');
    const shift = first(bSpans) - first(aSpans);
    expect(shift).not.toBe(0);
    const moved = await window();
    expect(moved[0]! - lo!).toBeCloseTo(shift, -1);
    expect(moved[1]! - hi!).toBeCloseTo(shift, -1);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('draws a line each of a few chosen groups into the percentiles, and names them', async () => {
    const { page, faults } = await open(browser, file);
    const rows = page.locator('.tree tr.device ~ tr:not(.device)');
    const names: string[] = [];
    for (const n of [0, 1]) {
      await rows.nth(n).click({ modifiers: ['Control'] });
      names.push((await page.locator('.chip').nth(n).textContent())!);
    }
    await atRest(page);
    const lines = (await page.locator('#ladder-lines').textContent())!;
    expect(lines).toMatch(/^all B .* selection $/);
    expect(await page.locator('#ladder-lines > span').count()).toBe(5);
    expect(names.length).toBe(2);
    // The answer to the last question is still there when the groups are chosen no more.
    await page.locator('button', { hasText: 'Show all' }).click();
    await page.waitForSelector('#ladder-lines:has-text("B all")');
    expect(await page.locator('[role=alert]').count()).toBe(0);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('saves what is chosen in every format', async () => {
    const { page, faults } = await open(browser, file);
    await page.locator('.tree tr.device', { hasText: 'blk0' }).click();
    await page.waitForSelector('.chip:has-text("blk0")');
    const kinds = async (text: string): Promise<{ name: string; bytes: Buffer }> => {
      await page.keyboard.press('KeyE');
      return saved(page, () => page.locator('dialog button', { hasText: text }).first().click());
    };
    const csv = (await kinds('CSV')).bytes.toString().trim().split('\r\n');
    const blk = a.devices.findIndex((d) => d.name === 'blk0');
    expect(csv.length - 1).toBeLessThanOrEqual(a.devices[blk]!.ioreqs);
    expect(csv.length).toBeGreaterThan(100);
    for (const line of csv.slice(1)) expect(line).toContain(',blk0,');
    const folded = (await kinds('Folded')).bytes.toString();
    expect(folded).toMatch(/^mmio;blk0;QueueNotify;write;.* \d+$/m);
    const profile = JSON.parse((await kinds('speedscope')).bytes.toString()) as { profiles: unknown[] };
    expect(profile.profiles).toHaveLength(1);
    expect((await kinds('Perfetto')).bytes.length).toBeGreaterThan(20_000);
    await page.keyboard.press('KeyE');
    const row = page.locator('dialog .exports', { hasText: 'Flame graph' });
    const png = await saved(page, () => row.locator('button', { hasText: 'PNG' }).click());
    expect(png.bytes.subarray(1, 4).toString()).toBe('PNG');
    const css = await page.locator('canvas.pointer').evaluate((c) => c.clientWidth);
    expect(png.bytes.readUInt32BE(16)).toBe(2 * css);
    for (const chart of ['Flame graph', 'Overview', 'Latency over time', 'Percentiles']) {
      const svg = await saved(page, () =>
        page.locator('dialog .exports', { hasText: chart }).locator('button', { hasText: 'SVG' }).click(),
      );
      const text = svg.bytes.toString();
      const shapes = await page.evaluate((t) => {
        const parsed = new DOMParser().parseFromString(t, 'image/svg+xml');
        return parsed.querySelector('parsererror') === null
          ? parsed.querySelectorAll('rect, path, text').length
          : -1;
      }, text);
      expect(shapes, chart).toBeGreaterThan(5);
    }
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('shows the stored replay, its strings as text', async () => {
    const shown = join(dir, 'replayed.html');
    const evil = '<img src=x onerror=alert(1)>';
    const replay: PageReplay = {
      target: `built-in ${evil}`,
      level: 'rings and memory',
      equal: false,
      proven: false,
      count: 3,
      divergences: [
        { step: 3026, where: 'blk0 queue 0 element 0', field: 'byte 5', expected: '0xc8', got: evil },
      ],
    };
    const template = readFileSync(join(dir, 'index.html'), 'utf8');
    await writePage(template, shown, { ...b, replay }, bSpans);
    const { page, faults } = await open(browser, shown);
    const cells = page.locator('#replay-table tbody td');
    await cells.first().waitFor();
    expect((await cells.allTextContents()).map((t) => t.replace(/^(\d)\s(\d{3})$/, '$1$2'))).toEqual([
      '3026',
      'blk0 queue 0 element 0 byte 5',
      '0xc8',
      evil,
    ]);
    expect(await page.locator('#replay-result').textContent()).toBe(
      `⚠ Differs in 3 places: built-in ${evil}, rings and memory`,
    );
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it("names the stages of an interrupt's way that the trace cannot show", async () => {
    const alone = join(dir, 'b.html');
    await writePage(readFileSync(join(dir, 'index.html'), 'utf8'), alone, b, bSpans);
    const { page, faults } = await open(browser, alone);
    await page.keyboard.press('Digit2');
    const rows = page.locator('.stages tr.absent');
    await rows.first().waitFor();
    const shown = await rows.evaluateAll((all) =>
      all.map((r) => [...r.children].map((c) => c.textContent.replaceAll(' ', ''))),
    );
    const unseen = b.interrupts.end_to_end.stages.filter((s) => !s.seen);
    expect(unseen.length).toBeGreaterThan(2);
    expect(shown).toEqual(unseen.map(({ name, why }) => [name, why].map((t) => t!.replaceAll(' ', ''))));
    await page.goto(pathToFileURL(file).href);
    await page.keyboard.press('Digit2');
    await page.waitForSelector('#line-table');
    expect(await rows.count()).toBe(a.interrupts.end_to_end.stages.filter((s) => !s.seen).length);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('has the tables of interrupts, queues and vCPUs', async () => {
    const { page, faults } = await open(browser, file);
    const vcpus = await page
      .locator('#vcpu-table tbody tr')
      .evaluateAll((rows) => rows.map((r) => Number(r.children[1]!.textContent)));
    expect(vcpus.reduce((x, y) => x + y, 0)).toBe(a.mmio.total.count);
    await page.keyboard.press('Digit2');
    await page.waitForSelector('#line-table');
    const lines = await page
      .locator('#line-table tbody tr')
      .evaluateAll((rows) => rows.map((r) => Number(r.children[1]!.textContent)));
    expect(lines.reduce((x, y) => x + y, 0)).toBe(a.interrupts.total.count);
    expect(await page.locator('#line-table').textContent()).toContain('≤');
    await page.keyboard.press('Digit4');
    await page.waitForSelector('#queue-table');
    const queue = page.locator('#queue-table tr', { hasText: 'blk0 queue 0' });
    expect(await queue.textContent()).not.toContain('⚠');
    const depth = a.requests.depth.find((d) => d.device === 'blk0')!;
    expect(Number(await queue.locator('td').nth(4).textContent())).toBe(depth.max);
    await page.locator('text=Draw what is chosen').click();
    await page.waitForSelector('#timeline-steps');
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('searches, inverts and turns the flame graph', async () => {
    const { page, faults } = await open(browser, file);
    await page.keyboard.press('Slash');
    await page.waitForSelector('input:focus');
    await page.keyboard.type('QueueNotify');
    await page.waitForSelector('text=/found: \\d/');
    const all = a.mmio.stages.reduce((sum, s) => sum + (s.in_total ? s.mean_ns! * s.count : 0), 0);
    expect(all).toBeGreaterThan(0);
    await page.locator('text=stages first').click();
    await page.locator('text=root below').click();
    await page.waitForFunction(() => location.hash.includes('k=ui'));
    await page.locator('button', { hasText: 'vCPU stalled' }).click();
    await page.waitForFunction(() => location.hash.includes('c=stalled'));
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it.each(['light', 'dark'] as const)(
    'has no serious finding of axe in the %s theme',
    async (colorScheme) => {
      const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
      const { page } = await open(browser, file, { colorScheme });
      const check = async (where: string): Promise<void> => {
        await page.evaluate(axe);
        const run = await page.evaluate<AxeRun>('axe.run(document, { resultTypes: ["violations"] })');
        const serious = run.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical');
        expect(serious.map((v) => `${where}: ${v.id} ${v.nodes[0]!.html}`)).toEqual([]);
      };
      await check('accesses');
      await page.keyboard.press('Digit4');
      await page.waitForSelector('#queue-table');
      await check('requests');
      await page.keyboard.press('Period');
      await page.waitForSelector('#timeline-steps tr.own');
      await check('timeline');
      await page.keyboard.press('Digit6');
      await page.waitForSelector('#compare-table tbody tr');
      await check('compare');
      await page.keyboard.press('Shift+Slash');
      await page.waitForSelector('dialog');
      await check('keys');
      await page.context().close();
    },
  );
});
