import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { OTHER, PAGE_MARKER, REPORT_BLOCK } from '../../analyzer/page/page-format.ts';
import { writeSmallTrace } from '../../fixtures/small-trace.ts';
import { trace } from '../testing/command-line.ts';
import { run } from '../run.ts';

const built = existsSync(new URL('../../dist/viewer/index.html', import.meta.url));
if (!built) console.warn('SKIPPED: trace view is not run: npm run build:viewer makes the page first');

const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-view-'));
afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

describe('trace view', () => {
  it.skipIf(!built)('writes one page with the report in it', async () => {
    const dir = join(work, 'small');
    writeSmallTrace(dir, [100]);
    const page = join(work, 'page.html');
    const { code, out } = await trace('view', dir, '-o', page);
    expect(code).toBe(0);
    expect(out).toMatch(/page\.html: \d\.\d MB/);
    const html = readFileSync(page, 'utf8');
    expect(html).toContain(`id="${REPORT_BLOCK}"`);
    expect(html).not.toContain(PAGE_MARKER);
    expect(html).not.toMatch(/(src|href)="?https?:/);
    expect(statSync(page).size).toBe(Buffer.byteLength(html));
  });

  it.skipIf(!built)('leaves a damaged stored replay out, with a warning', async () => {
    const dir = join(work, 'replayed');
    writeSmallTrace(dir, [100]);
    writeFileSync(join(dir, 'replay.json'), '{');
    const { code, err } = await trace('view', dir, '-o', join(work, 'replayed.html'));
    expect(code).toBe(0);
    expect(err).toContain('warning: the stored replay is left out');
  });

  it.skipIf(!built)('serves the page until it is interrupted, and leaves nothing behind', async () => {
    const dir = join(work, 'served');
    writeSmallTrace(dir, [100]);
    let out = '';
    const ended = run(['view', dir], {
      stdout: (text) => (out += text),
      stderr: () => undefined,
      stdoutIsTerminal: false,
      stderrIsTerminal: false,
      env: {},
    });
    await expect.poll(() => out, { timeout: 20_000 }).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/ /);
    const url = out.split(' ')[0]!;
    const html = await (await fetch(url)).text();
    expect(html).toContain(`id="${REPORT_BLOCK}"`);
    process.emit('SIGINT');
    expect(await ended).toBe(0);
    await expect(fetch(url)).rejects.toThrow();
  });

  it.skipIf(!built)('writes the page without data, and one with two traces', async () => {
    const dir = join(work, 'two');
    writeSmallTrace(dir, [100]);
    const empty = join(work, 'empty.html');
    expect((await trace('view', '--empty', '-o', empty)).code).toBe(0);
    expect(readFileSync(empty, 'utf8')).toContain(PAGE_MARKER);
    const both = join(work, 'both.html');
    expect((await trace('view', dir, dir, '-o', both)).code).toBe(0);
    const html = readFileSync(both, 'utf8');
    expect(html).toContain(`id="${OTHER}${REPORT_BLOCK}"`);
    for (const wrong of [['view'], ['view', '--empty'], ['view', dir, '--empty', '-o', empty]]) {
      expect((await trace(...wrong)).code).toBe(2);
    }
  });

  it('fails with a code for what it cannot do', async () => {
    const none = await trace('view', join(work, 'none'), '-o', join(work, 'x.html'));
    expect(none).toMatchObject({ code: 4, out: '' });
    expect(none.err).toContain('E_NOT_FOUND');
    expect((await trace('view', work, '--max-spans', '5')).code).toBe(2);
    expect(existsSync(join(work, 'x.html'))).toBe(false);
  });
});
