import { TraceError } from '../../trace/errors.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import { reportDocument } from '../report/build.ts';
import type { Report } from '../report/document.ts';
import { describeSlow } from '../report/slow-spans.ts';
import type { GroupKey } from '../stats/group-key.ts';
import { viewNear } from './near-events.ts';
import { needSchema } from './schema.ts';
import type { Server } from './server.ts';
import { countSpans } from './span-figures.ts';
import { storedTrace } from './stored-trace.ts';

export interface ServerReportOptions {
  tool: string;
  by?: readonly GroupKey[];
  slowest?: number;
  /** An SQL expression over the columns of table spans; counts of events and records are of the whole trace. */
  where?: string;
}

/** The report of a trace in the database, counted there: the document of analyzeTrace, its numbers the same. */
export async function reportOnServer(
  server: Server,
  id: string,
  options: ServerReportOptions,
): Promise<Report> {
  await needSchema(server, { tool: options.tool });
  const trace = await storedTrace(server, id);
  const { manifest, plans, results } = trace;
  const { by = [], slowest = 10, where } = options;
  const choice = {
    trace: id,
    devices: manifest.devices.map((d) => d.name),
    ...(where === undefined ? {} : { where }),
  };
  const collected = await countSpans(server, choice, plans, by, slowest).catch((error: unknown) => {
    throw where === undefined ? error : whereError(error);
  });
  const listed = (['mmio', 'interrupt', 'request'] as SpanFamily[]).flatMap((family) =>
    describeSlow(collected.slowest.get(family), manifest.devices),
  );
  const view = await viewNear(server, id, manifest, results, listed);
  const path = `${server.place}/${id}`;
  return reportDocument(view, { path, by, slowest, warnings: trace.warnings }, results, plans, collected);
}

/** A server that refuses a query with a WHERE of the user's most likely refuses that. */
function whereError(error: unknown): unknown {
  if (!(error instanceof TraceError) || !/refused/.test(error.message)) return error;
  return new TraceError('E_USAGE', `the server does not take --where: ${error.message}`);
}
