import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClickHouseServer } from '../../fixtures/clickhouse/server.ts';
import {
  CLUSTER,
  clickhouseMissing,
  startClickHouse,
  startCluster,
} from '../../fixtures/clickhouse/server.ts';
import { importCapture } from '../../collector/import.ts';
import { generateScenario } from '../../fixtures/scenario/index.ts';
import { writeLargeTrace } from '../../fixtures/scale/large-trace.ts';
import { openTrace } from '../../trace/open.ts';
import { analyzeTrace } from '../report/build.ts';
import type { GroupKey } from '../stats/group-key.ts';
import { heldBlocks } from './insert.ts';
import { loadTrace } from './load.ts';
import { reportOnServer } from './report.ts';
import type { Migration } from './schema.ts';
import { MIGRATIONS, migrate } from './schema.ts';
import type { Server } from './server.ts';
import { connect } from './server.ts';
import { storedTrace } from './stored-trace.ts';
import { addressOf, comparable, loadOptions, withFolder, withTrace } from './testing/on-server.ts';

const missing = clickhouseMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

const BY: GroupKey[] = ['device', 'register', 'vcpu'];

async function count(server: Server, table: string): Promise<number> {
  const [row] = await server.rows<{ n: number }>(`SELECT toFloat64(count()) AS n FROM ${table}`);
  return row!.n;
}

