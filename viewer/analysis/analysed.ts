import type { Columns } from '../../analyzer/page/page-columns.ts';
import type { PageData } from '../../analyzer/page/page-format.ts';
import type { SpanFamily } from '../../trace/spans.ts';

/** What the page's analysis of a trace gives: the same that a page with a trace holds, not yet packed. */
export interface Analysed {
  data: PageData;
  spans: Partial<Record<SpanFamily, Columns>>;
  cells: Partial<Record<SpanFamily, Columns>>;
}

/** Page to analysis: the trace's files, and the name to show. */
export interface AnalysisRequest {
  name: string;
  files: readonly File[];
}

/** Analysis to page: bytes read so far, again and again; then what came of it. */
export type AnalysisReply = { read: number } | { failed: string } | { analysed: Analysed };
