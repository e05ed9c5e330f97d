import { isTraceError, TraceError } from '../../trace/errors.ts';
import { ident, literal } from './names.ts';
import type { Server } from './server.ts';
import type { Table } from './tables.ts';
import { TABLES } from './tables.ts';

/** How tables are spread: one server, or a cluster whose shards each hold some of the traces whole. */
export interface Spread {
  database: string;
  /** Name of the cluster in remote_servers. */
  cluster?: string;
  /** Shards have several replicas: tables replicate through Keeper. */
  replicated?: boolean;
  /** One statement goes to every server of the cluster by ON CLUSTER. */
  onCluster?: boolean;
}

export interface Migration {
  readonly version: number;
  statements(spread: Spread): string[];
}

/** Every step of the schema, ascending. A change adds one; it never changes one that was released. */
export const MIGRATIONS: readonly Migration[] = [
  { version: 1, statements: (spread) => TABLES.flatMap((table) => createTable(table, spread)) },
];

/**
 * Blocks of this many inserts are known again, each by its token: far more than a load has under way at a time, and
 * a killed one resumes by what the table holds.
 */
const DEDUPLICATION_WINDOW = 10_000;

const VERSIONS: Table = {
  name: 'schema_versions',
  engine: 'facts',
  partitioned: false,
  order: ['version'],
  columns: [
    ['version', 'UInt32'],
    ['loaded', 'DateTime64(3)'],
    ['tool', 'String'],
  ],
};

export interface SchemaOptions {
  cluster?: string;
  tool: string;
  migrations?: readonly Migration[];
}

/**
 * Makes the database, or brings an older one up to date. Throws E_SCHEMA_VERSION for one that a newer ioreq-trace
 * has made, E_NO_DATA for a cluster that the server does not know.
 */
export async function migrate(server: Server, options: SchemaOptions): Promise<void> {
  const { migrations = MIGRATIONS, cluster } = options;
  const newest = migrations.at(-1)!.version;
  const found = await schemaVersion(server, newest);
  if (found === newest) return;
  const spread = await spreadOf(server, cluster);
  const each = (statement: string): Promise<void> => everywhere(server, spread, statement);
  await each(`CREATE DATABASE IF NOT EXISTS ${ident(server.database)}${onCluster(spread)}`);
  for (const statement of createTable(VERSIONS, spread)) await each(statement);
  for (const migration of migrations) {
    if (migration.version <= found) continue;
    for (const statement of migration.statements(spread)) await each(statement);
    await server.command(
      'INSERT INTO schema_versions (version, loaded, tool) SELECT {version:UInt32}, now64(3), {tool:String}',
      { version: migration.version, tool: options.tool },
      FOREGROUND,
    );
  }
}

/** Inserts through a Distributed table end when the rows are where they belong. */
export const FOREGROUND = { distributed_foreground_insert: 1 } as const;

/** For a command that reads: E_NO_DATA where nothing was ever loaded. */
export async function needSchema(server: Server, options: SchemaOptions): Promise<void> {
  const { migrations = MIGRATIONS } = options;
  if ((await schemaVersion(server, migrations.at(-1)!.version)) === 0) {
    throw new TraceError('E_NO_DATA', 'no trace was ever loaded there', { source: server.place });
  }
  await migrate(server, options);
}

/** 0 without tables. */
async function schemaVersion(server: Server, newest: number): Promise<number> {
  let version: number;
  try {
    const [row] = await server.rows<{ version: number }>(
      'SELECT max(version) AS version FROM schema_versions',
    );
    version = row?.version ?? 0;
  } catch (error) {
    if (isTraceError(error) && /UNKNOWN_(DATABASE|TABLE)/.test(error.message)) return 0;
    throw error;
  }
  if (version <= newest) return version;
  throw new TraceError('E_SCHEMA_VERSION', 'the tables were made by a newer ioreq-trace', {
    source: server.place,
    expected: `schema version ${newest} or older`,
    got: String(version),
  });
}

