import type { Command } from 'commander';
import type { Report } from '../../analyzer/report/document.ts';
import type { GroupKey } from '../../analyzer/stats/group-key.ts';
import { GROUP_KEYS } from '../../analyzer/stats/group-key.ts';
import { TraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';
import type { ConditionOptions } from '../output/conditions.ts';
import { addConditionOptions, checkConditionOptions, checkConditions } from '../output/conditions.ts';
import { isServerUrl } from '../output/server-url.ts';
import { refreshFacts } from '../../analyzer/refresh-facts.ts';
import { reportText } from '../output/report-text.ts';
import { parseKeys } from './group-keys.ts';

export function analyzeCommand(program: Command, cli: Cli): void {
  const command = program
    .command('analyze')
    .summary('where the time of ioreqs, interrupts and requests goes')
    .description(
      'Computes MMIO trap latency, interrupt latency and virtio request latency stage by stage, and prints them ' +
        'as tables or as one JSON document (docs/REPORT.md). Spans that a loss may have touched are left out and ' +
        'counted. The exit code is 3 if a part of the trace is damaged.',
    )
    .argument('<trace>', 'a trace directory, or clickhouse://host/database/TRACE')
    .option('--by <keys>', `group by ${GROUP_KEYS.join('|')}; several with commas`, parseKeys)
    .option('--slowest <n>', 'how many of the slowest spans of each family to list', parseCount, 10)
    .option('--threads <n>', '1 or 2 (default: 2 where it pays)', parseThreads)
    .option('--json', 'print the report as JSON')
    .option('--where <sql>', 'of a trace in a database: only spans for which this holds (docs/SCALE.md)')
    .option(
      '--truth',
      "compare what an unpatched Xen's report would say with the exact times of a patched one",
    );
  addConditionOptions(command, 'mmio.p99 > 200us').action(async (dir: string, options: Options) => {
    checkConditionOptions(options, false);
    if (isServerUrl(dir) && options.truth === true)
      throw new TraceError('E_USAGE', '--truth needs a trace directory');
    if (options.where !== undefined && !isServerUrl(dir)) {
      throw new TraceError('E_USAGE', '--where is for traces in a database', {
        expected: 'clickhouse://host/database/TRACE',
      });
    }
    if (options.truth === true) {
      if (options.failOn !== undefined) throw new TraceError('E_USAGE', '--truth takes no conditions');
      await printTruth(dir, options, cli);
      return;
    }
    const { readOperand } = await import('../output/operand.ts');
    const { groupSetsOf } = await import('../../analyzer/conditions/evaluate.ts');
    const operand = await readOperand(cli, dir, {
      sets: groupSetsOf(options.failOn ?? []),
      by: options.by ?? [],
      slowest: options.slowest,
      reports: false,
      ...(options.where !== undefined && { where: options.where }),
      ...(options.threads !== undefined && { threads: options.threads }),
    });
    print(operand.report, options, cli);
    if (operand.damage !== undefined) cli.exitCode = operand.damage.exitCode;
    checkConditions(cli, `trace analyze ${operand.report.trace.path}`, options, operand);
  });
}

interface Options extends ConditionOptions {
  by?: GroupKey[];
  slowest: number;
  threads?: 1 | 2;
  json?: true;
  truth?: true;
  where?: string;
}

function print(report: Report, options: Options, cli: Cli): void {
  cli.print(options.json === true ? JSON.stringify(report, null, 2) : reportText(report, cli.out));
  for (const warning of report.warnings) cli.warn(warning);
}

/** Both analyses of one trace, and how far one is from the other. */
async function printTruth(dir: string, { by, json }: Options, cli: Cli): Promise<void> {
  const [{ needTracePoints, truthReport }, views, { clockEstimates }, { openSealed }, { truthText }] =
    await Promise.all([
      import('../../analyzer/truth/truth.ts'),
      import('../../analyzer/truth/unpatched-view.ts'),
      import('../../collector/clock-estimates.ts'),
      import('../output/open-trace.ts'),
      import('../output/truth-text.ts'),
    ]);
  const trace = await openSealed(cli, dir);
  refreshFacts(trace);
  needTracePoints(trace, dir);
  const bare = views.withoutTracePoints(trace);
  const clocks = clockEstimates(trace, bare);
  const report = truthReport(trace, views.withClock(bare, clocks[0]?.relation), {
    path: dir,
    clocks,
    warnings: trace.warnings,
    ...(by === undefined ? {} : { by }),
  });
  cli.print(json === true ? JSON.stringify(report, null, 2) : truthText(report, cli.out));
  for (const warning of report.warnings) cli.warn(warning);
  const [damage] = trace.damage;
  if (damage !== undefined) cli.exitCode = damage.exitCode;
}

function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 1000) {
    throw new TraceError('E_USAGE', 'not a number of spans', { expected: '0 to 1000', got: text });
  }
  return value;
}

function parseThreads(text: string): 1 | 2 {
  if (text !== '1' && text !== '2')
    throw new TraceError('E_USAGE', 'not a number of threads', { expected: '1 or 2', got: text });
  return text === '1' ? 1 : 2;
}
