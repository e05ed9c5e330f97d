import { createServer } from 'node:http';
import type { Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ClickHouseServer } from '../../fixtures/clickhouse/server.ts';
import { oldClickhouseMissing, withOldClickHouse } from '../../fixtures/clickhouse/old-server.ts';
import { clickhouseMissing, startClickHouse } from '../../fixtures/clickhouse/server.ts';
import type { TraceError } from '../../trace/errors.ts';
import { parseAddress } from './address.ts';
import { reportOnServer } from './report.ts';
import { connect } from './server.ts';
import { addressOf } from './testing/on-server.ts';

const missing = clickhouseMissing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

const oldMissing = oldClickhouseMissing();
if (oldMissing !== undefined) console.warn(`skipped: ${oldMissing}`);

const SECRET = 'not to be seen';

async function failure(port: number, requestMs = 5000, user = `eve:${SECRET}`): Promise<TraceError> {
  const address = parseAddress(`clickhouse://${encodeURI(user)}@127.0.0.1:${port}/db`, {});
  return connect(address, { requestMs }).then(
    () => {
      throw new Error('it connected');
    },
    (error: unknown) => error as TraceError,
  );
}

/** A server that is none: answers everything with `body`, or never. */
async function withHttp<T>(body: string | undefined, use: (port: number) => Promise<T>): Promise<T> {
  const http: HttpServer = createServer((_request, response) => {
    if (body !== undefined) response.end(body);
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  try {
    return await use((http.address() as AddressInfo).port);
  } finally {
    http.closeAllConnections();
    http.close();
  }
}

function one(error: TraceError): string {
  expect(error.message).not.toContain(SECRET);
  expect(error.message).not.toContain('\n');
  return `${error.code} ${error.message}`;
}

describe('a server that cannot be used', () => {
  it('is not there', async () => {
    const port = await withHttp('', (p) => Promise.resolve(p));
    expect(one(await failure(port))).toBe(
      `E_SERVER clickhouse://127.0.0.1:${port}/db: cannot be reached: nobody listens there`,
    );
  });

  it('never answers', () =>
    withHttp(undefined, async (port) => {
      expect(one(await failure(port, 300))).toBe(
        `E_SERVER clickhouse://127.0.0.1:${port}/db: cannot be reached: it does not answer`,
      );
    }));

  it('is no ClickHouse', () =>
    withHttp('<html>\nwelcome</html>', async (port) => {
      expect(one(await failure(port))).toMatch(
        /^E_SERVER_VERSION .*expected version 25\.3 or later, got no version$/,
      );
    }));
});

describe.skipIf(oldMissing !== undefined)('a ClickHouse server of 2018', () => {
  it(
    'is too old',
    () =>
      withOldClickHouse(async (port) => {
        expect(one(await failure(port, 5000, 'default:'))).toBe(
          `E_SERVER_VERSION clickhouse://127.0.0.1:${port}/db: the ClickHouse server is too old; ` +
            'expected version 25.3 or later, got 18.16.1',
        );
      }),
    60_000,
  );
});

describe.skipIf(missing !== undefined)('a ClickHouse server', () => {
  let clickhouse: ClickHouseServer;
  beforeAll(async () => {
    clickhouse = await startClickHouse();
  }, 90_000);
  afterAll(() => clickhouse.remove());

  it('refuses a wrong password, which is not shown', async () => {
    expect(one(await failure(clickhouse.httpPort))).toMatch(/^E_SERVER .*AUTHENTICATION_FAILED/);
  });

  it('has no trace', async () => {
    const server = await connect(addressOf('empty', clickhouse));
    const report = reportOnServer(server, '0123456789abcdef', { tool: 'test' });
    await expect(report).rejects.toMatchObject({ code: 'E_NO_DATA' });
    await server.close();
  });
});
