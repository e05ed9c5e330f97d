import type { Command } from 'commander';
import type { GroupKey } from '../../analyzer/stats/group-key.ts';
import { GROUP_KEYS } from '../../analyzer/stats/group-key.ts';
import { TraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';
import { refreshFacts } from '../output/refresh-facts.ts';
import { reportText } from '../output/report-text.ts';

export function analyzeCommand(program: Command, cli: Cli): void {
  program
    .command('analyze')
    .summary('where the time of ioreqs, interrupts and requests goes')
    .description(
      'Computes MMIO trap latency, interrupt latency and virtio request latency stage by stage, and prints them ' +
        'as tables or as one JSON document (docs/REPORT.md). Spans that a loss may have touched are left out and ' +
        'counted. The exit code is 3 if a part of the trace is damaged.',
    )
    .argument('<trace>', 'a trace directory')
    .option('--by <keys>', `group by ${GROUP_KEYS.join('|')}; several with commas`, parseKeys)
    .option('--slowest <n>', 'how many of the slowest spans of each family to list', parseCount, 10)
    .option('--json', 'print the report as JSON')
    .option(
      '--truth',
      "compare what an unpatched Xen's report would say with the exact times of a patched one",
    )
    .action(async (dir: string, options: Options) => {
      if (options.truth === true) {
        await printTruth(dir, options, cli);
        return;
      }
      const [{ analyzeTrace }, { openSealed }] = await Promise.all([
        import('../../analyzer/report/build.ts'),
        import('../output/open-trace.ts'),
      ]);
      const trace = await openSealed(cli, dir);
      refreshFacts(trace);
      const report = analyzeTrace(trace, {
        path: dir,
        by: options.by ?? [],
        slowest: options.slowest,
        warnings: trace.warnings,
      });
      if (report.counts.events === 0) {
        throw new TraceError('E_NO_DATA', 'the trace holds no events', { source: dir });
      }
      cli.print(options.json === true ? JSON.stringify(report, null, 2) : reportText(report, cli.out));
      for (const warning of report.warnings) cli.warn(warning);
      const [damage] = trace.damage;
      if (damage !== undefined) cli.exitCode = damage.exitCode;
    });
}

interface Options {
  by?: GroupKey[];
  slowest: number;
  json?: true;
  truth?: true;
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

function parseKeys(text: string): GroupKey[] {
  const keys = text.split(',').map((key) => key.trim());
  for (const key of keys) {
    if (!(GROUP_KEYS as readonly string[]).includes(key)) {
      throw new TraceError('E_USAGE', 'unknown grouping', { expected: GROUP_KEYS.join(', '), got: key });
    }
  }
  return [...new Set(keys)] as GroupKey[];
}

function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 1000) {
    throw new TraceError('E_USAGE', 'not a number of spans', { expected: '0 to 1000', got: text });
  }
  return value;
}
