import { basename, resolve } from 'node:path';
import type { Command } from 'commander';
import type { PageSpans } from '../../analyzer/page/page-spans.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import type { Cli } from '../cli.ts';
import { refreshFacts } from '../output/refresh-facts.ts';
import { pageTemplate } from '../page-template.ts';
import { integerOption } from './options.ts';

export function viewCommand(program: Command, cli: Cli): void {
  program
    .command('view')
    .summary('write the page that shows a trace')
    .description(
      'Analyses a trace and writes one HTML file that shows it: latency over time, percentiles, stages, flame ' +
        'graph, slowest accesses. The file holds everything it needs and opens from disk without a network.',
    )
    .argument('<trace>', 'a trace directory')
    .option('-o, --output <file>', "where to write the page (default: the trace's name with .html)")
    .option(
      '--max-spans <number>',
      'spans of each family to put in; of more, the slowest and a sample of the others',
      integerOption(1000, 4_000_000),
    )
    .action(async (dir: string, options: { output?: string; maxSpans?: number }) => {
      const template = pageTemplate();
      const [{ writePage }, { PageSpans }, { analyzeTrace }, { openSealed }] = await Promise.all([
        import('../../analyzer/page/embed.ts'),
        import('../../analyzer/page/page-spans.ts'),
        import('../../analyzer/report/build.ts'),
        import('../output/open-trace.ts'),
      ]);
      const trace = await openSealed(cli, dir);
      refreshFacts(trace);
      const families = new Map<SpanFamily, PageSpans>();
      const report = analyzeTrace(trace, {
        path: basename(resolve(dir)),
        warnings: trace.warnings,
        onSpans(plan, batch) {
          let spans = families.get(plan.family);
          if (spans === undefined) families.set(plan.family, (spans = new PageSpans(plan, options.maxSpans)));
          spans.add(batch);
        },
      });
      const output = options.output ?? `${basename(resolve(dir))}.html`;
      const page = await writePage(template, output, report, [...families.values()]);
      const spans = page.tables.map((t) => `${t.spans} ${SPANS[t.family]}`).join(', ');
      cli.print(`${output}: ${(page.bytes / 1e6).toFixed(1)} MB, ${spans === '' ? 'no spans' : spans}`);
      for (const t of page.tables) {
        if (t.rows === t.spans) continue;
        cli.warn(
          `the page holds ${t.rows} of ${t.spans} ${SPANS[t.family]}: the slowest ${t.slowest} and a sample of the others; ` +
            'it says so, and its figures over everything are exact',
        );
      }
      for (const warning of report.warnings) cli.warn(warning);
      const [damage] = trace.damage;
      if (damage !== undefined) cli.exitCode = damage.exitCode;
    });
}

const SPANS: Record<SpanFamily, string> = {
  mmio: 'MMIO accesses',
  interrupt: 'interrupts',
  injection: 'injections',
  request: 'virtio requests',
};
