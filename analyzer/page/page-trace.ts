import type { OpenTrace } from '../../trace/open-files.ts';
import type { SpanBatch, SpanFamily, SpanPlan } from '../../trace/spans.ts';
import type { PassOptions } from '../analyze.ts';
import { refreshFacts } from '../refresh-facts.ts';
import { analyzeTrace } from '../report/build.ts';
import type { PageReport } from './page-format.ts';
import { PageSpans } from './page-spans.ts';
import { stepTimes, TimedAccesses } from './replay-places.ts';
import { hasReplay, storedReplay } from './replay-summary.ts';

export interface PageTraceOptions {
  /** The name that the page shows. */
  path: string;
  /** Spans of each family to keep (PAGE_ROWS otherwise). */
  maxSpans?: number | undefined;
  /** Takes all spans, batch by batch. */
  onSpans?: ((plan: SpanPlan, batch: SpanBatch) => void) | undefined;
  /** Takes what is wrong with a stored replay, which is left out then. */
  warn: (text: string) => void;
  dom0Thread?: PassOptions['dom0Thread'];
}

/**
 * What a page shows of a trace: its report, with a stored replay, and the spans that the page has room for. The same on
 * the command line and in the page itself (viewer/analysis/), so nothing here needs Node. Throws as reading events does.
 */
export function pageTrace(
  trace: OpenTrace,
  { path, maxSpans, onSpans, warn, dom0Thread }: PageTraceOptions,
): { report: PageReport; families: PageSpans[] } {
  refreshFacts(trace);
  const families = new Map<SpanFamily, PageSpans>();
  const timed = hasReplay(trace.files) ? new TimedAccesses() : undefined;
  const report = analyzeTrace(trace, {
    path,
    warnings: trace.warnings,
    dom0Thread,
    onSpans(plan, batch) {
      let spans = families.get(plan.family);
      if (spans === undefined) families.set(plan.family, (spans = new PageSpans(plan, maxSpans)));
      spans.add(batch);
      onSpans?.(plan, batch);
      if (plan.family === 'mmio') timed?.add(batch);
    },
  });
  const replay = storedReplay(
    trace.files,
    warn,
    timed && ((source, steps) => stepTimes(trace, source, timed, steps)),
  );
  return {
    report: replay === undefined ? report : { ...report, replay },
    families: [...families.values()],
  };
}
