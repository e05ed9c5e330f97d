import { TraceError, isTraceError } from '../../trace/errors.ts';
import { SPAN_FAMILIES } from '../../trace/manifest.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import type { SqlFacts } from '../sql/index.ts';
import { spanStatement } from '../sql/index.ts';
import { REFUSAL } from '../sql/params.ts';
import { SPAN_COLUMNS, SPAN_INPUT } from './arrow-body.ts';
import { insertOnce } from './insert.ts';
import { ident } from './names.ts';
import { FOREGROUND, dropPartition } from './schema.ts';
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
 * family, else with the spans that were made here. What an interrupted load has left is kept if it is whole.
 */
export async function loadSpans(server: Server, trace: string, source: SpanSource): Promise<SpanOrigins> {
  const expected = new Map<string, number>();
  for (const { family, rows } of source.blocks) expected.set(family, (expected.get(family) ?? 0) + rows);
  const left = await spanCounts(server, trace);
  const whole = [...left].every(([family, rows]) => expected.get(family) === rows);
  if (left.size > 0 && !whole) {
    await dropPartition(server, 'spans', trace, source.cluster);
    left.clear();
  }
  const origins: SpanOrigins = {};
  for (const family of SPAN_FAMILIES) {
    const blocks = source.blocks.filter((b) => b.family === family);
    if (blocks.length === 0 || left.has(family)) continue;
    // Their statement joins a trace's events many times over: through Distributed tables that took minutes, and once
    // ended the server.
    const spread = source.cluster !== undefined && family === 'request';
    const made = !spread && (await makeOnServer(server, trace, family, source.facts));
    if (!made) await sendSpans(server, trace, blocks);
    origins[family] = made ? 'server' : 'loader';
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

/** Raw events to spans, there. False for what the statements do not do: they say so before they give a row. */
async function makeOnServer(
  server: Server,
  trace: string,
  family: SpanFamily,
  facts: SqlFacts,
): Promise<boolean> {
  try {
    const statement = spanStatement(family, facts, { trace, database: server.database, events: 'events' });
    if (statement === undefined) return false;
    await server.once(
      `INSERT INTO spans (trace, family, ${COLUMNS}) ` +
        `SELECT {trace:String}, {span_family:String}, ${COLUMNS} FROM (${statement.sql})`,
      { ...statement.params, trace, span_family: family },
      FOREGROUND,
    );
    return true;
  } catch (error) {
    if (isTraceError(error) && (error.code === 'E_UNSUPPORTED' || error.message.includes(REFUSAL)))
      return false;
    throw error;
  }
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
