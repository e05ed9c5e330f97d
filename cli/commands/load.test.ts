import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withFolder, withTrace } from '../../analyzer/clickhouse/testing/on-server.ts';
import type { ClickHouseServer } from '../../fixtures/clickhouse/server.ts';
import { GRANTED } from '../../fixtures/clickhouse/config.ts';
import { clickhouseMissing, startClickHouse } from '../../fixtures/clickhouse/server.ts';
import { traceIn } from '../testing/command-line.ts';

const missing = clickhouseMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

describe('trace load, where it cannot', () => {
  it('says so in one line, and what the exit code is', () =>
    withFolder(async (folder) => {
      const url = 'clickhouse://u:s3cret@127.0.0.1:1/db';
      const nowhere = await traceIn({}, 'load', join(folder, 'none'), '--clickhouse', url);
      expect([nowhere.code, nowhere.err]).toEqual([4, `trace: E_NOT_FOUND: ${folder}/none: no such trace\n`]);
      const label = await traceIn({}, 'load', folder, '--clickhouse', url, '--label', 'no value');
      expect([label.code, label.err.split('\n').length]).toEqual([2, 2]);
      const figure = await traceIn({}, 'trend', '--clickhouse', url, '--of', 'mmio.p98', '--by', 'build');
      expect([figure.code, figure.err.split('\n').length]).toEqual([2, 2]);
      const gone = await traceIn({}, 'analyze', `${url}/0123456789abcdef`);
      expect([gone.code, gone.err]).toEqual([
        8,
        'trace: E_SERVER: clickhouse://127.0.0.1:1/db: cannot be reached: nobody listens there\n',
      ]);
      const where = await traceIn({}, 'analyze', folder, '--where', 'x = 1');
      expect([where.code, /^trace: E_USAGE: --where is for traces in a database/.test(where.err)]).toEqual([
        2,
        true,
      ]);
    }));
});

describe.skipIf(missing !== undefined)('trace load, analyze and trend', () => {
  let clickhouse: ClickHouseServer;
  beforeAll(async () => {
    clickhouse = await startClickHouse();
  }, 90_000);
  afterAll(() => clickhouse.remove());

  it(
    'work on a server whose credentials come from the environment',
    () =>
      withTrace('A2', async ({ dir }) => {
        const env = {
          IOREQ_TRACE_CLICKHOUSE_USER: clickhouse.user,
          IOREQ_TRACE_CLICKHOUSE_PASSWORD: clickhouse.password,
        };
        const url = `clickhouse://${new URL(clickhouse.url).host}/farm`;
        const load = await traceIn(
          env,
          'load',
          dir,
          '--clickhouse',
          url,
          '--label',
          "build=it's 1",
          '--label',
          'board=a=b',
        );
        expect([load.code, load.err]).toEqual([0, expect.not.stringContaining('E_')]);
        const [name] = /^clickhouse:\/\/\S+\/farm\/[0-9a-f]{16}/.exec(load.out)!;
        const again = await traceIn(env, 'load', dir, '--clickhouse', url);
        expect(again.out).toBe(`${name}: is there already, whole; nothing was sent\n`);
        const report = await traceIn(env, 'analyze', name);
        const local = await traceIn(env, 'analyze', dir);
        expect(report.out.split('\n').slice(1)).toEqual(local.out.split('\n').slice(1));
        const json = await traceIn(
          env,
          'trend',
          '--clickhouse',
          url,
          '--of',
          'mmio.p50',
          '--by',
          'build',
          '--json',
        );
        expect(JSON.parse(json.out)).toMatchObject({
          of: 'mmio.p50',
          groups: [{ value: "it's 1" }],
          changes: [],
        });
        const trend = await traceIn(
          env,
          'trend',
          '--clickhouse',
          url,
          '--of',
          'mmio.p50',
          '--by',
          'board',
          '--device',
          'blk0',
        );
        expect(trend.out).toMatch(/^mmio\.p50 of blk0 by board\nboard .*\na=b +1 +\d+ /);
        const other = await traceIn(env, 'analyze', `${url}/0123456789abcdef`);
        expect([other.code, other.err.split('\n').length]).toEqual([3, 2]);
        const wrong = await traceIn(
          { ...env, IOREQ_TRACE_CLICKHOUSE_PASSWORD: 'not it' },
          'load',
          dir,
          '--clickhouse',
          url,
        );
        expect([wrong.code, wrong.err]).toEqual([8, expect.not.stringContaining('not it')]);
      }),
    90_000,
  );

  it(
    'take no more rights than docs/SCALE.md names',
    () =>
      withTrace('A2', async ({ dir }) => {
        const env = {
          IOREQ_TRACE_CLICKHOUSE_USER: 'loader',
          IOREQ_TRACE_CLICKHOUSE_PASSWORD: clickhouse.password,
        };
        const url = (database: string): string => `clickhouse://${new URL(clickhouse.url).host}/${database}`;
        const load = await traceIn(env, 'load', dir, '--clickhouse', url(GRANTED));
        expect([load.code, load.err]).toEqual([0, '']);
        const [name] = /^clickhouse:\/\/\S+\/[0-9a-f]{16}/.exec(load.out)!;
        expect((await traceIn(env, 'analyze', name)).code).toBe(0);
        const other = await traceIn(env, 'load', dir, '--clickhouse', url('other'));
        expect([other.code, other.out]).toEqual([8, '']);
        expect(other.err).toMatch(/^trace: E_SERVER: [^\n]*ACCESS_DENIED[^\n]*\n$/);
      }),
    60_000,
  );
});
