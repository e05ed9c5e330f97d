import type { PassResults, SpanPlans } from '../../analyzer/analyze.ts';
import { runPasses } from '../../analyzer/analyze.ts';
import { csvHead, csvLines } from '../../analyzer/exports/csv.ts';
import { PerfettoWriter, Raises } from '../../analyzer/exports/perfetto.ts';
import type { SpanRows } from '../../analyzer/exports/spans.ts';
import { folded, speedscope, StackSums } from '../../analyzer/exports/stacks.ts';
import type { PieceWriter } from './new-file.ts';
import type { OpenTrace } from '../../trace/open.ts';
import type { SpanBatch, SpanFamily, SpanPlan } from '../../trace/spans.ts';

/** What spans are written for. */
export type ExportFormat = 'perfetto' | 'speedscope' | 'folded' | 'csv';

/**
 * Writes spans in a format of another tool as they are made, so that the memory does not grow with the trace.
 * `families`: of what; a Perfetto trace has all. Returns how many spans were written. Throws as runPasses and `write`.
 */
export function exportSpans(
  trace: OpenTrace,
  name: string,
  format: ExportFormat,
  families: readonly SpanFamily[],
  write: PieceWriter,
): number {
  const { devices } = trace.manifest;
  let spans = 0;
  const each = (
    take: (rows: SpanRows, batch: SpanBatch) => void,
    begin?: (plans: SpanPlans) => void,
  ): PassResults =>
    runPasses(trace, (plans) => {
      begin?.(plans);
      return [
        (plan: SpanPlan, batch: SpanBatch) => {
          if (!families.includes(plan.family)) return;
          take({ plan, columns: batch, rows: upTo(batch.length), weight: null, devices }, batch);
          spans += batch.length;
        },
      ];
    });
  if (format === 'csv') {
    each(
      (rows) => {
        write(csvLines(rows));
      },
      (plans) => {
        const plan = plans[families[0]!];
        if (plan !== undefined) write(csvHead(plan));
      },
    );
  } else if (format === 'perfetto') {
    const raises = new Raises();
    // What a request's interrupt began with may come after the request.
    each(({ plan, columns, rows }) => {
      raises.add(plan, columns, rows);
    });
    spans = 0;
    const out = new PerfettoWriter(raises);
    each((rows) => {
      out.add(rows);
      write(out.take());
    });
  } else {
    const sums = new StackSums();
    each((rows) => {
      sums.add(rows);
    });
    write(format === 'folded' ? folded(sums.stacks) : speedscope(name, sums.stacks));
  }
  return spans;
}

let numbers = new Uint32Array(0);

/** 0, 1, 2 ... below n. */
function upTo(n: number): Uint32Array {
  if (numbers.length < n) numbers = Uint32Array.from({ length: n }, (_, i) => i);
  return numbers.subarray(0, n);
}
