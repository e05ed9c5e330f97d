import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tableFromIPC } from 'apache-arrow';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importCapture } from '../../collector/import.ts';
import { withCapture } from '../../fixtures/captures.ts';
import type { ClickHouseServer } from '../../fixtures/clickhouse/server.ts';
import {
  CLUSTER,
  clickhouseMissing,
  installedClickHouse,
  startCluster,
} from '../../fixtures/clickhouse/server.ts';
import type { Ran } from '../testing/command-line.ts';
import { traceIn } from '../testing/command-line.ts';

const missing = clickhouseMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

/** Of what users ask; aggregates that do not hang on the order in which a server adds. */
const QUERIES = [
  'SELECT * FROM devices ORDER BY n',
  'SELECT * FROM sources ORDER BY id',
  'SELECT source, name, count() AS n, min(t), max(t), min(ts), max(addr), sum(arg0) FROM events GROUP BY ALL ORDER BY ALL',
  'SELECT * FROM events ORDER BY source, t, ts, kind, cpu, vcpu, arg0, arg1, addr, data LIMIT 200',
  'SELECT * FROM spans_mmio ORDER BY start, vcpu, key LIMIT 100',
  'SELECT * FROM spans_interrupt ORDER BY start, vcpu LIMIT 100',
  'SELECT * FROM spans_injection ORDER BY start, vcpu LIMIT 100',
  'SELECT * FROM spans_request ORDER BY start, key LIMIT 100',
  "SELECT device, register, direction, count() AS n, quantilesExactLow(0.5, 0.99)(total) AS q FROM spans_mmio GROUP BY ALL ORDER BY ALL -- '",
  'SELECT max(m.total) AS longest, count() FROM spans_request AS r INNER JOIN spans_mmio AS m USING (device, vcpu) WHERE m.start < r.start',
  'WITH slow AS (SELECT * FROM spans_mmio WHERE total > (SELECT quantileExact(0.9)(total) FROM spans_mmio)) SELECT count(), min(start) FROM slow',
  '/* a\ncomment */ with recursive n AS (SELECT 1 AS k UNION ALL SELECT k + 1 FROM n WHERE k < 4) SELECT k, (SELECT count() FROM events) AS c FROM n ORDER BY k;',
  'SELECT * FROM (SELECT count() AS n FROM spans_mmio UNION ALL SELECT count() FROM spans_request) ORDER BY n SETTINGS max_threads = 1',
  'FROM events SELECT countIf(t IS NULL), uniqExact(domid)',
  'SELECT name, dense_rank() OVER (ORDER BY n) AS place FROM (SELECT name, count() AS n FROM events GROUP BY name) ORDER BY place, name',
  "SELECT 'it''s \\\\ \\'q\\'' AS `a ``b`, toUInt64(18446744073709551615) AS big, NULL AS nothing, nan AS no_number, 'ü\n'",
  'SELECT toTypeName(device), toTypeName(total), toTypeName(group) FROM spans_mmio LIMIT 1',
  'DESCRIBE (SELECT * FROM spans_request)',
] as const;

