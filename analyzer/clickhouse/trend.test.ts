import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClickHouseServer } from '../../fixtures/clickhouse/server.ts';
import { clickhouseMissing, startClickHouse } from '../../fixtures/clickhouse/server.ts';
import { analyzeTrace } from '../report/build.ts';
import { loadTrace } from './load.ts';
import { migrate } from './schema.ts';
import type { Server } from './server.ts';
import { connect } from './server.ts';
import { addressOf, loadOptions, withTrace } from './testing/on-server.ts';
import { parseFigure, trendOnServer } from './trend.ts';

const missing = clickhouseMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

const P99 = parseFigure('mmio.p99');

/** A recording whose 1000 spans on two devices last 1 .. 1000 ns and 1000 times that, stretched by `level`. */
async function put(
  server: Server,
  trace: string,
  build: string,
  created: string,
  level: number,
): Promise<void> {
  await server.command(
    'INSERT INTO spans (trace, family, device, start, total) ' +
      "SELECT {trace:String}, 'mmio', d, number, (number + 1) * if(d = 0, 1, 1000) * {level:UInt32} " +
      'FROM numbers(1000) ARRAY JOIN [0, 1] AS d',
    { trace, level },
  );
  await server.command(
    "INSERT INTO devices (trace, n, name) SELECT {trace:String}, n, if(n = 0, 'blk0', 'net0') FROM numbers(2) AS x ARRAY JOIN [x.number] AS n",
    { trace },
  );
  await server.command(
    'INSERT INTO traces (trace, loaded, created, labels) SELECT {trace:String}, now64(3), {created:String}, {labels:Map(String,String)}',
    { trace, created, labels: { build, board: 'a' } },
  );
}

describe.skipIf(missing !== undefined)('trend over recordings in a database', () => {
  let clickhouse: ClickHouseServer;
  beforeAll(async () => {
    clickhouse = await startClickHouse();
  }, 90_000);
  afterAll(() => clickhouse.remove());

  it('groups by a label in order of time and marks where the level changed', async () => {
    const server = await connect(addressOf('trend', clickhouse));
    await migrate(server, { tool: 'test' });
    const builds = ["v1 'old'", 'v1', 'v2', 'v3'];
    for (const [b, build] of builds.entries())
      for (let n = 0; n < 4; n++)
        await put(
          server,
          `${b}${n}`.padStart(16, '0'),
          build,
          `2026-01-0${b + 1}T0${n}:00:00Z`,
          (b < 2 ? 10 : 15) + (n % 2),
        );
    const options = { of: P99, by: 'build', labels: { board: 'a' }, device: 'blk0', tool: 'test' };
    const trend = await trendOnServer(server, options);
    expect(trend.groups.map((g) => g.value)).toEqual(builds);
    // Nearest rank: the 990th of 1000.
    expect(trend.groups.map((g) => [g.lowest, g.median, g.highest])).toEqual([
      [9900, 10395, 10890],
      [9900, 10395, 10890],
      [14850, 15345, 15840],
      [14850, 15345, 15840],
    ]);
    expect(trend.groups[0]!.recordings[1]).toEqual({
      trace: '0000000000000001',
      created: '2026-01-01T01:00:00Z',
      spans: 1000,
      figure: 10890,
    });
    expect(trend.changes).toHaveLength(1);
    expect(trend.changes[0]).toMatchObject({ from: 'v2', before: 10395, after: 15345 });
    expect(trend.changes[0]!.relative).toBeCloseTo(0.476, 3);
    const one = await trendOnServer(server, { ...options, labels: { build: "v1 'old'" } });
    expect([one.groups.length, one.changes]).toEqual([1, []]);
    const slow = await trendOnServer(server, { ...options, device: 'net0', of: parseFigure('mmio.max') });
    expect(slow.groups[0]!.lowest).toBe(10_000_000);
    await expect(trendOnServer(server, { ...options, by: 'none' })).rejects.toMatchObject({
      code: 'E_NO_DATA',
    });
    await server.close();
  }, 60_000);

  it(
    'has the figures of the reports',
    () =>
      withTrace('P1', async (trace) => {
        const server = await connect(addressOf('same', clickhouse));
        await loadTrace(server, trace, loadOptions({ labels: { build: 'x' } }));
        const report = analyzeTrace(trace, { path: '' });
        for (const [of, expected] of [
          ['mmio.p99', report.mmio.total.p99_ns],
          ['interrupts.max', report.interrupts.total.max_ns],
          ['requests.p50', report.requests.total.p50_ns],
          ['mmio.count', report.mmio.total.count],
        ] as const) {
          const trend = await trendOnServer(server, {
            of: parseFigure(of),
            by: 'build',
            labels: {},
            tool: 'test',
          });
          expect(trend.groups.map((g) => g.median)).toEqual([expected]);
        }
        await server.close();
      }),
    60_000,
  );
});
