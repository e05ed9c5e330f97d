import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withBlocks } from '../analyzer/page/embed.ts';
import { sampleTraces } from '../cli/sample-traces.ts';
import { chromiumPath, launch, open } from './testing/browser.ts';
import { buildTemplate } from './testing/pages.ts';

const samples = sampleTraces();
if (samples === '') console.warn('SKIPPED: samples in the page without a trace: npm run build makes them');
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Accesses that each capture is known to have (fixtures/captures/README.md), without INVALIDATEs and untimed ones. */
const KNOWN: readonly (readonly [title: string, accesses: string])[] = [
  ['P1: an emulated host', 'n 371'],
  ['A2: the same, unpatched', 'n 371'],
  ['F1: the same, two device models', 'n 157'],
];

describe.skipIf(chromiumPath === undefined || samples === '')('samples in the page without a trace', () => {
  const dir = mkdtempSync(join(tmpdir(), 'ioreq-samples-'));
  const file = join(dir, 'empty.html');
  let browser: Browser;
  beforeAll(async () => {
    const template = readFileSync(await buildTemplate(dir), 'utf8');
    writeFileSync(file, withBlocks(template, samples));
    browser = await launch();
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    rmSync(dir, { recursive: true });
  });

  it.each(KNOWN)('opens %s with the keyboard', async (title, accesses) => {
    const { page, faults } = await open(browser, file, { ready: 'text=This page holds no trace' });
    const button = page.locator('button', { hasText: title });
    await button.focus();
    await page.keyboard.press('Enter');
    await page.waitForSelector('#ladder-table');
    expect(await page.locator('button', { hasText: 'MMIO accesses' }).textContent()).toContain(accesses);
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it.each(['light', 'dark'] as const)(
    'lists them without serious findings of axe, %s',
    async (colorScheme) => {
      const { page } = await open(browser, file, { ready: 'text=This page holds no trace' });
      await page.emulateMedia({ colorScheme });
      await page.evaluate(AXE);
      const run = await page.evaluate<{ violations: { id: string; impact: string }[] }>('axe.run(document)');
      expect(run.violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')).toEqual(
        [],
      );
      await page.context().close();
    },
  );
});