describe.skipIf(missing !== undefined)('trace sql of a trace in a database', () => {
  let servers: ClickHouseServer[] = [];
  let scratch: string;
  let dir: string;
  let env: Record<string, string>;
  /** The same trace on one server, and on a cluster, asked through the server that has it and the other. */
  const urls: string[] = [];
  let id: string;
  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-sql-'));
    dir = join(scratch, 'trace');
    servers = await startCluster(2);
    await withCapture('P1', (raw) => importCapture([raw], dir, { tool: { name: 'test', version: '0' } }));
    env = {
      IOREQ_TRACE_CHDB: installedClickHouse()!,
      IOREQ_TRACE_CLICKHOUSE_USER: servers[0]!.user,
      IOREQ_TRACE_CLICKHOUSE_PASSWORD: servers[0]!.password,
    };
    const hosts = servers.map((server) => new URL(server.url).host);
    for (const [base, ...more] of [
      [`clickhouse://${hosts[0]!}/alone`],
      [`clickhouse://${hosts.join(',')}/spread`, '--cluster', CLUSTER],
    ] as const) {
      const load = await traceIn(env, 'load', dir, '--clickhouse', base, '--label', 'board=a', ...more);
      expect([load.code, load.err]).toEqual([0, '']);
      id = /\/([0-9a-f]{16}):/.exec(load.out)![1]!;
    }
    urls.push(`clickhouse://${hosts[0]!}/alone`, ...hosts.map((host) => `clickhouse://${host}/spread`));
  }, 120_000);
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.remove()));
    rmSync(scratch, { recursive: true, force: true });
  });

  const there = (sql: string, ...args: string[]): Promise<Ran> =>
    traceIn(env, 'sql', `${urls[0]!}/${id}`, sql, ...args);

  it.each(QUERIES.map((sql, n) => [sql, n] as const))('answers as it does here: %s', async (sql, n) => {
    const here = await traceIn(env, 'sql', dir, sql, '--json');
    expect([here.code, here.err]).toEqual([0, '']);
    const answer = (ran: Ran): unknown => {
      const { meta, data, rows } = JSON.parse(ran.out) as Record<string, unknown>;
      return { meta, data, rows };
    };
    // Through the cluster, which takes longer, every third.
    for (const url of urls.slice(0, n % 3 === 0 ? 3 : 1)) {
      const ran = await traceIn(env, 'sql', `${url}/${id}`, sql, '--json');
      expect([ran.code, ran.err]).toEqual([0, '']);
      expect(answer(ran)).toEqual(answer(here));
    }
  });

  it('in every format', async () => {
    const sql = 'SELECT start, register, device, total FROM spans_mmio ORDER BY start, register';
    for (const format of ['table', 'csv'])
      expect((await there(sql, '-f', format)).out).toBe(
        (await traceIn(env, 'sql', dir, sql, '-f', format)).out,
      );
    const files: Buffer[] = [];
    for (const format of ['arrow', 'parquet']) {
      for (const place of [dir, `${urls[0]!}/${id}`]) {
        const file = join(scratch, `${files.length}.${format}`);
        const ran = await traceIn(env, 'sql', place, sql, '-f', format, '-o', file);
        expect(ran).toEqual({ code: 0, out: '', err: '' });
        files.push(readFileSync(file));
      }
    }
    const [here, onServer] = files.slice(0, 2).map((bytes) => tableFromIPC(bytes));
    expect(onServer!.schema.toString()).toBe(here!.schema.toString());
    expect(onServer!.toString()).toBe(here!.toString());
    expect(here!.numRows).toBeGreaterThan(100);
    expect(files[3]!.equals(files[2]!)).toBe(true);
  });

  it('by its id, with --clickhouse', async () => {
    const ran = await traceIn(
      env,
      'sql',
      id,
      'SELECT count() FROM events',
      '--clickhouse',
      urls[0]!,
      '-f',
      'csv',
    );
    expect([ran.code, ran.out]).toEqual([0, (await there('SELECT count() FROM events', '-f', 'csv')).out]);
  });

  it('is for users who only read, as trace analyze and trace trend are', async () => {
    const as = (user: string, ...args: string[]): Promise<Ran> =>
      traceIn({ ...env, IOREQ_TRACE_CLICKHOUSE_USER: user }, ...args);
    const commands = [
      ['sql', `${urls[0]!}/${id}`, 'SELECT count() FROM spans_mmio', '-f', 'csv'],
      ['analyze', `${urls[0]!}/${id}`],
      ['trend', '--clickhouse', urls[0]!, '--of', 'mmio.p99', '--by', 'board'],
    ];
    for (const args of commands) {
      expect(await as('reader', ...args)).toEqual(await traceIn(env, ...args));
      const locked = await as('locked', ...args);
      expect([locked.code, locked.out]).toEqual([8, '']);
      expect(locked.err).toMatch(
        /^trace: E_SERVER: [^\n]*READONLY[^\n]*; a user who reads needs readonly = 2\n$/,
      );
    }
    const load = await as('reader', 'load', dir, '--clickhouse', urls[0]!.replace('alone', 'other'));
    expect([load.code, load.out, load.err]).toEqual([
      8,
      '',
      expect.stringMatching(/^trace: E_SERVER: [^\n]*READONLY[^\n]*\n$/),
    ]);
  });

  it('says in one line what is wrong, and writes nothing', async () => {
    const line = (code: string, more = ''): unknown =>
      expect.stringMatching(new RegExp(`^trace: ${code}: [^\\n]*${more}[^\\n]*\\n$`));
    const none = { code: 3, out: '', err: line('E_NO_DATA') };
    expect(await traceIn(env, 'sql', `${urls[0]!}/0123456789abcdef`, 'SELECT 1')).toEqual(none);
    const usage = (more: string): Ran => ({ code: 2, out: '', err: line('E_USAGE', more) as string });
    expect(await traceIn(env, 'sql', urls[0]!, 'SELECT 1')).toEqual(usage('names no trace'));
    expect(await traceIn(env, 'sql', `${urls[0]!}/it's`, 'SELECT 1')).toEqual(usage('no id'));
    expect(await there('SELECT nope FROM events')).toEqual(usage('`nope`\\. Maybe you meant'));
    expect(await there('SELECT count( FROM events')).toEqual(usage('position (1[0-9]|2[0-9]) '));
    expect(await there('SELECT 1; SELECT 2')).toEqual(usage('Multi-statements'));
    for (const sql of [
      'DROP TABLE alone.events',
      'INSERT INTO events SELECT 1',
      'SYSTEM SHUTDOWN',
      '',
      '/* x */',
    ])
      expect(await there(sql)).toEqual(usage('a query that begins with'));
    expect(await there('SELECT 1 SETTINGS readonly = 0')).toEqual(usage('READONLY'));
    expect(await there('SELECT throwIf(number = 99999) FROM numbers(100000)')).toEqual(usage('THROW_IF'));
    const file = join(scratch, 'broken.csv');
    const broken = 'SELECT number, throwIf(number = 3000000) FROM numbers(4000000)';
    expect(await there(broken, '-f', 'csv', '-o', file)).toEqual(usage('THROW_IF'));
    expect(() => readFileSync(file)).toThrow(/ENOENT/);
    expect((await there('SELECT count() > 0 FROM events', '-f', 'csv')).out).toContain('1');
  });
});
