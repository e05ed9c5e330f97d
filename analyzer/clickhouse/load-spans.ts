import { TraceError, isTraceError } from '../../trace/errors.ts';
import { SPAN_FAMILIES } from '../../trace/manifest.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import type { SqlFacts } from '../sql/index.ts';
import { spanStatement, spansStatement } from '../sql/index.ts';
import { REFUSAL } from '../sql/params.ts';
import { SPAN_COLUMNS, SPAN_INPUT } from './arrow-body.ts';
import { insertOnce } from './insert.ts';
import { statementId } from './load-lock.ts';
import { ident, literal } from './names.ts';
import { FOREGROUND, dropPartition } from './schema.ts';
import { passSettings } from './pass-settings.ts';
import type { Server } from './server.ts';
import type { SpanBlock } from './span-spool.ts';
import { fileBody } from './span-spool.ts';

const COLUMNS = SPAN_COLUMNS.map(ident).join(', ');
const INSERT_SPANS =
  `INSERT INTO spans (trace, family, ${COLUMNS}) SELECT {trace:String}, {family:String}, ${COLUMNS} ` +
  `FROM input('${SPAN_INPUT}') FORMAT ArrowStream`;

export interface SpanSource {
  facts: SqlFacts;
  /** The same spans, made here: what the server cannot make, and how many there must be. */
  blocks: readonly SpanBlock[];
  cluster?: string;
}

/** Where the spans of each family were made. */
export type SpanOrigins = Partial<Record<SpanFamily, 'server' | 'loader'>>;

/**
 * Fills the spans of a trace whose events are loaded: by statements over those events where there is one for the
 * family, else with the spans that were made here. What an interrupted load has left is removed first. Only for the
 * holder of the trace's LoadLock.
 */
export async function loadSpans(server: Server, trace: string, source: SpanSource): Promise<SpanOrigins> {
  const expected = new Map<string, number>();
  for (const { family, rows } of source.blocks) expected.set(family, (expected.get(family) ?? 0) + rows);
  if ((await spanCounts(server, trace)).size > 0) await dropPartition(server, 'spans', trace, source.cluster);
  const present = SPAN_FAMILIES.filter((family) => expected.has(family));
  const made = await makeOnServer(server, trace, present, source);
  const origins: SpanOrigins = {};
  for (const family of present) {
    if (!made.has(family)) {
      await sendSpans(
        server,
        trace,
        source.blocks.filter((b) => b.family === family),
      );
    }
    origins[family] = made.has(family) ? 'server' : 'loader';
  }
  const found = await spanCounts(server, trace);
  for (const [family, rows] of expected) {
    if (found.get(family) === rows) continue;
    await dropPartition(server, 'spans', trace, source.cluster);
    throw new TraceError(
      'E_INTERNAL',
      `the server has made other ${family} spans of the events than the passes here`,
      {
        source: server.place,
        expected: `${rows} spans`,
        got: String(found.get(family) ?? 0),
      },
    );
  }
  return origins;
}

/** Raw events to spans, there: gives the families of which they were made. */
async function makeOnServer(
  server: Server,
  trace: string,
  families: readonly SpanFamily[],
  { facts, cluster }: SpanSource,
): Promise<ReadonlySet<SpanFamily>> {
  const { settings, sharing } = await passSettings(server);
  const events = cluster === undefined ? 'events' : 'events_local';
  const target = { trace, database: server.database, events, sharing };
  const able = families.filter(
    (family) => !refused(() => spanStatement(family, facts, target) === undefined),
  );
  const run = async (some: readonly SpanFamily[]): Promise<boolean> => {
    const { sql, params } = spansStatement(some, facts, target);
    // A trace lies on one shard whole, and the others find nothing: each runs the whole statement on its own tables.
    // Through Distributed tables every step of every join would be fetched on its own (minutes, and once the end of
    // the server).
    const from = cluster === undefined ? `(${sql})` : `cluster(${literal(cluster)}, view(${sql}))`;
    try {
      await server.once(
        `INSERT INTO spans (trace, family, ${COLUMNS}) SELECT {trace:String}, family, ${COLUMNS} FROM ${from}`,
        { ...params, trace },
        // The rows come here and go on from here: a server would else send its shards the INSERT with half of this SELECT.
        { ...FOREGROUND, ...settings, parallel_distributed_insert_select: '0' },
        statementId(trace, some.join('-')),
      );
      return true;
    } catch (error) {
      if (isRefusal(error)) return false;
      throw error;
    }
  };
  // All at once, if the server shares what they have in common; what one of them is refused for does not concern all.
  if (sharing && able.length > 1) {
    if (await run(able)) return new Set(able);
    // Blocks of those that were not refused can have been stored by then.
    if ((await spanCounts(server, trace)).size > 0) await dropPartition(server, 'spans', trace, cluster);
  }
  const each = async (some: readonly SpanFamily[]): Promise<ReadonlySet<SpanFamily>> => {
    const made = new Set<SpanFamily>();
    for (const family of some) {
      if (await run([family])) made.add(family);
      else if ((await spanCounts(server, trace)).has(family)) {
        // A long one, which came to what it is refused for behind its first blocks: all again, without it.
        await dropPartition(server, 'spans', trace, cluster);
        return each(some.filter((other) => other !== family));
      }
    }
    return made;
  };
  return each(able);
}

function refused(missing: () => boolean): boolean {
  try {
    return missing();
  } catch (error) {
    if (isRefusal(error)) return true;
    throw error;
  }
}

/** What the statements do not do: they say so before they give a row. */
function isRefusal(error: unknown): boolean {
  return isTraceError(error) && (error.code === 'E_UNSUPPORTED' || error.message.includes(REFUSAL));
}

async function sendSpans(server: Server, trace: string, blocks: readonly SpanBlock[]): Promise<void> {
  for (const { family, block, rows, path } of blocks) {
    await insertOnce(server, {
      query: INSERT_SPANS,
      params: { trace, family },
      token: `${trace}/spans/${family}/${block}/${rows}`,
      body: () => fileBody(path),
    });
  }
}

async function spanCounts(server: Server, trace: string): Promise<Map<string, number>> {
  const rows = await server.rows<{ family: string; rows: number }>(
    'SELECT toString(family) AS family, toFloat64(count()) AS rows FROM spans WHERE trace = {trace:String} GROUP BY family',
    { trace },
  );
  return new Map(rows.map((row) => [row.family, row.rows]));
}
