import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAddress } from '../analyzer/clickhouse/address.ts';
import { loadTrace } from '../analyzer/clickhouse/load.ts';
import { reportOnServer } from '../analyzer/clickhouse/report.ts';
import { connect } from '../analyzer/clickhouse/server.ts';
import { storedTrace } from '../analyzer/clickhouse/stored-trace.ts';
import { analyzeTrace } from '../analyzer/report/build.ts';
import { CLUSTER, clickhouseMissing, startCluster } from '../fixtures/clickhouse/server.ts';
import { writeLargeTrace } from '../fixtures/scale/large-trace.ts';
import { openTrace } from '../trace/open.ts';

/**
 * A generated trace (10^7 events, or as many as are asked for) on a cluster of two servers on this machine: loaded,
 * its spans made there, and analysed there and here. Every field of the two reports must be the same; means and
 * shares, for which a server adds in an order of its own, to 12 digits.
 *
 * Exit 1 if one differs, or if there is no engine.
 */
const missing = clickhouseMissing();
if (missing !== undefined) {
  console.error(`bench: ${missing}`);
  process.exit(1);
}
const events = Number(process.argv[2] ?? 1e7);
const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-cluster-'));
const servers = await startCluster(2);
try {
  const dir = join(work, 'trace');
  await writeLargeTrace(dir, { events });
  const trace = openTrace(dir);
  const hosts = servers.map((s) => new URL(s.url).host).join(',');
  const address = parseAddress(`clickhouse://${hosts}/bench`, {
    IOREQ_TRACE_CLICKHOUSE_USER: servers[0]!.user,
    IOREQ_TRACE_CLICKHOUSE_PASSWORD: servers[0]!.password,
  });
  const server = await connect(address, { patienceMs: 60_000 });
  let shown = 0;
  const loaded = await timed('load', () =>
    loadTrace(server, trace, {
      tool: { name: 'bench', version: '0' },
      path: dir,
      labels: {},
      cluster: CLUSTER,
      progress(done, total) {
        const part = Math.floor((10 * done) / total);
        if (part > shown) console.log(`  ${part * 10} % of ${total} events`);
        shown = part;
      },
    }),
  );
  console.log(`spans made by: ${(await storedTrace(server, loaded.id)).passes}`);
  const there = await timed('report, counted on the cluster', () =>
    reportOnServer(server, loaded.id, { tool: 'bench', by: ['device', 'register'] }),
  );
  const here = await timed('report, counted here', () =>
    Promise.resolve(analyzeTrace(trace, { path: '', by: ['device', 'register'], warnings: trace.warnings })),
  );
  await server.close();
  const differences = different(there, here, '').filter((path) => path !== '.trace.path');
  const ioreqs = here.counts.ioreqs;
  console.log(`${loaded.events} events, ${ioreqs} ioreqs: ${differences.length} fields differ`);
  for (const path of differences.slice(0, 20)) console.log(`  ${path}`);
  if (differences.length > 0 || ioreqs === 0) process.exitCode = 1;
} finally {
  await Promise.all(servers.map((server) => server.remove()));
  rmSync(work, { recursive: true, force: true });
}

async function timed<T>(what: string, run: () => Promise<T>): Promise<T> {
  const begin = performance.now();
  const result = await run();
  console.log(`${what}: ${((performance.now() - begin) / 1e3).toFixed(1)} s`);
  return result;
}

/** Paths at which two documents differ. */
function different(a: unknown, b: unknown, path: string): string[] {
  if (Object.is(a, b)) return [];
  if (typeof a === 'number' && typeof b === 'number' && /\.(mean_ns|share)$/.test(path))
    return a.toPrecision(12) === b.toPrecision(12) ? [] : [path];
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return [path];
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].flatMap((key) =>
    different((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key], `${path}.${key}`),
  );
}
