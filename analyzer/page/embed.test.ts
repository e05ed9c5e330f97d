import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { tableFromIPC } from 'apache-arrow';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateSpans, PLANS } from '../../viewer/testing/generated.ts';
import { collectSpans, writePage } from './embed.ts';
import { PAGE_MARKER, REPORT_BLOCK, spansBlock, type PageData, type PageReport } from './page-format.ts';

const TEMPLATE = `<html><body>${PAGE_MARKER}</body></html>`;

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'ioreq-page-'));
});
afterAll(() => {
  rmSync(dir, { recursive: true });
});

function block(html: string, id: string): Buffer {
  const found = new RegExp(`<script type="text/plain" id="${id}">([A-Za-z0-9+/=]*)</script>`).exec(html);
  if (found === null) throw new Error(`no block ${id}`);
  return gunzipSync(Buffer.from(found[1]!, 'base64'));
}

describe('writePage', () => {
  it('puts report and spans into the template, bit for bit', async () => {
    const batches = [...generateSpans('mmio', 20_000)];
    const report: PageReport = {
      trace: { path: '</script><!--' },
      devices: [{ name: '<img onerror=alert(1)>' }],
    };
    const out = join(dir, 'page.html');
    const spans = collectSpans({ plan: PLANS.mmio, batches });
    const written = await writePage(TEMPLATE, out, report, [spans]);
    const html = readFileSync(out, 'utf8');
    expect(Buffer.byteLength(html)).toBe(written.bytes);
    expect(html).not.toContain('onerror');
    const data = JSON.parse(block(html, REPORT_BLOCK).toString()) as PageData;
    expect(data.report).toEqual(report);
    expect(data.tables[0]).toMatchObject({ family: 'mmio', spans: 20_000, rows: 20_000, weight: 1 });
    const table = tableFromIPC(block(html, spansBlock('mmio')));
    expect(table.numRows).toBe(20_000);
    const expected = Float64Array.from(batches.flatMap((b) => [...b.at[3]!.subarray(0, b.length)]));
    const order = Float64Array.from(batches.flatMap((b) => [...b.start.subarray(0, b.length)]));
    const rows = [...order.keys()].sort((a, b) => order[a]! - order[b]! || a - b);
    expect(table.getChild('at_dm_read')!.toArray()).toEqual(Float64Array.from(rows, (i) => expected[i]!));
  });

  it('refuses a template without a place for data, and leaves no half page behind', async () => {
    await expect(writePage('<html></html>', join(dir, 'x.html'), {}, [])).rejects.toMatchObject({
      code: 'E_NOT_FOUND',
    });
    await expect(writePage(TEMPLATE, join(dir, 'none', 'x.html'), {}, [])).rejects.toMatchObject({
      code: 'E_WRITE',
    });
    expect(readdirSync(dir).filter((f) => f.includes('partial') || f === 'x.html')).toEqual([]);
  });
});
