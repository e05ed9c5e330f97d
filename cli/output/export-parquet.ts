import { statSync } from 'node:fs';
import { isTraceError, TraceError } from '../../trace/errors.ts';
import type { OpenTrace } from '../../trace/open.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import type { Cli } from '../cli.ts';
import { openChdb } from './chdb.ts';
import { removePart, withNewFile } from './new-file.ts';
import { runSql } from './run-sql.ts';

/**
 * Writes the spans of a family as Parquet by chDB, which writes it as it reads: the columns of `trace sql`. Returns how
 * many. Throws E_NOT_FOUND without chDB, E_NO_DATA if the trace can have no such spans, E_EXISTS, E_WRITE.
 */
export async function exportParquet(
  cli: Cli,
  trace: OpenTrace,
  family: SpanFamily,
  path: string,
  force: boolean,
): Promise<number> {
  const session = openChdb(cli, 'Parquet');
  try {
    withNewFile(path, force, () => undefined);
    let done = false;
    try {
      const table = `spans_${family}`;
      let spans = 0;
      await runSql(session, trace, `SELECT * FROM ${table}`, 'parquet', path, () => {
        spans = Number(session.query(`SELECT count() FROM ${table}`));
      });
      // The engine makes no file of no rows.
      done = statSync(path).size > 0;
      return spans;
    } catch (error) {
      if (!isTraceError(error) || !/UNKNOWN_TABLE/.test(error.message)) throw error;
      throw new TraceError('E_NO_DATA', `nothing in the trace shows spans of family ${family}`, {
        source: trace.dir,
      });
    } finally {
      if (!done) removePart(path);
    }
  } finally {
    session.cleanup();
  }
}
