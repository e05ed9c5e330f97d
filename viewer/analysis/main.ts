import { cellColumns, spanColumns, type Columns } from '../../analyzer/page/page-columns.ts';
import type { PageData } from '../../analyzer/page/page-format.ts';
import { pageTrace } from '../../analyzer/page/page-trace.ts';
import { isTraceError } from '../../trace/errors.ts';
import { openFiles } from '../../trace/open-files.ts';
import type { Analysed, AnalysisReply, AnalysisRequest } from './analysed.ts';
import { chosenFiles } from './files.ts';

/** Bytes between two words to the page. */
const SAY_EVERY = 16 << 20;

const send = (reply: AnalysisReply, transfer: Transferable[] = []): void => {
  postMessage(reply, { transfer });
};

/** The analyzer as a worker of the page: the command line's own passes, over files that somebody chose. */
function analyse({ name, files }: AnalysisRequest): Analysed {
  let [read, said] = [0, 0];
  const trace = openFiles(
    chosenFiles(name, files, (bytes) => {
      read += bytes;
      if (read - said < SAY_EVERY) return;
      said = read;
      send({ read });
    }),
  );
  const warnings: string[] = [];
  const { report, families } = pageTrace(trace, { path: name, warn: (text) => warnings.push(text) });
  const whole = { ...report, warnings: [...(report.warnings ?? []), ...warnings] };
  const data: PageData = { version: 1, report: whole, tables: families.map((f) => f.table) };
  const spans: Analysed['spans'] = {};
  const cells: Analysed['cells'] = {};
  for (const family of families) {
    const { columns, weight } = family.take();
    spans[family.plan.family] = spanColumns(family.plan, columns, weight);
    if (family.cells !== undefined) cells[family.plan.family] = cellColumns(family.cells.take());
  }
  // As a page gets it from the command line: NaN is null, and nothing is a bigint.
  const safe = (_key: string, value: unknown): unknown =>
    typeof value === 'bigint' ? value.toString() : value;
  return { data: JSON.parse(JSON.stringify(data, safe)) as PageData, spans, cells };
}

const buffersOf = (tables: Partial<Record<string, Columns>>): ArrayBufferLike[] =>
  Object.values(tables).flatMap((table) => [...(table?.columns.values() ?? [])].map((c) => c.buffer));

addEventListener('message', ({ data }: MessageEvent<AnalysisRequest>) => {
  try {
    const analysed = analyse(data);
    const buffers = new Set([...buffersOf(analysed.spans), ...buffersOf(analysed.cells)]);
    send({ analysed }, [...buffers] as ArrayBuffer[]);
  } catch (error) {
    const { message } = error instanceof Error ? error : { message: String(error) };
    send({ failed: isTraceError(error) ? `${error.code}: ${message}` : message });
  }
});
