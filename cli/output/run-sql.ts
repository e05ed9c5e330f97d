import { join, resolve } from 'node:path';
import { runPasses } from '../../analyzer/analyze.ts';
import { literal } from '../../analyzer/clickhouse/names.ts';
import { SpanSpool } from '../../analyzer/clickhouse/span-spool.ts';
import type { SqlFormat } from '../../analyzer/embedded/formats.ts';
import { SQL_FORMATS, SQL_SETTINGS } from '../../analyzer/embedded/formats.ts';
import { viewStatements } from '../../analyzer/embedded/views.ts';
import type { SpanFamily, SpanPlan } from '../../trace/spans.ts';
import type { OpenTrace } from '../../trace/open.ts';
import type { Session } from './chdb.ts';
import { engineError } from './chdb.ts';

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
  /** Called when the tables are there. */
  ready?: () => void,
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
      // Mapped files count as memory of the process, all that was read of them.
      session.query("SET storage_file_read_method = 'pread'");
      for (const [name, value] of Object.entries(SQL_SETTINGS))
        session.query(`SET ${name} = ${typeof value === 'number' ? value : literal(value)}`);
      for (const view of viewStatements(trace.manifest, eventFile, spans)) session.query(view);
      ready?.();
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
