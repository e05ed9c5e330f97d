import { traceAxis } from '../../trace/axis.ts';
import type { OpenTrace } from '../../trace/open.ts';
import type { SpanPlans } from '../analyze.ts';
import { runPasses } from '../analyze.ts';
import { sqlFacts } from '../sql/index.ts';
import { insertOnce } from './insert.ts';
import { loadEvents } from './load-events.ts';
import { loadSpans } from './load-spans.ts';
import { LoadLock, endLeftStatements } from './load-lock.ts';
import { ident } from './names.ts';
import { storeResults } from './results.ts';
import { migrate } from './schema.ts';
import type { Server } from './server.ts';
import { SpanSpool } from './span-spool.ts';
import { traceId } from './trace-id.ts';

export interface LoadOptions {
  tool: { name: string; version: string };
  path: string;
  labels: Readonly<Record<string, string>>;
  cluster?: string;
  warnings?: readonly string[];
  /** Events that are on the server, and all. */
  progress?: (done: number, total: number) => void;
  signal?: AbortSignal;
  /** Called when another load of the same trace is under way, which is waited for. */
  onWait?: () => void;
}

export interface Loaded {
  id: string;
  events: number;
  /** Events that an interrupted load had brought already. */
  resumed: number;
  /** The trace was there whole: nothing was sent. Its labels are as before. */
  already: boolean;
  /** `signal` ended it; the same command goes on where it stopped. */
  interrupted: boolean;
}

/**
 * Puts a trace into the database: events, facts, spans, and last its row in `traces`, from which on it is seen.
 * Killed at any instant and run again it goes on; run twice it does nothing, at once or one after the other. Rejects
 * with E_SERVER and E_SCHEMA_VERSION, E_WRITE for the temporary files.
 */
export async function loadTrace(server: Server, trace: OpenTrace, options: LoadOptions): Promise<Loaded> {
  const { tool, cluster } = options;
  const id = traceId(trace.manifest);
  const total = trace.sources.reduce((sum, source) => sum + source.scan.rows, 0);
  const lock = new LoadLock(server, id, options);
  const loaded: Loaded = { id, events: total, resumed: 0, already: false, interrupted: false };
  try {
    await migrate(server, {
      tool: `${tool.name} ${tool.version}`,
      ...(cluster === undefined ? {} : { cluster }),
    });
    if (await isThere(server, id)) return { ...loaded, already: true };
    await lock.ensure();
    if (await isThere(server, id)) return { ...loaded, already: true };
    const { resumed } = await loadEvents(server, id, trace, options);
    if (options.signal?.aborted === true) return { ...loaded, resumed, interrupted: true };
    const already = await finish(server, id, trace, lock, options);
    return { ...loaded, resumed, already };
  } catch (error) {
    if (options.signal?.aborted === true) return { ...loaded, interrupted: true };
    throw error;
  } finally {
    lock.release();
  }
}

async function isThere(server: Server, id: string): Promise<boolean> {
  const [row] = await server.rows('SELECT trace FROM traces FINAL WHERE trace = {id:String}', { id });
  return row !== undefined;
}

/** Spans, facts and the row that makes the trace seen; true if another load has done it meanwhile. */
async function finish(
  server: Server,
  id: string,
  trace: OpenTrace,
  lock: LoadLock,
  options: LoadOptions,
): Promise<boolean> {
  const { tool, cluster } = options;
  const spool = new SpanSpool();
  try {
    let plans: SpanPlans | undefined;
    const results = runPasses(trace, (p) => {
      plans = p;
      return [spool.add];
    });
    spool.close();
    const facts = sqlFacts(trace.manifest, results);
    // A server that goes away here forgets the lock, and may have some of the spans: all of this anew, then.
    return await server.again('to make spans', async () => {
      if ((await lock.ensure()) && (await isThere(server, id))) return true;
      await endLeftStatements(server, id);
      const origins = await loadSpans(server, id, {
        facts,
        blocks: spool.blocks,
        ...(cluster === undefined ? {} : { cluster }),
      });
      await loadFacts(server, id, trace);
      await insertRows(server, 'traces', id, [
        {
          trace: id,
          tool: `${tool.name} ${tool.version}`,
          path: options.path,
          created: trace.manifest.created,
          events: trace.sources.reduce((sum, source) => sum + source.scan.rows, 0),
          labels: options.labels,
          warnings: options.warnings ?? trace.warnings,
          manifest: JSON.stringify(trace.manifest),
          plans: JSON.stringify(plans),
          results: storeResults(results),
          facts: JSON.stringify(facts),
          passes: JSON.stringify(origins),
        },
      ]);
      return false;
    });
  } finally {
    spool.remove();
  }
}

/** Sources with their places on the axis, interned strings and devices, for queries of the user's own. */
async function loadFacts(server: Server, trace: string, { manifest }: OpenTrace): Promise<void> {
  const axis = traceAxis(manifest);
  await insertRows(
    server,
    'sources',
    trace,
    manifest.sources.map((s) => {
      const line = axis.line(s.id);
      const { name: clock, unit, epoch } = s.clock;
      const place = { placed: line === undefined ? 0 : 1, scale: line?.scale ?? 0, shift: line?.shift ?? 0 };
      return {
        trace,
        source: s.id,
        format: s.format,
        clock,
        unit,
        epoch,
        ...place,
        rows: s.rows,
        lost: s.lost,
      };
    }),
  );
  await insertRows(
    server,
    'strings',
    trace,
    manifest.sources.flatMap((s) => s.strings.map((text, n) => ({ trace, source: s.id, id: n, text }))),
  );
  await insertRows(
    server,
    'devices',
    trace,
    manifest.devices.map(({ name, kind, base, size, spi }, n) => ({ trace, n, name, kind, base, size, spi })),
  );
}

const ROWS_A_PIECE = 10_000;

/** A few rows as JSON. The tables replace rows of one key: sent twice they are there once. */
async function insertRows(
  server: Server,
  table: string,
  trace: string,
  rows: readonly Readonly<Record<string, unknown>>[],
): Promise<void> {
  const [first] = rows;
  if (first === undefined) return;
  const columns = Object.keys(first);
  const loaded = new Date().toISOString().replace('T', ' ').replace('Z', '');
  await insertOnce(server, {
    query: `INSERT INTO ${ident(table)} (loaded, ${columns.map(ident).join(', ')}) FORMAT JSONEachRow`,
    params: {},
    token: `${trace}/${table}/${loaded}`,
    *body() {
      for (let at = 0; at < rows.length; at += ROWS_A_PIECE) {
        const piece = rows.slice(at, at + ROWS_A_PIECE).map((row) => JSON.stringify({ loaded, ...row }));
        yield Buffer.from(`${piece.join('\n')}\n`);
      }
    },
  });
}
