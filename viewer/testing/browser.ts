import { existsSync } from 'node:fs';
import { chromium, type Browser, type Page } from 'playwright-core';

/** Chromium as distributions install it; IOREQ_TRACE_CHROMIUM names another. */
const CANDIDATES = [
  process.env['IOREQ_TRACE_CHROMIUM'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];

export const chromiumPath = CANDIDATES.find((path): path is string => path !== undefined && existsSync(path));

/** Says so where a person sees it: a page nobody drew is not a page that works. */
export function warnWithoutBrowser(): void {
  if (chromiumPath === undefined) {
    console.warn(
      'SKIPPED: no Chromium found (apt install chromium, or set IOREQ_TRACE_CHROMIUM): the page is not drawn',
    );
  }
}

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: chromiumPath!,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'],
  });
}

export interface Opened {
  page: Page;
  /** Console errors, page errors and requests that are not for the file itself. */
  faults: string[];
}

/** Opens a page from disk, offline; resolves when its figures are drawn, or `ready` names what to wait for. */
export async function open(
  browser: Browser,
  file: string,
  options: { colorScheme?: 'light' | 'dark'; hash?: string; ready?: string } = {},
): Promise<Opened> {
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    colorScheme: options.colorScheme ?? 'light',
    offline: true,
  });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') faults.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`page: ${error.message}`));
  page.on('dialog', (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    if (!/^(file|blob|data):/.test(request.url())) faults.push(`request: ${request.url()}`);
  });
  await page.goto(`file://${file}${options.hash ?? ''}`);
  await page.waitForSelector(options.ready ?? '#ladder-table', { timeout: 20_000 });
  return { page, faults };
}
