import type { Readable } from 'node:stream';
import type { ClickHouseSettings } from '@clickhouse/client';
import { ClickHouseError } from '@clickhouse/client';
import { TraceError } from '../../trace/errors.ts';
import type { SpanFamily, SpanPlan } from '../../trace/spans.ts';
import type { SqlFormat } from '../embedded/formats.ts';
import { SQL_FORMATS, SQL_SETTINGS, engineWords } from '../embedded/formats.ts';
import type { SpanRowsOf, TraceView } from '../embedded/views.ts';
import { EVENT_TYPES, traceViews } from '../embedded/views.ts';
import { SPAN_COLUMNS } from './arrow-body.ts';
import { ident, literal } from './names.ts';
import { needSchema } from './schema.ts';
import { mayPass, serverError } from './server-error.ts';
import type { Server } from './server.ts';
import type { StoredTrace } from './stored-trace.ts';
import { storedTrace } from './stored-trace.ts';

/**
 * The answer of a query on the tables of one trace in the database, the same tables as of a trace directory; as it
 * comes, in `format`. The server holds it back until it is whole. It runs with the rights of the user and without
 * leave to write. Rejects with E_USAGE and the server's words for a wrong query, E_NO_DATA if there is no such trace.
 */
export async function sqlOnServer(
  server: Server,
  id: string,
  sql: string,
  format: SqlFormat,
  tool: string,
): Promise<Readable> {
  await needSchema(server, { tool });
  const views = storedViews(server.database, await storedTrace(server, id));
  const { query, added } = withViews(sql, views);
  try {
    return await server.stream(query, undefined, undefined, {
      ...SQL_SETTINGS,
      ...outputFormat(SQL_FORMATS[format]),
      // A failure amid the answer would be cut off as a success.
      wait_end_of_query: 1,
      // On a cluster a table is asked by every shard of another.
      distributed_product_mode: 'global',
      readonly: '2',
    });
  } catch (error) {
    if (!(error instanceof ClickHouseError) || mayPass(error))
      throw serverError(error, server.place, 'a query');
    throw new TraceError('E_USAGE', `the engine: ${engineWords(withoutViews(error, added))}`);
  }
}

/** Not a setting but a parameter of the HTTP interface; a FORMAT in the query goes before it. */
const outputFormat = (name: string): ClickHouseSettings => ({ default_format: name }) as ClickHouseSettings;

function storedViews(database: string, { id, manifest, plans }: StoredTrace): TraceView[] {
  const table = (name: string): string => `${ident(database)}.${ident(name)}`;
  const columns = EVENT_TYPES.split(', ').map((column) => ident(column.split(' ')[0]!));
  const events = (source: string): string =>
    `(SELECT ${columns.join(', ')} FROM ${table('events')} ` +
    `WHERE trace = ${literal(id)} AND source = ${literal(source)})`;
  const spans = new Map<SpanFamily, SpanRowsOf>();
  for (const plan of Object.values(plans) as (SpanPlan | undefined)[]) {
    if (plan === undefined) continue;
    const { family } = plan;
    const from =
      `(SELECT ${SPAN_COLUMNS.map(ident).join(', ')} FROM ${table('spans')} ` +
      `WHERE trace = ${literal(id)} AND family = ${literal(family)})`;
    spans.set(family, { plan, from: [from] });
  }
  return traceViews(manifest, events, spans);
}

/** Blanks and comments, as the engine has them. */
const BLANK = /^(?:\s+|--[^\n]*(?:\n|$)|#[ !][^\n]*(?:\n|$)|\/\*[^]*?\*\/)+/;
/** EXPLAIN with a kind and its settings, or DESCRIBE, up to the query that is meant. */
const EXPLAIN =
  /^(?:EXPLAIN\b(?:\s+(?!SELECT\b|WITH\b|FROM\b)[A-Za-z_0-9=,]+)*|DESC(?:RIBE)?\b(?:\s+TABLE\b)?\s*\()\s*/i;
const OWN_WITH = /^WITH\s+(RECURSIVE\s+)?/i;

/**
 * A query before which the trace's tables stand as common table expressions: of a server of many users no more than the
 * right to read is asked. Throws E_USAGE for what is no query.
 */
function withViews(sql: string, views: readonly TraceView[]): { query: string; added: number } {
  const text = sql.replace(/[\s;]+$/, '').replace(BLANK, '');
  const explain = EXPLAIN.exec(text)?.[0] ?? '';
  const query = text.slice(explain.length).replace(BLANK, '');
  if (!/^(SELECT|WITH|FROM)\b/i.test(query)) {
    throw new TraceError('E_USAGE', 'this is not asked of a server', {
      expected: 'a query that begins with SELECT, WITH, FROM, EXPLAIN or DESCRIBE (',
    });
  }
  const own = OWN_WITH.exec(query);
  const rest = own === null ? query : query.slice(own[0].length);
  const named = views.filter(({ name }) => text.toLowerCase().includes(name));
  if (named.length === 0) return { query: text, added: 0 };
  const list = named.map(({ name, select }) => `${ident(name)} AS (${select})`).join(', ');
  const head = `${explain}WITH ${own?.[1] ?? ''}${list}${own === null ? ' ' : ', '}`;
  return { query: head + rest, added: head.length - explain.length - (own?.[0].length ?? 0) };
}

/** The server's message about the query as its author wrote it. */
function withoutViews({ message, type }: ClickHouseError, added: number): string {
  const text = message
    .replace(/failed at position (\d+)/, (all, at: string) =>
      Number(at) > added ? `failed at position ${Number(at) - added}` : all,
    )
    .replace(/ in scope [^]*?(?=\. Maybe you meant|$)/, '')
    .trim();
  return type === undefined || text.includes(`(${type})`) ? text : `${text} (${type})`;
}