describe.skipIf(missing !== undefined)('a trace in a ClickHouse database', () => {
  let clickhouse: ClickHouseServer;
  beforeAll(async () => {
    clickhouse = await startClickHouse();
  }, 90_000);
  afterAll(() => clickhouse.remove());

  it.each(['A2', 'P1'])(
    'gives the report of capture %s field by field',
    (name) =>
      withTrace(name, async (trace) => {
        const server = await connect(addressOf('reports', clickhouse));
        const { id, already } = await loadTrace(server, trace, loadOptions());
        expect(already).toBe(false);
        const there = await reportOnServer(server, id, { tool: 'test', by: BY });
        const here = analyzeTrace(trace, { path: 'trace', by: BY, warnings: trace.warnings });
        expect(comparable(there)).toEqual(comparable(here));
        expect(here.mmio.total.count).toBeGreaterThan(100);
        expect(here.slowest.mmio[0]!.events.length).toBeGreaterThan(3);
        // Not by sending them: the server made these spans of the events.
        expect(JSON.parse((await storedTrace(server, id)).passes)).toMatchObject({ mmio: 'server' });
        await server.close();
      }),
    60_000,
  );

  it.each([false, true])(
    'has each span once where the server refuses some families, with blocks that were stored before: %s',
    (early) =>
      withFolder(async (folder) => {
        const [raw, dir] = [join(folder, 'raw'), join(folder, 'trace')];
        const xenLoss = [{ cpu: 0, atIoreq: 200, records: 300 }];
        generateScenario({ ioreqs: 400, seed: 18, patched: true, xenLoss }, raw);
        await importCapture([raw], dir, { tool: { name: 'test', version: '0' } });
        const trace = openTrace(dir);
        const server = await connect(addressOf(`refused-${early}`, clickhouse));
        const once = server.once.bind(server);
        const sent: string[] = [];
        server.once = async (sql, params, settings, id) => {
          // What is left of a long trace's family that was not refused.
          const rest = "INSERT INTO spans (trace, family) SELECT {trace:String}, 'injection'";
          if (early && sent.length === 0) await once(rest, { trace: params['trace'] });
          sent.push(sql);
          return once(sql, params, settings, id);
        };
        const { id } = await loadTrace(server, trace, loadOptions());
        expect(JSON.parse((await storedTrace(server, id)).passes)).toEqual({
          mmio: 'loader',
          interrupt: 'loader',
          injection: 'server',
          request: 'loader',
        });
        expect(sent[0]).toContain('UNION ALL');
        expect(sent).toHaveLength(5);
        const there = await reportOnServer(server, id, { tool: 'test' });
        const here = analyzeTrace(trace, { path: 'trace', warnings: trace.warnings });
        expect(comparable(there)).toEqual(comparable(here));
        await server.close();
      }),
    60_000,
  );

  it(
    'is there once when it is loaded twice, and keeps labels with quotes as they are',
    () =>
      withTrace('A2', async (trace) => {
        const server = await connect(addressOf('labels-2', clickhouse));
        const labels = { build: `it's "quoted" \\ \`x\``, board: "'); DROP TABLE traces; --" };
        const first = await loadTrace(server, trace, loadOptions({ labels, path: "a 'path'" }));
        const events = await count(server, 'events');
        const again = await loadTrace(server, trace, loadOptions({ labels }));
        expect([first.already, again.already, again.id]).toEqual([false, true, first.id]);
        expect(await count(server, 'events')).toBe(events);
        expect(events).toBe(trace.sources.reduce((sum, s) => sum + s.scan.rows, 0));
        const stored = await storedTrace(server, first.id);
        expect([stored.labels, stored.path]).toEqual([labels, "a 'path'"]);
        expect(stored.manifest).toEqual(trace.manifest);
        await server.close();
      }),
    60_000,
  );

  it(
    'counts only the spans that --where chooses, and says when it is none',
    () =>
      withTrace('P1', async (trace) => {
        const server = await connect(addressOf('reports', clickhouse));
        const { id } = await loadTrace(server, trace, loadOptions());
        const report = (where: string): ReturnType<typeof reportOnServer> =>
          reportOnServer(server, id, { tool: 'test', where });
        let reads = 0;
        analyzeTrace(trace, {
          path: '',
          onSpans(plan, batch) {
            for (let i = 0; i < batch.length; i++)
              if (plan.family === 'mmio' && batch.dir[i] === 1 && batch.flags[i] === 0) reads++;
          },
        });
        expect(reads).toBeGreaterThan(10);
        expect((await report("device_name = 'blk0' AND dir = 1 AND flags = 0")).mmio.total.count).toBe(reads);
        expect((await report("device_name = 'other'")).mmio.total.count).toBe(0);
        await expect(report('no_such_column = 1')).rejects.toMatchObject({ code: 'E_USAGE' });
        await expect(report('1) ; DROP TABLE spans --')).rejects.toMatchObject({ code: 'E_USAGE' });
        await server.close();
      }),
    60_000,
  );

  it(
    'goes on where it stopped, and is not seen before it is whole',
    () =>
      withFolder(async (folder) => {
        const dir = join(folder, 'large');
        await writeLargeTrace(dir, { events: 2.5e6 });
        const trace = openTrace(dir);
        const server = await connect(addressOf('resumed', clickhouse));
        const stop = new AbortController();
        const first = await loadTrace(
          server,
          trace,
          loadOptions({
            signal: stop.signal,
            progress: (done) => {
              if (done > 0) stop.abort();
            },
          }),
        );
        expect(first.interrupted).toBe(true);
        const part = await count(server, 'events');
        expect(part).toBeGreaterThan(0);
        expect(part).toBeLessThan(first.events);
        await expect(reportOnServer(server, first.id, { tool: 'test' })).rejects.toMatchObject({
          code: 'E_NO_DATA',
        });
        const second = await loadTrace(server, trace, loadOptions());
        expect([second.id, second.resumed, second.interrupted]).toEqual([first.id, part, false]);
        expect(await count(server, 'events')).toBe(first.events);
        await server.close();
      }),
    90_000,
  );

  it(
    'loses nothing and has nothing twice when the server is killed and started again meanwhile',
    () =>
      withFolder(async (folder) => {
        const own = await startClickHouse();
        try {
          const dir = join(folder, 'large');
          await writeLargeTrace(dir, { events: 2.5e6 });
          const trace = openTrace(dir);
          const retries: string[] = [];
          const server = await connect(addressOf('killed', own), {
            patienceMs: 60_000,
            onRetry: (error) => retries.push(error.message),
          });
          let killed: Promise<void> | undefined;
          const { id, events } = await loadTrace(
            server,
            trace,
            loadOptions({
              progress: (done) => {
                if (done > 0) killed ??= own.stop('SIGKILL').then(() => own.start());
              },
            }),
          );
          await killed;
          expect(retries.length).toBeGreaterThan(0);
          const blocks = await heldBlocks(server, id);
          expect(blocks.reduce((sum, b) => sum + b.rows, 0)).toBe(events);
          expect(await count(server, 'events')).toBe(events);
          const there = await reportOnServer(server, id, { tool: 'test' });
          expect(comparable(there)).toEqual(
            comparable(analyzeTrace(trace, { path: '', warnings: trace.warnings })),
          );
          await server.close();
        } finally {
          await own.remove();
        }
      }),
    120_000,
  );

  it('refuses tables of a newer version and brings older ones up to date', async () => {
    const server = await connect(addressOf('versions', clickhouse));
    const next: Migration = {
      version: 2,
      statements: () => ['ALTER TABLE versions.traces ADD COLUMN IF NOT EXISTS later String'],
    };
    await migrate(server, { tool: 'test' });
    await migrate(server, { tool: 'test', migrations: [...MIGRATIONS, next] });
    expect(await server.rows('SELECT later FROM traces')).toEqual([]);
    await expect(migrate(server, { tool: 'test' })).rejects.toMatchObject({
      code: 'E_SCHEMA_VERSION',
      message: expect.stringContaining('expected schema version 1 or older, got 2') as string,
    });
    await server.close();
  }, 60_000);

  it(
    'says that the disk is full',
    () =>
      withTrace('A2', async (trace) => {
        const server = await connect(addressOf('full', clickhouse));
        await migrate(server, { tool: 'test' });
        await server.command(
          'ALTER TABLE events MODIFY SETTING min_free_disk_bytes_to_perform_insert = 1000000000000000',
        );
        await expect(loadTrace(server, trace, loadOptions())).rejects.toMatchObject({
          code: 'E_SERVER',
          message: expect.stringMatching(/disk is full/) as string,
        });
        await server.close();
      }),
    60_000,
  );
});

