// Takes the pictures of the page from the demo's result: npm run demo && npm run docs:screenshots
// Usage: screenshot.mjs [PAGE [COMPARISON]]; COMPARISON is a page of two traces (trace view A B -o FILE).
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { KEYBOARD, MOUSE } from './walks.mjs';

const [page = 'out/demo/p1.html', comparison = 'out/demo/compare.html'] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});

/** Views by the name of their picture: how one gets there from the opened page. */
const VIEWS = {
  page: async (tab) => {
    await tab.getByRole('button', { name: 'Fit to accesses' }).click();
  },
  'page-timeline': async (tab) => {
    await tab.locator('.outliers tbody tr').first().click();
    await tab.waitForSelector('#timeline-steps');
  },
  'page-interrupts': async (tab) => {
    await tab.keyboard.press('Digit2');
    await tab.waitForSelector('#line-table');
    await tab.locator('#line-table').scrollIntoViewIfNeeded();
  },
  'page-requests': async (tab) => {
    await tab.keyboard.press('Digit4');
    await tab.waitForSelector('#queue-table');
    await tab.locator('#queue-table').scrollIntoViewIfNeeded();
  },
  'page-keys': async (tab) => {
    await tab.keyboard.press('Shift+Slash');
  },
};

async function take(file, name, act, theme, height = 800, ready = '#ladder-table') {
  const tab = await browser.newPage({ viewport: { width: 1280, height }, colorScheme: theme });
  await tab.goto(pathToFileURL(resolve(file)).href);
  await tab.waitForSelector(ready);
  await act(tab);
  await tab.waitForTimeout(1200);
  await tab.screenshot({ path: `docs/${name}-${theme}.png` });
  await tab.close();
}

/** Every step of a walk, as it is left. */
async function walk(steps, theme) {
  const tab = await browser.newPage({ viewport: { width: 1280, height: 720 }, colorScheme: theme });
  await tab.goto(pathToFileURL(resolve(page)).href);
  await tab.waitForSelector('#ladder-table');
  for (const { name, act } of steps) {
    await act(tab);
    await tab.waitForTimeout(800);
    await tab.screenshot({ path: `docs/walk-${name}-${theme}.png` });
  }
  await tab.close();
}

const empty = 'out/demo/empty.html';
execFileSync(process.execPath, ['dist/trace.mjs', 'view', '--empty', '-o', empty]);
for (const theme of ['light', 'dark']) {
  await take(empty, 'page-empty', async () => undefined, theme, 400, '.loading h1');
  await walk(MOUSE, theme);
  await walk(KEYBOARD, theme);
  for (const [name, act] of Object.entries(VIEWS))
    await take(page, name, act, theme, name === 'page-keys' ? 700 : 800);
  if (!existsSync(comparison)) continue;
  await take(
    comparison,
    'page-compare',
    async (tab) => {
      await tab.keyboard.press('Digit6');
      await tab.waitForSelector('#compare-table tbody tr');
    },
    theme,
    560,
  );
}
await browser.close();
