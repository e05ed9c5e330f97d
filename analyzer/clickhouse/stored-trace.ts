import { TraceError } from '../../trace/errors.ts';
import { checkManifest } from '../../trace/manifest-check.ts';
import type { Manifest } from '../../trace/manifest.ts';
import type { PassResults, SpanPlans } from '../analyze.ts';
import { restoreResults } from './results.ts';
import type { Server } from './server.ts';
import { isTraceId } from './trace-id.ts';

/** A trace of the database, without its events and spans. */
export interface StoredTrace {
  readonly id: string;
  readonly path: string;
  readonly created: string;
  readonly events: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly warnings: readonly string[];
  readonly manifest: Manifest;
  readonly plans: SpanPlans;
  readonly results: PassResults;
  /** What the statements over its events ask for: SqlFacts as JSON. */
  readonly facts: string;
  /** Where the spans of each family were made: SpanOrigins as JSON. */
  readonly passes: string;
}

interface Row extends Omit<StoredTrace, 'id' | 'manifest' | 'plans' | 'results'> {
  trace: string;
  manifest: string;
  plans: string;
  results: string;
}

const COLUMNS =
  'trace, path, created, toFloat64(events) AS events, labels, warnings, manifest, plans, results, facts, passes';

/** Rejects with E_NO_DATA if the database has no such trace, or only a part of it; E_USAGE for what is no id. */
export async function storedTrace(server: Server, id: string): Promise<StoredTrace> {
  if (!isTraceId(id)) {
    throw new TraceError('E_USAGE', 'no id of a trace', { expected: '16 hexadecimal digits', got: id });
  }
  const [row] = await server.rows<Row>(`SELECT ${COLUMNS} FROM traces FINAL WHERE trace = {id:String}`, {
    id,
  });
  if (row === undefined) {
    throw new TraceError('E_NO_DATA', `no trace ${id} is there, or it is not loaded to its end`, {
      source: server.place,
    });
  }
  const { trace, manifest: text, plans, results, ...rest } = row;
  const manifest = checkManifest(parsed(text, server.place), `${server.place}/${id}`);
  return {
    ...rest,
    id: trace,
    manifest,
    plans: parsed(plans, server.place) as SpanPlans,
    results: restoreResults(results, manifest),
  };
}

function parsed(text: string, place: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new TraceError('E_TRACE_DAMAGED', 'a column of table traces is no JSON', { source: place });
  }
}
