import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runPasses } from '../analyzer/analyze.ts';
import { parseAddress } from '../analyzer/clickhouse/address.ts';
import { loadEvents } from '../analyzer/clickhouse/load-events.ts';
import { passSettings } from '../analyzer/clickhouse/pass-settings.ts';
import { migrate } from '../analyzer/clickhouse/schema.ts';
import type { Server } from '../analyzer/clickhouse/server.ts';
import { connect } from '../analyzer/clickhouse/server.ts';
import { spanStatement, spansStatement, sqlFacts } from '../analyzer/sql/index.ts';
import { REFUSAL } from '../analyzer/sql/params.ts';
import { clickhouseMissing, startClickHouse } from '../fixtures/clickhouse/server.ts';
import { writeLargeTrace } from '../fixtures/scale/large-trace.ts';
import { isTraceError } from '../trace/errors.ts';
import { K } from '../trace/events.ts';
import { SPAN_FAMILIES } from '../trace/manifest.ts';
import { openTrace } from '../trace/open.ts';

/**
 * The passes as SQL beside the hand-written queries that only pair the trap of an ioreq with its completion, on the
 * same 10^7 generated events (or as many as are asked for) in one server: best wall time of the rounds, CPU time of
 * the server's process and by how much its memory grew. Trace points in Xen, so that every family has spans.
 *
 * The hand-written ones read two kinds of event and give two columns. The statement of the accesses joins both sides
 * of every ioreq and gives thirteen: it is measured whole, `mmio`, and the ratio is to the better of the two. `all` is
 * the one statement by which `trace load` has the spans of every family made.
 *
 * Exit 1 if that ratio is beyond GOAL, if the queries do not find the same ioreqs, or if there is no engine.
 */
const GOAL = 1.5;
const ROUNDS = 3;
const TICKS_A_SECOND = 100;

const missing = clickhouseMissing();
if (missing !== undefined) {
  console.error(`bench: ${missing}`);
  process.exit(1);
}
const given = process.argv[2] ?? '1e7';
const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-sql-'));
const clickhouse = await startClickHouse();
try {
  let dir = given;
  if (Number.isFinite(Number(given))) {
    dir = join(work, 'trace');
    await writeLargeTrace(dir, { events: Number(given), patched: true });
  }
  const trace = openTrace(dir);
  const address = parseAddress(`clickhouse://${new URL(clickhouse.url).host}/bench`, {
    IOREQ_TRACE_CLICKHOUSE_USER: clickhouse.user,
    IOREQ_TRACE_CLICKHOUSE_PASSWORD: clickhouse.password,
  });
  const server = await connect(address);
  await migrate(server, { tool: 'bench' });
  await loadEvents(server, 'bench', trace);
  const expected = new Map<string, number>();
  const results = runPasses(trace, () => [
    ({ family }, batch) => expected.set(family, (expected.get(family) ?? 0) + batch.length),
  ]);
  const facts = sqlFacts(trace.manifest, results);
  console.log(`${trace.sources.reduce((sum, s) => sum + s.scan.rows, 0)} events`);
  const params = { trace: 'bench', domid: facts.domid };
  const hand = [
    await measured(server, 'by hand, window', byWindow(), params),
    await measured(server, 'by hand, ASOF JOIN', byAsof(), params),
  ];
  let spans = Infinity;
  for (const family of SPAN_FAMILIES) {
    const statement = spanStatement(family, facts, {
      trace: 'bench',
      database: server.database,
      events: 'events',
    });
    if (statement === undefined) continue;
    const made = await measured(server, family, statement.sql, statement.params).catch((error: unknown) => {
      if (!isTraceError(error) || !error.message.includes(REFUSAL)) throw error;
      console.log(`${family}: ${error.message}`);
      return { seconds: NaN, rows: NaN };
    });
    if (family === 'mmio') spans = made.seconds;
    if (made.rows === expected.get(family)) continue;
    console.log(`${family}: ${made.rows} rows, ${expected.get(family) ?? 0} here`);
    process.exitCode = 1;
  }
  if (new Set(hand.map((h) => h.rows)).size !== 1) process.exitCode = 1;
  const { sharing } = await passSettings(server);
  const target = { trace: 'bench', database: server.database, events: 'events', sharing };
  const able = SPAN_FAMILIES.filter((family) => spanStatement(family, facts, target) !== undefined);
  const all = spansStatement(able, facts, target);
  const together = await measured(server, sharing ? 'all, as loaded' : 'all', all.sql, all.params);
  const wanted = able.reduce((sum, family) => sum + (expected.get(family) ?? 0), 0);
  if (together.rows !== wanted) process.exitCode = 1;
  const ratio = spans / Math.min(...hand.map((h) => h.seconds));
  console.log(`mmio takes ${ratio.toFixed(2)} times the better one by hand (goal: ${GOAL})`);
  if (!(ratio <= GOAL)) process.exitCode = 1;
  await server.close();
} finally {
  await clickhouse.remove();
  rmSync(work, { recursive: true, force: true });
}

