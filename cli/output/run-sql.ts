import { join, resolve } from 'node:path';
import { runPasses } from '../../analyzer/analyze.ts';
import { literal } from '../../analyzer/clickhouse/names.ts';
import { SpanSpool } from '../../analyzer/clickhouse/span-spool.ts';
import { viewStatements } from '../../analyzer/embedded/views.ts';
import type { SpanFamily, SpanPlan } from '../../trace/spans.ts';
import type { OpenTrace } from '../../trace/open.ts';
import type { Session } from './chdb.ts';
import { engineError } from './chdb.ts';

/** The engine's names of the formats. */
export const SQL_FORMATS = {
  table: 'PrettyCompactMonoBlock',
  json: 'JSON',
  csv: 'CSVWithNames',
  arrow: 'ArrowStream',
  parquet: 'Parquet',
} as const;
export type SqlFormat = keyof typeof SQL_FORMATS;

/** 64-bit integers whole, as texts in JSON; no colours or cut cells in tables; NaN is no JSON. */
const SETTINGS = [
  'output_format_json_quote_64bit_integers = 1',
  'output_format_json_quote_denormals = 0',
  'output_format_pretty_color = 0',
  'output_format_pretty_row_numbers = 0',
  'output_format_pretty_highlight_digit_groups = 0',
  'output_format_pretty_max_rows = 10000',
  'output_format_pretty_single_large_number_tip_threshold = 0',
  'output_format_arrow_string_as_string = 1',
  "output_format_arrow_compression_method = 'none'",
  // What every reader of Parquet has.
  "output_format_parquet_compression_method = 'snappy'",
];

/**
 * Runs one query on a trace's tables. To a file the engine writes as it goes; else the bytes are returned.
 * Throws E_USAGE with the engine's words, and as the passes do.
 */
export async function runSql(
  session: Session,
  trace: OpenTrace,
  sql: string,
  format: SqlFormat,
  file?: string,
): Promise<Uint8Array> {
  const spool = new SpanSpool();
  try {
    const plans = new Map<SpanFamily, SpanPlan>();
    runPasses(trace, (all) => {
      for (const plan of Object.values(all) as (SpanPlan | undefined)[])
        if (plan !== undefined) plans.set(plan.family, plan);
      return [spool.add];
    });
    spool.close();
    const spans = new Map(
      [...plans].map(([family, plan]) => [
        family,
        { plan, files: spool.blocks.filter((b) => b.family === family) },
      ]),
    );
    const eventFile = (id: string): string => join(resolve(trace.dir), `events-${id}.arrows`);
    const text = sql.replace(/[\s;]+$/, '');
    try {
      for (const setting of SETTINGS) session.query(`SET ${setting}`);
      for (const view of viewStatements(trace.manifest, eventFile, spans)) session.query(view);
      if (file === undefined)
        return (await session.queryAsync(text, { format: SQL_FORMATS[format] })).bytes();
      const place = literal(resolve(file));
      await session.queryAsync(`${text}\nINTO OUTFILE ${place} TRUNCATE FORMAT ${SQL_FORMATS[format]}`, {
        format: 'Null',
      });
      return new Uint8Array();
    } catch (error) {
      throw engineError(error);
    }
  } finally {
    spool.remove();
  }
}
