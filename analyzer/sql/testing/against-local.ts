import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { ClickHouseLogLevel, createClient } from '@clickhouse/client';
import type { ClickHouseServer } from '../../../fixtures/clickhouse/server.ts';
import { eventFileName } from '../../../trace/arrow/event-schema.ts';
import { openTrace } from '../../../trace/open.ts';
import type { SpanFamily } from '../../../trace/spans.ts';
import { runPasses } from '../../analyze.ts';
import type { SqlFacts } from '../index.ts';
import { SPAN_ROW, spanStatement, spansStatement, sqlFacts } from '../index.ts';

export const FAMILIES: readonly SpanFamily[] = ['mmio', 'interrupt', 'injection', 'request'];

type Client = ReturnType<typeof createClient>;

/** A span as text, every number to its last bit; `group`, a running number, is left out. */
type SpanText = string;

const COLUMNS =
  'ts Float64, kind UInt16, cpu UInt16, domid UInt16, vcpu UInt16, pid Int32, addr UInt64, data UInt64, arg0 UInt32, arg1 UInt32, arg2 UInt32, arg3 UInt32';

export async function connect(server: ClickHouseServer): Promise<Client> {
  const client = createClient({
    url: server.url,
    username: server.user,
    password: server.password,
    log: { level: ClickHouseLogLevel.OFF },
  });
  await client.command({
    query: `CREATE TABLE IF NOT EXISTS events (trace String, source LowCardinality(String), row UInt64, ${COLUMNS})
      ENGINE = MergeTree ORDER BY (trace, source, kind, domid, vcpu, row)`,
  });
  return client;
}

/** What the local passes and the server's make of one trace, as sorted texts. */
export interface BothSides {
  local: SpanText[];
  /** Message of the refusal instead of spans; undefined where the trace has no such spans. */
  server: SpanText[] | string | undefined;
  /** The same by one statement for all families that the server makes. */
  together: SpanText[] | string | undefined;
}

export interface Compared {
  facts: SqlFacts;
  families: Record<SpanFamily, BothSides>;
}

/** Loads the trace at `dir` as `id` and makes its spans on both sides. */
export async function bothSides(client: Client, dir: string, id: string): Promise<Compared> {
  const trace = openTrace(dir);
  for (const { id: source } of trace.manifest.sources) {
    const { stream } = await client.exec({
      query: `INSERT INTO events SELECT {trace:String}, {source:String}, rowNumberInAllBlocks(), * FROM input('${COLUMNS}')
        SETTINGS max_threads = 1, max_insert_threads = 1, input_format_parallel_parsing = 0 FORMAT ArrowStream`,
      query_params: { trace: id, source },
      values: createReadStream(join(dir, eventFileName(source))),
    });
    stream.resume();
  }
  const local: Record<SpanFamily, SpanText[]> = { mmio: [], interrupt: [], injection: [], request: [] };
  const results = runPasses(trace, () => [
    (plan, b) => {
      for (let i = 0; i < b.length; i++) {
        const ids = [b.device, b.key, b.vcpu, b.dir, b.type, b.flags, b.amount, b.value].map((c) => c[i]!);
        const times = [b.start, b.total, ...b.at, ...b.preempted].map((c) => bits(c[i]!));
        local[plan.family].push([...ids, ...times].join(' '));
      }
    },
  ]);
  // As it comes back from a database.
  const facts = JSON.parse(JSON.stringify(sqlFacts(trace.manifest, results))) as SqlFacts;
  const families = {} as Record<SpanFamily, BothSides>;
  for (const family of FAMILIES) {
    const server = await onServer(client, family, facts, id);
    families[family] = { local: local[family].sort(), server, together: server };
  }
  const made = FAMILIES.filter((family) => Array.isArray(families[family].server));
  const together = made.length === 0 ? {} : await allOnServer(client, made, facts, id);
  for (const family of made)
    families[family].together = typeof together === 'string' ? together : (together[family] ?? []);
  return { facts, families };
}

const HEX = (x: string): string => `if(isNaN(${x}), 'nan', hex(${x}))`;
const TEXT = `arrayStringConcat(arrayConcat(
        arrayMap(x -> toString(x), [toUInt64(device), key, vcpu, dir, type, flags, amount, value]),
        arrayMap(x -> ${HEX('x')}, arrayConcat([start, total], at, preempted))), ' ')`;

async function onServer(
  client: Client,
  family: SpanFamily,
  facts: SqlFacts,
  trace: string,
): Promise<SpanText[] | string | undefined> {
  try {
    const statement = spanStatement(family, facts, { trace, database: 'default', events: 'events' });
    if (statement === undefined) return undefined;
    const answer = await client.query({
      query: `SELECT ${TEXT} FROM (SELECT ${SPAN_ROW} FROM (${statement.sql}))`,
      query_params: { ...statement.params },
      format: 'JSONCompactEachRow',
    });
    return (await answer.json<[string]>()).map(([text]) => text).sort();
  } catch (error) {
    return (error as Error).message;
  }
}

/** By one statement that shares what the families have in common. */
async function allOnServer(
  client: Client,
  families: readonly SpanFamily[],
  facts: SqlFacts,
  trace: string,
): Promise<Partial<Record<SpanFamily, SpanText[]>> | string> {
  try {
    const target = { trace, database: 'default', events: 'events', sharing: true };
    const statement = spansStatement(families, facts, target);
    const answer = await client.query({
      query: `SELECT family, ${TEXT} FROM (${statement.sql})`,
      query_params: { ...statement.params },
      format: 'JSONCompactEachRow',
      clickhouse_settings: { enable_materialized_cte: 1 },
    });
    const found: Partial<Record<SpanFamily, SpanText[]>> = {};
    for (const [family, text] of await answer.json<[SpanFamily, string]>()) (found[family] ??= []).push(text);
    for (const texts of Object.values(found)) texts.sort();
    return found;
  } catch (error) {
    return (error as Error).message;
  }
}

const scratch = new DataView(new ArrayBuffer(8));

/** As the server's hex() writes a float64: its bytes from the highest. */
function bits(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  scratch.setFloat64(0, value, true);
  let text = '';
  for (let n = 0; n < 8; n++) text += scratch.getUint8(n).toString(16).padStart(2, '0').toUpperCase();
  return text;
}