/** Trap to completion: each resume with the record before it on its vCPU. */
function byWindow(): string {
  return `SELECT vcpu, ts - before.2 AS total FROM (
      SELECT vcpu, ts, kind, lagInFrame((kind, ts), 1, (toUInt16(0), toFloat64(0)))
        OVER (PARTITION BY vcpu ORDER BY row ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before
      FROM events WHERE trace = {trace:String} AND kind IN (${K.ARM_S2_ABORT}, ${K.ARM_S2_RESUME}) AND domid = {domid:UInt16}
    ) WHERE kind = ${K.ARM_S2_RESUME} AND before.1 = ${K.ARM_S2_ABORT}`;
}

function byAsof(): string {
  const of = (kind: number): string =>
    `(SELECT vcpu, row, ts FROM events WHERE trace = {trace:String} AND kind = ${kind} AND domid = {domid:UInt16})`;
  return `SELECT e.vcpu, e.ts - b.ts AS total FROM ${of(K.ARM_S2_RESUME)} AS e
    ASOF JOIN ${of(K.ARM_S2_ABORT)} AS b ON e.vcpu = b.vcpu AND b.row < e.row`;
}

async function measured(
  server: Server,
  name: string,
  sql: string,
  params: Readonly<Record<string, unknown>>,
): Promise<{ seconds: number; rows: number }> {
  const { settings } = await passSettings(server);
  let seconds = Infinity;
  let cpu = Infinity;
  let grown = 0;
  let rows = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const before = resources();
    const begin = performance.now();
    // Every column is made, none is sent: what is measured is the server.
    const [row] = await server.rows<{ n: number }>(
      `SELECT toFloat64(count()) AS n, sum(cityHash64(*)) AS all FROM (${sql})`,
      params,
      settings,
    );
    seconds = Math.min(seconds, (performance.now() - begin) / 1e3);
    const after = resources();
    cpu = Math.min(cpu, after.cpu - before.cpu);
    grown = Math.max(grown, after.peak - before.resident);
    rows = row!.n;
  }
  const columns = [
    `${seconds.toFixed(2).padStart(7)} s`,
    `${cpu.toFixed(2).padStart(6)} CPU s`,
    `${(grown / 2 ** 20).toFixed(0).padStart(5)} MB more`,
    `${String(rows).padStart(8)} rows`,
  ];
  console.log(`${name.padEnd(20)} ${columns.join('  ')}`);
  return { seconds, rows };
}

/** CPU time of the server so far, s, and its resident memory now and at most since the last call, bytes. */
function resources(): { cpu: number; resident: number; peak: number } {
  const proc = `/proc/${clickhouse.pid ?? 0}`;
  const stat = readFileSync(join(proc, 'stat'), 'utf8');
  // Behind the name, which may hold anything: utime and stime are fields 14 and 15 of proc_pid_stat(5).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const status = readFileSync(join(proc, 'status'), 'utf8');
  const kb = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
  const now = {
    cpu: (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND,
    resident: kb('VmRSS') * 1024,
    peak: kb('VmHWM') * 1024,
  };
  // The peak counts anew (proc_pid_clear_refs(5)).
  writeFileSync(join(proc, 'clear_refs'), '5');
  return now;
}
