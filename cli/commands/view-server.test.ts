import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { tableFromIPC } from 'apache-arrow';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PageData } from '../../analyzer/page/page-format.ts';
import { REPORT_BLOCK, spansBlock } from '../../analyzer/page/page-format.ts';
import { importCapture } from '../../collector/import.ts';
import { withCapture } from '../../fixtures/captures.ts';
import type { ClickHouseServer } from '../../fixtures/clickhouse/server.ts';
import { CLUSTER, clickhouseMissing, startCluster } from '../../fixtures/clickhouse/server.ts';
import { SPAN_FAMILIES } from '../../trace/manifest.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import { traceIn } from '../testing/command-line.ts';

const missing = clickhouseMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

describe.skipIf(missing !== undefined)('trace view of a trace in a database', () => {
  let servers: ClickHouseServer[] = [];
  const scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-view-'));
  const dir = join(scratch, 'p1.trace');
  let env: Record<string, string>;
  const urls: string[] = [];

  beforeAll(async () => {
    servers = await startCluster(2);
    await withCapture('P1', (raw) => importCapture([raw], dir, { tool: { name: 'test', version: '0' } }));
    const [{ user, password }] = servers as [ClickHouseServer, ClickHouseServer];
    env = { IOREQ_TRACE_CLICKHOUSE_USER: user, IOREQ_TRACE_CLICKHOUSE_PASSWORD: password };
    const hosts = servers.map((server) => new URL(server.url).host);
    for (const [base, ...more] of [
      [`clickhouse://${hosts[0]!}/alone`],
      [`clickhouse://${hosts.join(',')}/spread`, '--cluster', CLUSTER],
    ] as const) {
      const load = await traceIn(env, 'load', dir, '--clickhouse', base, ...more);
      expect([load.code, load.err]).toEqual([0, '']);
      urls.push(`${base}/${/\/([0-9a-f]{16}):/.exec(load.out)![1]!}`);
    }
  }, 120_000);
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.remove()));
    rmSync(scratch, { recursive: true, force: true });
  });

  const page = async (place: string, ...args: string[]): Promise<string> => {
    const file = join(scratch, 'page.html');
    const ran = await traceIn(env, 'view', place, '-o', file, ...args);
    expect([ran.code, ran.out.startsWith(file)]).toEqual([0, true]);
    return readFileSync(file, 'utf8');
  };
  const block = (html: string, id: string): Buffer =>
    gunzipSync(Buffer.from(html.split(`id="${id}">`)[1]!.split('<')[0]!, 'base64'));
  const data = (html: string): PageData => JSON.parse(block(html, REPORT_BLOCK).toString()) as PageData;
  /** Rows as texts: those of one start stand in any order. */
  const rows = (html: string, family: SpanFamily): string[] =>
    tableFromIPC(block(html, spansBlock(family)))
      .toArray()
      .map((row) => JSON.stringify(row))
      .sort();

  it('is the page of its directory, from one server and from a cluster', async () => {
    const here = await page(dir);
    for (const url of urls) {
      const there = await page(url);
      for (const family of SPAN_FAMILIES) {
        expect(rows(there, family).length).toBeGreaterThan(50);
        expect(rows(there, family)).toEqual(rows(here, family));
      }
      const [own, other] = [data(here), data(there)];
      expect(other.report.trace!.path).toContain('/');
      other.report.trace!.path = own.report.trace!.path!;
      expect(other.report).toEqual(own.report);
      const byFamily = (tables: PageData['tables']): PageData['tables'] =>
        tables.toSorted((a, b) => a.family.localeCompare(b.family));
      expect(byFamily(other.tables)).toEqual(byFamily(own.tables));
    }
  });

  it.each<[string, (url: string) => string, RegExp]>([
    ['no id', (url) => `${url}0`, /^trace: E_USAGE: no id of a trace/],
    [
      'no such trace',
      (url) => url.replace(/[^/]+$/, '0'.repeat(16)),
      /^trace: E_NO_DATA: .*no trace 0{16} is there/,
    ],
    ['no id at all', (url) => url.replace(/.[^/]+$/, ''), /^trace: E_USAGE: .*the URL names no trace/],
  ])('says in one line what a URL names: %s', async (_, change, message) => {
    const file = join(scratch, 'none.html');
    const ran = await traceIn(env, 'view', change(urls[0]!), '-o', file);
    expect(ran.code).not.toBe(0);
    expect(ran.err).toMatch(message);
    expect(ran.err.trim().split('\n').length).toBe(1);
    expect(existsSync(file) || existsSync(join(scratch, 'none.rows'))).toBe(false);
  });
});
