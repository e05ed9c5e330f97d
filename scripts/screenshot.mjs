// Takes the README's pictures of the page from the demo's result: npm run demo && npm run docs:screenshots
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const page = resolve('out/demo/p1.html');
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});
for (const theme of ['light', 'dark']) {
  const tab = await browser.newPage({ viewport: { width: 1440, height: 900 }, colorScheme: theme });
  await tab.goto(pathToFileURL(page).href);
  await tab.getByRole('button', { name: 'Fit to accesses' }).click();
  await tab.waitForTimeout(1500);
  await tab.screenshot({ path: `docs/page-${theme}.png` });
}
await browser.close();
