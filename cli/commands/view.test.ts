import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { PAGE_MARKER, REPORT_BLOCK } from '../../analyzer/page/page-format.ts';
import { writeSmallTrace } from '../../fixtures/small-trace.ts';
import { run } from '../run.ts';

const built = existsSync(new URL('../../dist/viewer/index.html', import.meta.url));
if (!built) console.warn('SKIPPED: trace view is not run: npm run build:viewer makes the page first');

const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-view-'));
afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

async function trace(...args: string[]): Promise<{ exit: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const exit = await run(args, {
    stdout: (text) => (out += text),
    stderr: (text) => (err += text),
    stdoutIsTerminal: false,
    stderrIsTerminal: false,
    env: {},
  });
  return { exit, out, err };
}

describe('trace view', () => {
  it.skipIf(!built)('writes one page with the report in it', async () => {
    const dir = join(work, 'small');
    writeSmallTrace(dir, [100]);
    const page = join(work, 'page.html');
    const { exit, out } = await trace('view', dir, '-o', page);
    expect(exit).toBe(0);
    expect(out).toMatch(/page\.html: \d\.\d MB/);
    const html = readFileSync(page, 'utf8');
    expect(html).toContain(`id="${REPORT_BLOCK}"`);
    expect(html).not.toContain(PAGE_MARKER);
    expect(html).not.toMatch(/(src|href)="?https?:/);
    expect(statSync(page).size).toBe(Buffer.byteLength(html));
  });

  it('fails with a code for what it cannot do', async () => {
    const none = await trace('view', join(work, 'none'), '-o', join(work, 'x.html'));
    expect(none).toMatchObject({ exit: 4, out: '' });
    expect(none.err).toContain('E_NOT_FOUND');
    expect((await trace('view', work, '--max-spans', '5')).exit).toBe(2);
    expect(existsSync(join(work, 'x.html'))).toBe(false);
  });
});
