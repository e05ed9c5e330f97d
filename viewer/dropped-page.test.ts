import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withBlocks } from '../analyzer/page/embed.ts';
import { servePage } from '../cli/page-server.ts';
import { analysisBlock } from '../cli/page-template.ts';
import { run } from '../cli/run.ts';
import { chromiumPath, launch, open } from './testing/browser.ts';
import { randomOf } from './testing/generated.ts';
import { atRest, buildTemplate } from './testing/pages.ts';

const EMPTY = 'text=This page holds no trace';
const CAPTURES = join(import.meta.dirname, '../fixtures/captures');

/** Everything that the page says of a trace. */
const shown = async (page: Page): Promise<string> => {
  await page.waitForSelector('#ladder-table');
  await atRest(page);
  return page.locator('body').innerText();
};

describe.skipIf(chromiumPath === undefined)('traces dropped on the page', () => {
  const dir = mkdtempSync(join(tmpdir(), 'ioreq-dropped-'));
  const empty = join(dir, 'empty.html');
  let browser: Browser;
  const streams = { stdout: () => undefined, stderr: () => undefined };
  const trace = async (...args: string[]): Promise<void> => {
    const rest = { stdoutIsTerminal: false, stderrIsTerminal: false, env: {} };
    expect(await run(args, { ...streams, ...rest })).toBe(0);
  };

  beforeAll(async () => {
    const template = readFileSync(await buildTemplate(dir), 'utf8');
    writeFileSync(empty, withBlocks(template, analysisBlock()));
    for (const name of ['P1', 'A2', 'F1']) {
      execFileSync('tar', ['xzf', join(CAPTURES, `${name}.tar.gz`), '-C', dir]);
      await trace('import', join(dir, name), '-o', join(dir, `${name}.trace`));
      await trace('view', join(dir, `${name}.trace`), '-o', join(dir, `${name}.html`));
    }
    browser = await launch();
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    rmSync(dir, { recursive: true });
  });

  const choose = async (page: Page, path: string): Promise<void> => {
    await page.locator('input[webkitdirectory]').first().setInputFiles(path);
  };

  it.each(['P1', 'A2', 'F1'])('%s looks as in the page that trace view writes', async (name) => {
    const { page: ready } = await open(browser, join(dir, `${name}.html`));
    const { page, faults } = await open(browser, empty, { ready: EMPTY });
    await choose(page, join(dir, `${name}.trace`));
    expect(await shown(page)).toBe(await shown(ready));
    expect(faults).toEqual([]);
    await ready.context().close();
    await page.context().close();
  });

  it('shows the differences of a stored replay', async () => {
    const replayed = join(dir, 'replayed.trace');
    cpSync(join(dir, 'P1.trace'), replayed, { recursive: true });
    const difference = {
      step: 7,
      device: 'blk0',
      register: 'Status',
      field: 'value',
      expected: '0',
      got: '4',
    };
    const result = {
      target: 'built-in',
      level: 'registers',
      equal: false,
      proven: false,
      divergenceCount: 1,
    };
    writeFileSync(
      join(replayed, 'replay.json'),
      JSON.stringify({
        format: 'ioreq-trace-replay',
        ...result,
        recording: { records: 9 },
        divergences: [difference],
      }),
    );
    const { page, faults } = await open(browser, empty, { ready: EMPTY });
    await choose(page, replayed);
    await shown(page);
    await page.keyboard.press('n');
    await page.waitForSelector('#replay-table >> text=blk0 Status');
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it.each(['handles', 'entries'])('takes directories dropped on it: first and second, by %s', async (way) => {
    // From a server browsers of the Chromium family give the files of entries, too, as others always do.
    const served = way === 'entries' ? await servePage(empty, 0) : undefined;
    const { page, faults } = await open(browser, empty, { ready: EMPTY });
    if (served !== undefined) {
      await page.context().setOffline(false);
      await page.addInitScript('delete DataTransferItem.prototype.getAsFileSystemHandle');
      await page.goto(served.url);
      await page.waitForSelector(EMPTY);
      faults.length = 0;
    }
    await drop(page, [join(dir, 'P1.trace')]);
    await page.waitForSelector('#ladder-table');
    expect(await page.locator('h1').textContent()).toContain('P1.trace');
    await drop(page, [join(dir, 'A2.trace')]);
    await page.waitForSelector('text=A − B');
    expect(await page.locator('main').innerText()).toContain('A2.trace');
    // Neither a page nor a trace: what is shown stays.
    await drop(page, [join(dir, 'P1')]);
    await page.waitForSelector('[role=alert]:has-text("E_FOREIGN: P1: no ioreq-trace")');
    expect(faults).toEqual([]);
    await page.context().close();
    await served?.close();
  });

  /** A copy of P1.trace that `change` has spoilt. */
  function spoilt(name: string, change: (at: string, events: string) => void): string {
    const at = join(dir, name);
    rmSync(at, { recursive: true, force: true });
    cpSync(join(dir, 'P1.trace'), at, { recursive: true });
    change(
      at,
      join(
        at,
        readdirSync(at).find((f) => f.startsWith('events-xen'))!,
      ),
    );
    return at;
  }
  const manifest = (at: string): string => join(at, 'manifest.json');

  it.each<[string, (at: string, events: string) => void, string]>([
    [
      'without a manifest',
      (at) => {
        rmSync(manifest(at));
      },
      'E_FOREIGN: bad.trace: no ioreq-trace',
    ],
    [
      'whose manifest is cut',
      (at) => {
        truncateSync(manifest(at), 99);
      },
      'E_TRACE_DAMAGED: bad.trace/manifest.json: is no JSON',
    ],
    [
      'of a newer version',
      (at) => {
        edit(manifest(at), '"version":1', '"version":99');
      },
      'E_TRACE_VERSION: bad.trace/manifest.json',
    ],
  ])('says what is wrong with a trace %s, and takes the next', async (_, change, message) => {
    const { page, faults } = await open(browser, empty, { ready: EMPTY });
    await choose(page, spoilt('bad.trace', change));
    await page.waitForSelector(`[role=alert]:has-text("${message}")`);
    await choose(page, join(dir, 'A2.trace'));
    await page.waitForSelector('#ladder-table');
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it.each<[string, (at: string, events: string) => void]>([
    [
      'cut short',
      (_, events) => {
        truncateSync(events, statSync(events).size >> 1);
      },
    ],
    [
      'missing',
      (_, events) => {
        rmSync(events);
      },
    ],
  ])('shows what can be read where an event file is %s, and that it is', async (_, change) => {
    const { page, faults } = await open(browser, empty, { ready: EMPTY });
    await choose(page, spoilt('bad.trace', change));
    await page.waitForSelector('text=E_TRACE_DAMAGED');
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('shows a trace with any bytes damaged, or says why not', async () => {
    const { page, faults } = await open(browser, empty, { ready: EMPTY });
    const random = randomOf(5);
    for (let k = 0; k < 12; k++) {
      const bad = spoilt('bad.trace', (at, events) => {
        const file = k % 2 === 0 ? events : manifest(at);
        const bytes = readFileSync(file);
        for (let n = 0; n < 5; n++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
        writeFileSync(file, bytes);
      });
      await page.goto(`file://${empty}`);
      await page.waitForSelector(EMPTY);
      await choose(page, bad);
      await page.waitForSelector('[role=alert], #ladder-table, .grid.nothing', { timeout: 10_000 });
    }
    expect(faults).toEqual([]);
    await page.context().close();
  });

  it('needs the page that has the analysis', async () => {
    const { page } = await open(browser, join(dir, 'index.html'), { ready: EMPTY });
    await choose(page, join(dir, 'P1.trace'));
    await page.waitForSelector('[role=alert]:has-text("this page takes pages only")');
    await page.context().close();
  });
});

function edit(file: string, from: string, to: string): void {
  const text = readFileSync(file, 'utf8').replace(/"version": ?\d+/, from);
  expect(text).toContain(from);
  writeFileSync(file, text.replace(from, to));
}

/** What a file manager does: the browser itself reads what lies under the paths. */
async function drop(page: Page, files: string[]): Promise<void> {
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
    await session.send('Input.dispatchDragEvent', { type, x: 300, y: 300, data });
}
