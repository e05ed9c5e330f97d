import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writePage } from '../analyzer/page/embed.ts';
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

interface AxeRun {
  violations: { id: string; impact: string; nodes: { html: string }[] }[];
}
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

async function serious(page: Page, where: string): Promise<string[]> {
  await page.evaluate(AXE);
  const run = await page.evaluate<AxeRun>('axe.run(document, { resultTypes: ["violations"] })');
  return run.violations
    .filter((v) => v.impact === 'serious' || v.impact === 'critical')
    .map((v) => `${where}: ${v.id} ${v.nodes[0]!.html.slice(0, 200)}`);
}

/** Views and dialogs that are not in views-page.test.ts, by the key that leads there and what then stands there. */
const PLACES: readonly [name: string, key: string, ready: string][] = [
  ['interrupts', 'Digit2', '#line-table'],
  ['injections', 'Digit3', '#line-table'],
  ['a difference of the replay', 'KeyN', '#divergence b'],
  ['exports', 'KeyE', 'dialog .exports'],
  ['go to', 'KeyG', 'dialog input'],
];

describe.skipIf(chromiumPath === undefined)('manners of the page', () => {
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'ioreq-manners-'));
    const options = { seed: 11, ioreqs: 400, drain: true, patched: true, vcpus: 2 };
    generateScenario({ ...options, devices: ['blk', 'net'] }, join(dir, 'raw'));
    const made = await pageTables(join(dir, 'raw'), join(dir, 'trace'));
    report = made.report;
    template = readFileSync(await buildTemplate(dir), 'utf8');
    file = join(dir, 'page.html');
    const [slow] = report.slowest.mmio;
    const divergences = [
      {
        step: 7,
        at_ns: slow!.start_ns,
        where: 'blk0 Status',
        field: 'value',
        expected: '0xf',
        got: '0x7',
      },
    ];
    const replay = { target: 'built-in', level: 'registers', equal: false, proven: false, count: 1 };
    await writePage(
      template,
      file,
      { ...report, replay: { ...replay, records: 90, divergences } },
      made.spans,
    );
    browser = await launch();
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    rmSync(dir, { recursive: true });
  });

  it.each(['light', 'dark'] as const)(
    'no serious finding of axe in any other view, %s',
    async (colorScheme) => {
      const { page, faults } = await open(browser, file, { colorScheme });
      const found: string[] = [];
      for (const [name, key, ready] of PLACES) {
        await page.keyboard.press(key);
        await page.waitForSelector(ready);
        found.push(...(await serious(page, name)));
        await page.keyboard.press('Escape');
        await page.waitForSelector('dialog', { state: 'detached' });
      }
      await page.context().close();
      const bare = join(dir, 'empty.html');
      writeFileSync(bare, template);
      const empty = await open(browser, bare, { colorScheme, ready: 'h1:has-text("no trace")' });
      found.push(...(await serious(empty.page, 'without a trace')));
      expect(await empty.page.locator('main').textContent()).toContain('trace record');
      await empty.page.context().close();
      const torn = join(dir, 'torn.html');
      const whole = readFileSync(file, 'utf8');
      // The report's block loses its end.
      const at = whole.indexOf('id="ioreq-report"');
      writeFileSync(torn, whole.slice(0, at + 400) + whole.slice(whole.indexOf('</script>', at)));
      const broken = await open(browser, torn, { colorScheme, ready: '[role="alert"]' });
      found.push(...(await serious(broken.page, 'damaged')));
      expect(await broken.page.locator('[role="alert"]').textContent()).toContain('cannot be shown');
      await broken.page.context().close();
      expect(found).toEqual([]);
      expect([...faults, ...empty.faults, ...broken.faults]).toEqual([]);
    },
  );

  it('takes keys by their place on the keyboard, whatever letter stands there', async () => {
    const { page, faults } = await open(browser, file);
    const press = (code: string, key: string, shiftKey = false): Promise<void> =>
      page.evaluate(
        (init) => {
          document.body.dispatchEvent(
            new KeyboardEvent('keydown', { ...init, bubbles: true, cancelable: true }),
          );
        },
        { code, key, shiftKey },
      );
    const state = (): Promise<string> => page.evaluate(() => location.hash);
    const changed = async (before: string): Promise<string> => {
      await page.waitForFunction((hash) => location.hash !== hash, before);
      return state();
    };
    // AZERTY: where US keyboards have W there is Z; Russian: ц.
    let hash = await state();
    await press('KeyW', 'z');
    hash = await changed(hash);
    expect(hash).toContain('w=');
    await press('KeyD', 'в');
    const later = await changed(hash);
    await press('KeyA', 'q');
    expect(await changed(later)).toBe(hash);
    await press('KeyS', 'ы', true);
    hash = await changed(hash);
    expect(hash).not.toContain('w=');
    for (const [code, ready] of [
      ['Digit2', '#line-table'],
      ['Digit4', '#queue-table'],
      ['Digit5', 'section[aria-label="Timeline"]'],
      ['Digit6', 'section[aria-label="Compare"]'],
      ['Digit1', '.families button[aria-pressed="true"]:has-text("MMIO")'],
    ] as const) {
      await press(code, 'é');
      await page.waitForSelector(ready);
    }
    await press('KeyT', 'е');
    await page.waitForFunction(() => document.documentElement.dataset['theme'] === 'dark');
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('lists every key that it takes in its sheet, each once', async () => {
    const { page } = await open(browser, file);
    await page.keyboard.press('Shift+Slash');
    await page.waitForSelector('dialog .keys');
    const shown = await page.locator('dialog .keys kbd').allTextContents();
    expect(new Set(shown).size).toBe(shown.length);
    for (const key of [
      '1',
      '6',
      'W',
      'S',
      'A',
      'D',
      'F',
      '0',
      '.',
      ',',
      '[',
      ']',
      '/',
      'G',
      'M',
      'N',
      'Y',
      '?',
    ])
      expect(shown).toContain(key);
    await page.context().close();
  });
});