async function spreadOf(server: Server, cluster: string | undefined): Promise<Spread> {
  const spread: Spread = { database: server.database };
  if (cluster === undefined) return spread;
  const anywhere = server.replica(server.address.urls[0]!, true);
  try {
    const [row] = await anywhere.rows<{ shards: number; replicas: number }>(
      'SELECT uniqExact(shard_num) AS shards, max(replica_num) AS replicas FROM system.clusters ' +
        'WHERE cluster = {cluster:String}',
      { cluster },
    );
    if (row === undefined || row.shards === 0) {
      throw new TraceError('E_NO_DATA', `the server knows no cluster ${cluster}`, { source: server.place });
    }
    return {
      ...spread,
      cluster,
      replicated: row.replicas > 1,
      onCluster: server.address.urls.length === 1,
    };
  } finally {
    await anywhere.close();
  }
}

/** Removes one trace from a table, on a cluster from every part of it. */
export async function dropPartition(
  server: Server,
  table: string,
  trace: string,
  cluster: string | undefined,
): Promise<void> {
  const spread = await spreadOf(server, cluster);
  const own = cluster === undefined ? table : `${table}_local`;
  const name = `${ident(server.database)}.${ident(own)}${onCluster(spread)}`;
  await everywhere(server, spread, `ALTER TABLE ${name} DROP PARTITION ${literal(trace)}`);
}

/** Sends a statement to every server of the cluster, or lets ON CLUSTER do so. */
async function everywhere(server: Server, spread: Spread, statement: string): Promise<void> {
  const { urls } = server.address;
  const told = spread.onCluster === true || spread.cluster === undefined ? urls.slice(0, 1) : urls;
  for (const url of told) await withoutDatabase(server, url, statement);
}

async function withoutDatabase(server: Server, url: string, statement: string): Promise<void> {
  const one = server.replica(url, true);
  try {
    await one.command(statement);
  } catch (error) {
    if (!isTraceError(error) || !/ ON CLUSTER /.test(statement)) throw error;
    throw new TraceError(
      error.code,
      `${error.message} (where ON CLUSTER is not possible, name every server: clickhouse://host1,host2/...)`,
    );
  } finally {
    await one.close();
  }
}

function onCluster({ cluster, onCluster: on }: Spread): string {
  return cluster !== undefined && on === true ? ` ON CLUSTER ${ident(cluster)}` : '';
}

/** A table; on a cluster the part that each shard holds, and the whole over it. */
export function createTable(table: Table, spread: Spread): string[] {
  const { name, columns, order, partitioned, engine } = table;
  const { database, cluster, replicated } = spread;
  const db = ident(database);
  const on = onCluster(spread);
  const list = columns
    .map(
      ([column, type, codec]) => `${ident(column)} ${type}${codec === undefined ? '' : ` CODEC(${codec})`}`,
    )
    .join(', ');
  const prefix = replicated === true ? 'Replicated' : '';
  const kind = engine === 'rows' ? 'MergeTree' : 'ReplacingMergeTree';
  const keeper =
    replicated === true ? [`'/clickhouse/tables/{shard}/{database}/{table}'`, `'{replica}'`] : [];
  const version = engine === 'facts' ? ['loaded'] : [];
  const window =
    replicated === true ? 'replicated_deduplication_window' : 'non_replicated_deduplication_window';
  const own = cluster === undefined ? name : `${name}_local`;
  const statements = [
    `CREATE TABLE IF NOT EXISTS ${db}.${ident(own)}${on} (${list}) ` +
      `ENGINE = ${prefix}${kind}(${[...keeper, ...version].join(', ')}) ` +
      (partitioned ? 'PARTITION BY trace ' : '') +
      `ORDER BY (${order.map(ident).join(', ')})` +
      (engine === 'rows' ? ` SETTINGS ${window} = ${DEDUPLICATION_WINDOW}` : ''),
  ];
  if (cluster !== undefined) {
    // A trace lies on one shard whole: what the passes join lies together, and its order is that of one table.
    const by = columns.some(([column]) => column === 'trace') ? 'cityHash64(trace)' : '0';
    statements.push(
      `CREATE TABLE IF NOT EXISTS ${db}.${ident(name)}${on} AS ${db}.${ident(own)} ` +
        `ENGINE = Distributed(${literal(cluster)}, ${literal(database)}, ${literal(own)}, ${by})`,
    );
  }
  return statements;
}
