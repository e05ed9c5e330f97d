import type { Command } from 'commander';
import { Option } from 'commander';
import { TraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';
import { printAnswer } from '../output/sql-answer.ts';
import { refreshFacts } from '../../analyzer/refresh-facts.ts';
import { isServerUrl, withTraceId } from '../output/server-url.ts';
import { removePart, withNewFile } from '../output/new-file.ts';

const FORMATS = ['table', 'json', 'csv', 'arrow', 'parquet'] as const;

export function sqlCommand(program: Command, cli: Cli): void {
  program
    .command('sql')
    .summary('ask a trace in SQL')
    .description(
      "Runs one query in ClickHouse's SQL on a trace's tables events, spans_mmio, spans_interrupt, " +
        'spans_injection, spans_request, devices and sources (docs/COMMANDS.md): of a trace directory here, which ' +
        'needs the package chdb (540 MB) that is not installed with this tool; of a trace in a database there.',
    )
    .argument('<trace>', 'a trace directory, or clickhouse://host/database/TRACE')
    .argument('<query>', "such as 'SELECT count() FROM events'")
    .addOption(
      new Option('-f, --format <format>', 'how the answer is written').choices(FORMATS).default('table'),
    )
    .option('--clickhouse <url>', 'the server and database that has the trace, which is named by its id then')
    .option('--json', 'the same as --format json')
    .option('-o, --output <file>', 'write the answer there')
    .option('--force', 'replace the file if it exists')
    .action(async (dir: string, query: string, options: Options) => {
      const format = options.json === true ? 'json' : options.format;
      const { output } = options;
      if (output === undefined && (format === 'arrow' || format === 'parquet'))
        throw new TraceError('E_USAGE', `${format} is no text`, { expected: '--output FILE' });
      const url = urlOf(dir, options.clickhouse);
      if (url !== undefined) {
        const { sqlFromServer } = await import('../output/server-sql.ts');
        await sqlFromServer(cli, url, query, format, output, options.force === true);
        return;
      }
      const [{ openChdb }, { runSql }, { openSealed }] = await Promise.all([
        import('../output/chdb.ts'),
        import('../output/run-sql.ts'),
        import('../output/open-trace.ts'),
      ]);
      const trace = await openSealed(cli, dir);
      refreshFacts(trace);
      const session = openChdb(cli);
      try {
        if (output === undefined) {
          const bytes = await runSql(session, trace, query, format);
          printAnswer(cli, format, bytes);
        } else {
          // Whether it may be written is tried here: the engine's own words come late and long.
          withNewFile(output, options.force === true, () => undefined);
          let done = false;
          try {
            await runSql(session, trace, query, format, output);
            done = true;
          } finally {
            if (!done) removePart(output);
          }
        }
      } finally {
        session.cleanup();
      }
      const [damage] = trace.damage;
      if (damage !== undefined) cli.exitCode = damage.exitCode;
    });
}

/** `--clickhouse URL` makes the operand the id of a trace there. */
function urlOf(operand: string, server: string | undefined): string | undefined {
  if (server === undefined) return isServerUrl(operand) ? operand : undefined;
  if (isServerUrl(operand)) throw new TraceError('E_USAGE', 'two servers are named', { expected: 'one' });
  return withTraceId(server, operand);
}

interface Options {
  clickhouse?: string;
  format: (typeof FORMATS)[number];
  json?: true;
  output?: string;
  force?: true;
}
