import type { Data, RecordBatch } from 'apache-arrow';
import { RecordBatchReader } from 'apache-arrow';
import { TraceError } from '../../trace/errors.ts';
import type { SpanPlan } from '../../trace/spans.ts';
import { SpanBatch } from '../../trace/spans.ts';
import type { SpanPlans } from '../analyze.ts';
import type { SpanConsumer } from '../passes/span-sink.ts';
import { SPAN_COLUMNS, SPAN_NUMBERS } from './arrow-body.ts';
import { serverError } from './server-error.ts';
import type { Server } from './server.ts';

/** One thread gives them in the order of the table's key each time: a sample of them is the same each time. */
const SETTINGS = { max_threads: 1, output_format_arrow_compression_method: 'none' } as const;

/**
 * All spans of a trace in the database, family by family, as the passes give them but for their order. Rejects with
 * E_SERVER; E_TRACE_DAMAGED for a row that its family's plan does not explain.
 */
export async function readSpans(
  server: Server,
  trace: string,
  plans: SpanPlans,
  consume: SpanConsumer,
): Promise<void> {
  const counted = await server.rows<{ family: string; n: number }>(
    'SELECT family, toFloat64(count()) AS n FROM spans WHERE trace = {trace:String} GROUP BY family',
    { trace },
  );
  const columns = SPAN_COLUMNS.map((name) => `\`${name}\``).join(', ');
  for (const plan of Object.values(plans) as (SpanPlan | undefined)[]) {
    const expected = counted.find(({ family }) => family === plan?.family)?.n ?? 0;
    if (plan === undefined || expected === 0) continue;
    let rows = 0;
    try {
      const stream = await server.stream(
        `SELECT ${columns} FROM spans WHERE trace = {trace:String} AND family = {family:String} FORMAT ArrowStream`,
        undefined,
        { trace, family: plan.family },
        SETTINGS,
      );
      for await (const batch of await RecordBatchReader.from(stream)) {
        rows += batch.numRows;
        if (batch.numRows > 0) consume(plan, spansOf(batch, plan, server.place));
      }
    } catch (error) {
      throw serverError(error, server.place, 'a query');
    }
    // A server that fails in the middle of an answer can only end it.
    if (rows === expected) continue;
    throw new TraceError('E_SERVER', `the answer with the ${plan.family} spans ended early`, {
      source: server.place,
      expected: `${expected} rows`,
      got: String(rows),
    });
  }
}

function spansOf(batch: RecordBatch, plan: SpanPlan, place: string): SpanBatch {
  const rows = batch.numRows;
  const spans = new SpanBatch(plan.boundaries.length, rows, plan.preempted.length);
  for (const name of SPAN_NUMBERS) {
    const data = batch.getChild(name)?.data[0];
    const values = data?.values as Float64Array | undefined;
    if (data === undefined || values?.constructor !== spans[name].constructor)
      throw damaged(plan, name, place);
    spans[name].set(values.subarray(data.offset, data.offset + rows));
  }
  for (const [name, into] of [
    ['at', spans.at],
    ['preempted', spans.preempted],
  ] as const) {
    const data: Data | undefined = batch.getChild(name)?.data[0];
    const values = data?.children[0]?.values as Float64Array | undefined;
    const ends = data?.valueOffsets as Int32Array | undefined;
    if (values === undefined || ends === undefined) throw damaged(plan, name, place);
    for (let i = 0; i < rows; i++) {
      const from = ends[i]!;
      if (ends[i + 1]! - from !== into.length) throw damaged(plan, name, place);
      for (let k = 0; k < into.length; k++) into[k]![i] = values[from + k]!;
    }
  }
  spans.length = rows;
  return spans;
}

function damaged({ family }: SpanPlan, column: string, place: string): TraceError {
  return new TraceError(
    'E_TRACE_DAMAGED',
    `column ${column} of the ${family} spans is not as its plan says`,
    {
      source: place,
    },
  );
}
