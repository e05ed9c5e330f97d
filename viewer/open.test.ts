import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REPORT_BLOCK, spansBlock } from '../analyzer/page/page-format.ts';
import { chromiumPath, launch, open } from './testing/browser.ts';
import { randomOf } from './testing/generated.ts';
import { buildTemplate, writeGenerated } from './testing/pages.ts';

let dir = '';
let browser: Browser;
let template = '';
let whole = '';

const block = (html: string, id: string): Buffer =>
  gunzipSync(Buffer.from(html.split(`id="${id}">`)[1]!.split('<')[0]!, 'base64'));

/** The page's text with the content of one block replaced. */
function withBlock(html: string, id: string, bytes: Uint8Array): string {
  const [head, tail] = html.split(`id="${id}">`) as [string, string];
  return `${head}id="${id}">${gzipSync(bytes).toString('base64')}${tail.slice(tail.indexOf('<'))}`;
}

async function drop(page: Page, name: string, text: string): Promise<void> {
  await page
    .locator('input[type=file]:not([webkitdirectory])')
    .first()
    .setInputFiles({ name, mimeType: 'text/html', buffer: Buffer.from(text) });
}

describe.skipIf(chromiumPath === undefined)('traces opened from disk', () => {
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'ioreq-open-'));
    template = await buildTemplate(dir);
    const { file } = await writeGenerated(template, join(dir, 'p.html'), {
      mmio: 400,
      interrupt: 60,
      request: 60,
    });
    whole = readFileSync(file, 'utf8');
    browser = await launch();
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    rmSync(dir, { recursive: true });
  });

  it('takes a page with a trace into the page without one', async () => {
    const { page, faults } = await open(browser, template, { ready: 'text=This page holds no trace' });
    await drop(page, 'p.html', whole);
    await page.waitForSelector('#ladder-table');
    expect(await page.locator('h1').textContent()).toContain('P3.trace');
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it.each([
    ['manifest.json', '{}', 'is a part of a trace'],
    ['notes.html', '<html>hello</html>', 'is no page with a trace'],
    ['empty.html', '', 'is no page with a trace'],
  ])('says what %s is not', async (name, text, message) => {
    const { page, faults } = await open(browser, template, { ready: 'text=This page holds no trace' });
    await drop(page, name, text);
    await page.waitForSelector(`[role=alert]:has-text("${message}")`);
    await drop(page, 'p.html', whole);
    await page.waitForSelector('#ladder-table');
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('names what is wrong with damaged data, whatever it is, and takes the next file', async () => {
    const { page, faults } = await open(browser, template, { ready: 'text=This page holds no trace' });
    const random = randomOf(11);
    const outcomes = { shown: 0, refused: 0 };
    const json = block(whole, REPORT_BLOCK).toString();
    const table = block(whole, spansBlock('mmio'));
    const wrong = ['null', '-1', '1e99', '"\\u0000<script>"', '[]', '{}', '{"a":[null]}', 'true'];
    for (let k = 0; k < 24; k++) {
      let text: string;
      if (k % 2 === 0) {
        // One value anywhere in the report's JSON becomes another.
        const places = [
          ...json.matchAll(/(?<=[:[,])(?:"[^"]*"|-?[\d.e+]+|null|true|false|\[\]|\{\})(?=[,}\]])/g),
        ];
        const at = places[Math.floor(random() * places.length)]!;
        const put = wrong[Math.floor(random() * wrong.length)]!;
        const spoilt = json.slice(0, at.index) + put + json.slice(at.index + at[0].length);
        text = withBlock(whole, REPORT_BLOCK, Buffer.from(spoilt));
      } else {
        const bytes = Buffer.from(table);
        const reach = k % 4 === 1 ? 2500 : bytes.length;
        for (let n = 0; n < 4; n++) bytes[Math.floor(random() * reach)] = Math.floor(random() * 256);
        text = withBlock(whole, spansBlock('mmio'), k % 8 === 3 ? bytes.subarray(0, reach / 2) : bytes);
      }
      writeFileSync(join(dir, 'last.html'), text);
      await page.goto(`file://${template}`);
      await drop(page, 'x.html', text);
      await page.waitForSelector('[role=alert], #ladder-table, .grid.nothing', { timeout: 10_000 });
      const alert = await page.locator('[role=alert]').count();
      if (alert > 0) outcomes.refused++;
      else outcomes.shown++;
    }
    expect(outcomes.refused).toBeGreaterThan(3);
    expect(outcomes.shown).toBeGreaterThan(3);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('has a policy under which nothing can be fetched and no other script runs', async () => {
    const { page } = await open(browser, join(dir, 'p.html'));
    const blocked = await page.evaluate(async () => {
      const reached: string[] = [];
      await fetch('https://example.org/').then(
        () => reached.push('fetch'),
        () => undefined,
      );
      const script = document.createElement('script');
      script.textContent = 'window.hacked = true';
      document.body.append(script);
      await new Promise((done) => {
        const image = new Image();
        image.onerror = done;
        image.onload = () => {
          reached.push('image');
          done(null);
        };
        image.src = 'file:///usr/share/pixmaps/debian-logo.png';
      });
      return { reached, hacked: 'hacked' in window };
    });
    expect(blocked).toEqual({ reached: [], hacked: false });
    const policy = await page.locator('meta[http-equiv]').getAttribute('content');
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('connect-src');
    await page.context().close();
  });
});
