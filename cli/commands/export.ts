import type { Command } from 'commander';
import { Option } from 'commander';
import type { OpenTrace } from '../../trace/open.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import { TraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';
import { withNewFile } from '../output/new-file.ts';
import { isServerUrl } from '../output/server-url.ts';
import { refreshFacts } from '../../analyzer/refresh-facts.ts';
import { count } from '../output/units.ts';

const FORMATS = ['perfetto', 'speedscope', 'folded', 'csv', 'parquet'] as const;
/** A row a span, so of spans that have the same columns. */
const TABLES: readonly string[] = ['csv', 'parquet'];
const FAMILIES = ['mmio', 'interrupt', 'injection', 'request'] as const;

export function exportCommand(program: Command, cli: Cli): void {
  program
    .command('export')
    .summary('spans for Perfetto, speedscope, flame graphs or a table')
    .description(
      'Writes the spans of a trace for other tools: perfetto (a track a vCPU, queue and line, with flows), ' +
        'speedscope and folded (where the time goes, as flame graphs), csv and parquet (a row a span). Large ' +
        'traces are written as they are analysed; parquet needs the package chdb (docs/COMMANDS.md).',
    )
    .argument('<trace>', 'a trace directory')
    .addOption(new Option('-f, --format <format>', 'for what').choices(FORMATS).makeOptionMandatory())
    .requiredOption('-o, --output <file>', 'the file to write; - for stdout (not perfetto, not parquet)')
    .addOption(new Option('--family <family>', 'spans of one family only').choices(FAMILIES))
    .option('--force', 'replace the file if it exists')
    .action(async (dir: string, options: Options) => {
      const { format, output, family } = options;
      if (isServerUrl(dir)) {
        throw new TraceError('E_USAGE', 'spans of a trace in a database are exported by trace sql there', {
          expected: 'a trace directory',
        });
      }
      if (TABLES.includes(format) && family === undefined) {
        throw new TraceError('E_USAGE', 'a table is of one family', {
          expected: `--family ${FAMILIES.join('|')}`,
        });
      }
      if ((format === 'perfetto' || format === 'parquet') && output === '-')
        throw new TraceError('E_USAGE', `${format} is no text`, { expected: '--output FILE' });
      const [{ exportSpans }, { openSealed }] = await Promise.all([
        import('../output/export-file.ts'),
        import('../output/open-trace.ts'),
      ]);
      const trace = await openSealed(cli, dir);
      refreshFacts(trace);
      if (format === 'parquet') {
        const { exportParquet } = await import('../output/export-parquet.ts');
        const spans = await exportParquet(cli, trace, family!, output, options.force === true);
        written(cli, dir, spans, output);
        damaged(cli, trace);
        return;
      }
      const families: readonly SpanFamily[] = family === undefined ? FAMILIES : [family];
      if (output === '-') {
        const write = (piece: string | Uint8Array): void => {
          cli.streams.stdout(String(piece));
        };
        exportSpans(trace, dir, format, families, write);
      } else {
        const spans = withNewFile(output, options.force === true, (write) =>
          exportSpans(trace, dir, format, families, write),
        );
        written(cli, dir, spans, output);
      }
      damaged(cli, trace);
    });
}

function written(cli: Cli, dir: string, spans: number, output: string): void {
  cli.print(`${count(spans)} spans in ${output}`);
  if (spans === 0) cli.warn(`${dir}: the trace has no such spans`);
}

function damaged(cli: Cli, { damage: [damage] }: OpenTrace): void {
  if (damage !== undefined) cli.exitCode = damage.exitCode;
}

interface Options {
  format: (typeof FORMATS)[number];
  output: string;
  family?: SpanFamily;
  force?: true;
}
