import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writePage } from '../analyzer/page/embed.ts';
import type { Report } from '../analyzer/report/document.ts';
import { KEYBOARD, MOUSE } from '../scripts/walks.mjs';
import { duration, percent } from './format.ts';
import { chromiumPath, launch, open, warnWithoutBrowser } from './testing/browser.ts';
import { buildTemplate } from './testing/pages.ts';
import { pageTables } from './testing/tables.ts';

warnWithoutBrowser();

let dir = '';
let browser: Browser;
let file = '';
let report: Report;

/** A person reads between the steps; the page itself must not need the minute. */
const MOST_MS = 20_000;

describe.skipIf(chromiumPath === undefined)('from the demo’s page to what one QueueNotify waited for', () => {
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'ioreq-walk-'));
    const capture = new URL('../fixtures/captures/P1.tar.gz', import.meta.url).pathname;
    execFileSync('tar', ['xzf', capture, '-C', dir]);
    const made = await pageTables(join(dir, 'P1'), join(dir, 'trace'));
    report = made.report;
    file = join(dir, 'page.html');
    await writePage(readFileSync(await buildTemplate(dir), 'utf8'), file, report, made.spans);
    browser = await launch();
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    rmSync(dir, { recursive: true });
  });

  it.each([
    ['mouse', MOUSE],
    ['keyboard', KEYBOARD],
  ] as const)('with the %s alone', async (_, steps) => {
    const { page, faults } = await open(browser, file);
    const from = performance.now();
    for (const { act } of steps) await act(page);
    // What the report says of the slowest QueueNotify of all.
    const slow = report.slowest.mmio.find((s) => s.register === 'QueueNotify')!;
    const lengths = slow.stages.filter((s) => s.in_total).map((s) => s.ns ?? 0);
    const longest = slow.stages.filter((s) => s.in_total)[lengths.indexOf(Math.max(...lengths))]!;
    const { title } = report.mmio.plan!.stages.find((s) => s.name === longest.name)!;
    expect(title).toBe('Dom0 interrupt → device model wakes');
    expect(await page.locator('.verdict').textContent()).toBe(
      `${slow.device} QueueNotify write took ${duration(slow.total_ns)}; ${duration(longest.ns)} of it ` +
        `(${percent(longest.ns! / slow.total_ns)}): ${title}.`,
    );
    expect(performance.now() - from).toBeLessThan(MOST_MS);
    // Back in the cloud, what was chosen is as it was.
    await page.keyboard.press('Escape');
    await page.waitForSelector('.chip:has-text("QueueNotify")');
    await page.waitForSelector('.outliers tbody tr');
    expect(faults).toEqual([]);
    await page.context().close();
  });
});
