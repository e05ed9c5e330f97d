import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAddress } from '../analyzer/clickhouse/address.ts';
import { eventBody } from '../analyzer/clickhouse/arrow-body.ts';
import { loadEvents } from '../analyzer/clickhouse/load-events.ts';
import { loadTrace } from '../analyzer/clickhouse/load.ts';
import { createTable, migrate } from '../analyzer/clickhouse/schema.ts';
import type { Server } from '../analyzer/clickhouse/server.ts';
import { connect } from '../analyzer/clickhouse/server.ts';
import { TABLES } from '../analyzer/clickhouse/tables.ts';
import { clickhouseMissing, startClickHouse } from '../fixtures/clickhouse/server.ts';
import { writeLargeTrace } from '../fixtures/scale/large-trace.ts';
import { openTrace } from '../trace/open.ts';
import type { OpenTrace } from '../trace/open.ts';

/**
 * `trace load` of 10^7 events beside a raw insert of the same rows in the same columns into a table with the same
 * codecs, without tokens, blocks and checks: one ArrowStream a source, as fast as the server takes it. Best of the
 * rounds for each, in turn. Then what the table takes on disk.
 *
 * Exit 1 if the load is slower than GOAL of the raw insert, or if there is no engine.
 */
const GOAL = 0.8;
const ROUNDS = 3;

const missing = clickhouseMissing();
if (missing !== undefined) {
  console.error(`bench: ${missing}`);
  process.exit(1);
}
const events = Number(process.argv[2] ?? 1e7);
const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-load-'));
const clickhouse = await startClickHouse();
try {
  const dir = join(work, 'trace');
  await writeLargeTrace(dir, { events });
  const trace = openTrace(dir);
  const rows = trace.sources.reduce((sum, s) => sum + s.scan.rows, 0);
  const url = new URL(clickhouse.url);
  const address = parseAddress(`clickhouse://${url.host}/bench`, {
    IOREQ_TRACE_CLICKHOUSE_USER: clickhouse.user,
    IOREQ_TRACE_CLICKHOUSE_PASSWORD: clickhouse.password,
  });
  const server = await connect(address);
  await migrate(server, { tool: 'bench' });
  let raw = Infinity;
  let load = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    raw = Math.min(raw, await seconds(() => rawInsert(server, trace)));
    load = Math.min(load, await seconds(() => loadEvents(server, `round${round}`, trace)));
    if (round < ROUNDS - 1) await server.command(`ALTER TABLE events DROP PARTITION 'round${round}'`);
  }
  const all = await seconds(() =>
    loadTrace(server, trace, { tool: { name: 'bench', version: '0' }, path: dir, labels: {} }),
  );
  console.log(`${rows} events`);
  console.log(`raw ArrowStream insert     ${line(raw, rows)}`);
  console.log(
    `trace load, events         ${line(load, rows)}   ${((100 * raw) / load).toFixed(0)} % of raw (goal ${100 * GOAL} %)`,
  );
  console.log(`trace load, with its spans ${line(all, rows)}`);
  const sizes = await server.rows<{ name: string; bytes: number }>(
    'SELECT name, toFloat64(sum(column_data_compressed_bytes)) AS bytes FROM system.parts_columns AS p ' +
      "WHERE database = currentDatabase() AND table = 'events' AND active GROUP BY column AS name ORDER BY bytes DESC",
  );
  const held = await server.rows<{ n: number }>('SELECT toFloat64(count()) AS n FROM events');
  const n = held[0]!.n;
  const total = sizes.reduce((sum, s) => sum + s.bytes, 0);
  console.log(
    `on disk ${(total / n).toFixed(2)} bytes an event: ${sizes.map((s) => `${s.name} ${(s.bytes / n).toFixed(2)}`).join(', ')}`,
  );
  await server.close();
  if (raw / load < GOAL) process.exitCode = 1;
} finally {
  await clickhouse.remove();
  rmSync(work, { recursive: true, force: true });
}

async function seconds(run: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await run();
  return (performance.now() - begin) / 1e3;
}

function line(s: number, rows: number): string {
  return `${s.toFixed(2).padStart(7)} s  ${(rows / s / 1e6).toFixed(2).padStart(6)} M rows/s`;
}

async function rawInsert(server: Server, trace: OpenTrace): Promise<void> {
  const table = TABLES.find((t) => t.name === 'events')!;
  const columns = [
    ['n', 'UInt32'] as const,
    ...table.columns.filter(([name]) => !['trace', 'source', 'row'].includes(name)),
  ];
  const plain = { ...table, name: 'raw', columns, order: ['kind', 'domid', 'vcpu', 'n'], partitioned: false };
  await server.command('DROP TABLE IF EXISTS raw');
  for (const statement of createTable(plain, { database: server.database })) await server.command(statement);
  for (const source of trace.sources) {
    await server.insert(
      'INSERT INTO raw FORMAT ArrowStream',
      eventBody(source.facts.id, source.batches()),
      {},
      {},
    );
  }
}
