import type { Command } from 'commander';
import { Option } from 'commander';
import { TraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';
import { escapeText } from '../output/escape.ts';
import { refreshFacts } from '../output/refresh-facts.ts';
import { isServerUrl } from '../output/server-url.ts';
import { removePart, withNewFile } from '../output/new-file.ts';

const FORMATS = ['table', 'json', 'csv', 'arrow', 'parquet'] as const;

export function sqlCommand(program: Command, cli: Cli): void {
  program
    .command('sql')
    .summary('ask a trace in SQL')
    .description(
      "Runs one query in ClickHouse's SQL on a trace's tables events, spans_mmio, spans_interrupt, " +
        'spans_injection, spans_request, devices and sources (docs/COMMANDS.md), here and without a server. ' +
        'It needs the package chdb (540 MB), which is not installed with this tool.',
    )
    .argument('<trace>', 'a trace directory')
    .argument('<query>', "such as 'SELECT count() FROM events'")
    .addOption(
      new Option('-f, --format <format>', 'how the answer is written').choices(FORMATS).default('table'),
    )
    .option('--json', 'the same as --format json')
    .option('-o, --output <file>', 'write the answer there')
    .option('--force', 'replace the file if it exists')
    .action(async (dir: string, query: string, options: Options) => {
      const format = options.json === true ? 'json' : options.format;
      const { output } = options;
      if (isServerUrl(dir)) {
        throw new TraceError('E_USAGE', 'a trace in a database is asked by its own client', {
          expected: 'a trace directory',
        });
      }
      if (output === undefined && (format === 'arrow' || format === 'parquet'))
        throw new TraceError('E_USAGE', `${format} is no text`, { expected: '--output FILE' });
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
          const text = new TextDecoder().decode(bytes);
          const shown = format === 'table' || cli.streams.stdoutIsTerminal;
          cli.streams.stdout(shown ? text.split('\n').map(plain).join('\n') : text);
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

/** JSON is indented with tabs. */
const plain = (line: string): string => line.split('\t').map(escapeText).join('\t');

interface Options {
  format: (typeof FORMATS)[number];
  json?: true;
  output?: string;
  force?: true;
}