describe.skipIf(missing !== undefined)('traces on a cluster', () => {
  let servers: ClickHouseServer[] = [];
  beforeAll(async () => {
    servers = await startCluster(2);
  }, 90_000);
  afterAll(() => Promise.all(servers.map((server) => server.remove())));

  it('lie whole on one shard each and give the same reports through every server', async () => {
    const [one, two] = [servers[0]!, servers[1]!];
    const address = addressOf('spread', one, two);
    const server = await connect(address);
    const other = await connect(addressOf('spread', two));
    const options = loadOptions({ cluster: CLUSTER });
    for (const name of ['A2']) {
      await withTrace(name, async (trace) => {
        const { id } = await loadTrace(server, trace, options);
        expect((await loadTrace(server, trace, options)).already).toBe(true);
        const { passes } = await storedTrace(server, id);
        expect(new Set(Object.values(JSON.parse(passes) as Record<string, string>))).toEqual(
          new Set(['server']),
        );
        const here = comparable(analyzeTrace(trace, { path: '', by: BY, warnings: trace.warnings }));
        for (const s of [server, other]) {
          const there = await reportOnServer(s, id, { tool: 'test', by: BY });
          expect(comparable(there)).toEqual(here);
        }
        const parts = await Promise.all(
          [server, other].map((s) =>
            s.rows<{ n: number }>(
              'SELECT toFloat64(count()) AS n FROM events_local WHERE trace = {id:String}',
              { id },
            ),
          ),
        );
        const rows = parts.map(([row]) => row!.n).sort((a, b) => a - b);
        expect(rows).toEqual([0, trace.sources.reduce((sum, s) => sum + s.scan.rows, 0)]);
      });
    }
    await expect(
      migrate(await connect(addressOf('none', one)), { tool: 't', cluster: 'nowhere' }),
    ).rejects.toMatchObject({
      code: 'E_NO_DATA',
    });
    await server.close();
    await other.close();
  }, 180_000);
});
