import type { PageReport } from '../page/page-format.ts';
import { PageSpans } from '../page/page-spans.ts';
import type { SpanConsumer } from '../passes/span-sink.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import { readSpans } from './read-spans.ts';
import { reportOnServer } from './report.ts';
import type { Server } from './server.ts';
import { storedTrace } from './stored-trace.ts';

export interface ServerPageOptions {
  tool: string;
  /** Spans of each family to keep (PAGE_ROWS otherwise). */
  maxSpans?: number | undefined;
  /** Takes all spans. */
  onSpans?: SpanConsumer | undefined;
}

/** What a page shows of a trace in the database: its report, counted there, and its spans. Rejects as both do. */
export async function pageOnServer(
  server: Server,
  id: string,
  { tool, maxSpans, onSpans }: ServerPageOptions,
): Promise<{ report: PageReport; families: PageSpans[] }> {
  const report = await reportOnServer(server, id, { tool });
  const { plans } = await storedTrace(server, id);
  const families = new Map<SpanFamily, PageSpans>();
  await readSpans(server, id, plans, (plan, batch) => {
    let spans = families.get(plan.family);
    if (spans === undefined) families.set(plan.family, (spans = new PageSpans(plan, maxSpans)));
    spans.add(batch);
    onSpans?.(plan, batch);
  });
  return { report, families: [...families.values()] };
}
