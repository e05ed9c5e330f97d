import { parseAddress } from '../../analyzer/clickhouse/address.ts';
import type { Server } from '../../analyzer/clickhouse/server.ts';
import { connect } from '../../analyzer/clickhouse/server.ts';
import { TraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';

/** Connects to the server of clickhouse://host/database/TRACE while `use` runs. E_USAGE for another URL. */
export async function onTrace<T>(
  cli: Cli,
  url: string,
  use: (server: Server, trace: string) => Promise<T>,
): Promise<T> {
  const address = parseAddress(url, cli.streams.env);
  const [id, ...more] = address.rest;
  if (id === undefined || more.length > 0) {
    throw new TraceError('E_USAGE', 'the URL names no trace', {
      source: address.place,
      expected: 'clickhouse://host/database/TRACE, as trace load printed it',
    });
  }
  const server = await connect(address);
  try {
    return await use(server, id);
  } finally {
    await server.close();
  }
}
