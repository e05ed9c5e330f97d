import type { Report } from '../../analyzer/report/document.ts';
import type { GroupKey } from '../../analyzer/stats/group-key.ts';
import { TraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';
import { TOOL_NAME } from '../version.ts';

/** The report of clickhouse://host/database/TRACE, counted by the server. */
export async function serverReport(
  cli: Cli,
  url: string,
  options: { by?: readonly GroupKey[]; slowest?: number; where?: string },
): Promise<Report> {
  const [{ parseAddress }, { connect }, { reportOnServer }] = await Promise.all([
    import('../../analyzer/clickhouse/address.ts'),
    import('../../analyzer/clickhouse/server.ts'),
    import('../../analyzer/clickhouse/report.ts'),
  ]);
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
    return await reportOnServer(server, id, { ...options, tool: `${TOOL_NAME} ${cli.version}` });
  } finally {
    await server.close();
  }
}
