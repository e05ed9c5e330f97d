import type { Report } from '../../analyzer/report/document.ts';
import type { GroupKey } from '../../analyzer/stats/group-key.ts';
import type { Cli } from '../cli.ts';
import { TOOL_NAME } from '../version.ts';

/** The report of clickhouse://host/database/TRACE, counted by the server. */
export async function serverReport(
  cli: Cli,
  url: string,
  options: { by?: readonly GroupKey[]; slowest?: number; where?: string },
): Promise<Report> {
  const [{ onTrace }, { reportOnServer }] = await Promise.all([
    import('./on-trace.ts'),
    import('../../analyzer/clickhouse/report.ts'),
  ]);
  return onTrace(cli, url, (server, id) =>
    reportOnServer(server, id, { ...options, tool: `${TOOL_NAME} ${cli.version}` }),
  );
}
