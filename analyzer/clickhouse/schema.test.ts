import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClickHouseServer } from '../../fixtures/clickhouse/server.ts';
import { CLUSTER, clickhouseMissing, startCluster } from '../../fixtures/clickhouse/server.ts';
import { MIGRATIONS, migrate } from './schema.ts';
import type { Server } from './server.ts';
import { connect } from './server.ts';
import { TABLES } from './tables.ts';
import { addressOf } from './testing/on-server.ts';

const missing = clickhouseMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

/** TabSeparated's escapes. */
const unescaped = (text: string): string => text.replace(/\\([\\'])/g, '$1');

/**
 * The engine of these tests has no Keeper in it and does not run ON CLUSTER statements. What can be had of it: that it
 * reads the statements as they are meant, and goes as far as to ask for what is missing.
 */
describe.skipIf(missing !== undefined)('tables that replicate over a cluster', () => {
  let servers: ClickHouseServer[] = [];
  let server: Server;
  beforeAll(async () => {
    servers = await startCluster(2);
    server = await connect(addressOf('replicated', servers[0]!), { anyDatabase: true });
    for (const one of servers) {
      const own = await connect(addressOf('replicated', one), { anyDatabase: true });
      await own.command('CREATE DATABASE replicated');
      await own.close();
    }
  }, 90_000);
  afterAll(async () => {
    await server.close();
    await Promise.all(servers.map((one) => one.remove()));
  });

  const NAMES = ['it`s \\ odd', "o'clock"] as const;
  const statements = (database: string, cluster: string): string[] =>
    MIGRATIONS.flatMap((m) => m.statements({ database, cluster, replicated: true, onCluster: true }));

  it.each([
    ['replicated', CLUSTER],
    [NAMES[0], NAMES[1]],
  ])(
    'in database %s of cluster %s are statements that the server reads as they are meant',
    async (db, cluster) => {
      const all = statements(db, cluster);
      expect(all).toHaveLength(2 * TABLES.length);
      for (const [n, sql] of all.entries()) {
        const tree = unescaped(Buffer.from(await server.bytes(`EXPLAIN AST ${sql}`)).toString());
        const table = TABLES[n >> 1]!;
        expect(tree).toContain(`CreateQuery ${db} ${table.name}${n % 2 === 0 ? '_local' : ''} `);
        if (n % 2 === 1) {
          expect(tree).toMatch(/Function Distributed \(children 1\)/);
          continue;
        }
        const engine = table.engine === 'rows' ? 'ReplicatedMergeTree' : 'ReplicatedReplacingMergeTree';
        expect(tree).toContain(`Function ${engine} (children 1)`);
        expect(tree).toContain(`Literal '/clickhouse/tables/{shard}/{database}/{table}'`);
        expect(tree.match(/ColumnDeclaration /g)).toHaveLength(table.columns.length);
        // formatQuery writes out what was read: ON CLUSTER is not in the tree.
        const [formatted] = await server.rows<{ text: string }>(
          'SELECT formatQuerySingleLine({sql:String}) AS text',
          {
            sql,
          },
        );
        expect(formatted!.text).toMatch(/^CREATE TABLE IF NOT EXISTS \S.* ON CLUSTER /);
      }
    },
  );

  it('are refused by this server for want of Keeper alone', async () => {
    for (const sql of statements('replicated', CLUSTER)) {
      if (!/ENGINE = Replicated/.test(sql)) continue;
      await expect(server.command(sql)).rejects.toThrow(
        /QUERY_IS_PROHIBITED|Replicated DDL queries are disabled/,
      );
      const alone = sql.replace(` ON CLUSTER \`${CLUSTER}\``, '');
      expect(alone).not.toBe(sql);
      await expect(server.command(alone)).rejects.toThrow(/NO_ZOOKEEPER/);
    }
  });

  it('say what to do where ON CLUSTER is not possible', async () => {
    const own = await connect(addressOf('elsewhere', servers[0]!));
    await expect(migrate(own, { tool: 'test', cluster: CLUSTER })).rejects.toMatchObject({
      code: 'E_SERVER',
      message: expect.stringContaining('name every server: clickhouse://host1,host2/') as string,
    });
    await own.close();
  });
});
