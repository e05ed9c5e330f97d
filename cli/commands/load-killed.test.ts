import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TABLES } from '../../analyzer/clickhouse/tables.ts';
import type { Server } from '../../analyzer/clickhouse/server.ts';
import { connect } from '../../analyzer/clickhouse/server.ts';
import { addressOf, comparable } from '../../analyzer/clickhouse/testing/on-server.ts';
import { removeBuild } from '../../fixtures/child-build.ts';
import type { Proxy } from '../../fixtures/clickhouse/proxy.ts';
import { startProxy } from '../../fixtures/clickhouse/proxy.ts';
import type { ClickHouseServer } from '../../fixtures/clickhouse/server.ts';
import { clickhouseMissing, startClickHouse } from '../../fixtures/clickhouse/server.ts';
import { writeLargeTrace } from '../../fixtures/scale/large-trace.ts';
import type { Child } from '../testing/child.ts';
import { buildCommandLine, startCommand } from '../testing/child.ts';
import { traceIn } from '../testing/command-line.ts';

const missing = clickhouseMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

/** Of several sources, each a block of rows at least, so that a part of them can be there. */
const EVENTS = 6e5;

describe.skipIf(missing !== undefined)('a loader that ends before its time', () => {
  let clickhouse: ClickHouseServer;
  let scratch: string;
  let dir: string;
  let build: string;
  let local: unknown;
  let env: Record<string, string>;
  const servers: Server[] = [];
  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-killed-'));
    mkdirSync(join(scratch, 'tmp'));
    dir = join(scratch, 'large');
    clickhouse = await startClickHouse();
    build = buildCommandLine();
    await writeLargeTrace(dir, { events: EVENTS });
    local = comparable(JSON.parse((await traceIn({}, 'analyze', dir, '--json')).out) as object);
    env = {
      TMPDIR: join(scratch, 'tmp'),
      IOREQ_TRACE_CLICKHOUSE_USER: clickhouse.user,
      IOREQ_TRACE_CLICKHOUSE_PASSWORD: clickhouse.password,
    };
  }, 120_000);
  afterAll(async () => {
    for (const server of servers) await server.close();
    await clickhouse.remove();
    removeBuild(build);
    rmSync(scratch, { recursive: true, force: true });
  });

  const urlOf = (database: string): string => `clickhouse://${new URL(clickhouse.url).host}/${database}`;
  const load = (url: string): Child =>
    startCommand(build, env, 'load', dir, '--clickhouse', url, '--label', 'build=1');
  async function open(database: string): Promise<Server> {
    const server = await connect(addressOf(database, clickhouse));
    servers.push(server);
    return server;
  }
  /** 0 where there is no such table yet. */
  const ask = (server: Server, sql: string): Promise<number> =>
    server.rows<{ n: number }>(`SELECT toFloat64(count()) AS n FROM ${sql}`).then(
      ([row]) => row!.n,
      () => 0,
    );
  async function until(server: Server, sql: string, child: Child): Promise<void> {
    while ((await ask(server, sql)) === 0) {
      if (child.process.exitCode !== null) throw new Error((await child.ended).err);
      await sleep(2);
    }
  }

  /** That a trace which is not whole is not there for any command. */
  async function expectUnseen(server: Server, database: string): Promise<void> {
    const id = await traceOf(server);
    for (const args of [
      ['analyze', `${urlOf(database)}/${id}`],
      ['diff', dir, `${urlOf(database)}/${id}`],
      ['sql', `${urlOf(database)}/${id}`, 'SELECT count() FROM events'],
      ['trend', '--clickhouse', urlOf(database), '--of', 'mmio.p99', '--by', 'build'],
    ]) {
      const ran = await traceIn(env, ...args);
      expect([args[0], ran.code, ran.out, ran.err]).toEqual([
        args[0],
        3,
        '',
        expect.stringMatching(/^trace: E_NO_DATA: [^\n]+\n$/),
      ]);
    }
  }

  async function traceOf(server: Server): Promise<string> {
    const [row] = await server.rows<{ trace: string }>('SELECT toString(any(trace)) AS trace FROM events');
    return row!.trace;
  }

  /** Everything once, the same figures as here, and nothing that is left over. */
  async function expectWhole(server: Server, database: string): Promise<void> {
    const id = await traceOf(server);
    const { counts } = local as { counts: { events: number } };
    expect(await ask(server, 'events')).toBe(counts.events);
    expect(await ask(server, '(SELECT DISTINCT source, row FROM events)')).toBe(counts.events);
    const report = await traceIn(env, 'analyze', `${urlOf(database)}/${id}`, '--json');
    expect(comparable(JSON.parse(report.out) as object)).toEqual(local);
    const tables = await server.rows<{ name: string }>('SHOW TABLES');
    expect(tables.map((t) => t.name).sort()).toEqual(
      [...TABLES.map((t) => t.name), 'schema_versions'].sort(),
    );
    expect(await ask(server, 'traces')).toBe(1);
    expect(await ask(server, "system.processes WHERE startsWith(query_id, 'ioreq-trace-')")).toBe(0);
    expect(readdirSync(join(scratch, 'tmp'))).toEqual([]);
  }

  it('by SIGKILL, whenever: nothing is lost, twice, half seen or left over', async () => {
    const server = await open('killed');
    const moments = [
      'events',
      "system.processes WHERE startsWith(query_id, 'ioreq-trace-rows-')",
      "spans WHERE family = 'mmio'",
      'sources',
    ];
    for (const moment of moments) {
      const child = load(urlOf('killed'));
      await until(server, moment, child);
      child.process.kill('SIGKILL');
      const { code, out } = await child.ended;
      expect([moment, code, out]).toEqual([moment, -1, '']);
      expect(readdirSync(join(scratch, 'tmp'))).toEqual([]);
      // The last row may have been under way with the facts.
      if ((await ask(server, 'traces')) === 0) await expectUnseen(server, 'killed');
      else expect(moment).toBe('sources');
    }
    const last = await load(urlOf('killed')).ended;
    expect([last.code, last.err]).toEqual([0, '']);
    await expectWhole(server, 'killed');
  }, 120_000);

  it('by Ctrl-C on a line that has become slow: at once, and it goes on', async () => {
    const server = await open('stopped');
    const proxy: Proxy = await startProxy(clickhouse.httpPort);
    try {
      const url = `clickhouse://127.0.0.1:${proxy.port}/stopped`;
      const child = load(url);
      await until(server, 'events', child);
      proxy.line.rate = 1000;
      await sleep(200);
      child.process.kill('SIGINT');
      const begun = Date.now();
      const { code, out, err } = await child.ended;
      expect(Date.now() - begun).toBeLessThan(5000);
      expect([code, err]).toEqual([130, '']);
      expect(out).toMatch(/^clickhouse:\S+: interrupted; the same command goes on where it stopped\n$/);
      await expectUnseen(server, 'stopped');
      delete proxy.line.rate;
      const second = await load(url).ended;
      expect([second.code, second.err, second.out]).toEqual([
        0,
        '',
        expect.stringContaining('of them by a load before this one'),
      ]);
      await expectWhole(server, 'stopped');
    } finally {
      await proxy.close();
    }
  }, 120_000);

  it('not, though its server is killed while spans are made', async () => {
    const server = await open('server');
    const child = load(urlOf('server'));
    await until(server, "system.processes WHERE startsWith(query_id, 'ioreq-trace-rows-')", child);
    await clickhouse.stop('SIGKILL');
    await clickhouse.start();
    const { code, err } = await child.ended;
    expect([code, err]).toEqual([0, expect.stringMatching(/^warning: [^\n]+; trying again for 60 s\n$/)]);
    await expectWhole(server, 'server');
  }, 120_000);

  it('is waited for by one that comes meanwhile, and the trace is there once', async () => {
    const server = await open('twice');
    const loads = await Promise.all([load(urlOf('twice')).ended, load(urlOf('twice')).ended]);
    expect(loads.map((l) => l.code)).toEqual([0, 0]);
    const texts = loads.map((l) => l.out.replace(/^\S+ /, '')).sort();
    expect(texts).toEqual([
      expect.stringMatching(/^[\d,]+ events; /),
      'is there already, whole; nothing was sent\n',
    ]);
    await expectWhole(server, 'twice');
  }, 120_000);
});
