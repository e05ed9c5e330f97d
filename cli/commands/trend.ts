import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { trendText } from '../output/trend-text.ts';
import { TOOL_NAME } from '../version.ts';
import { labelOption } from './label-option.ts';

interface Options {
  clickhouse: string;
  of: string;
  by: string;
  where: Record<string, string>;
  device?: string;
  json?: true;
}

export function trendCommand(program: Command, cli: Cli): void {
  program
    .command('trend')
    .summary('a figure over many recordings, and where it changed')
    .description(
      'Shows one figure of every recording in a database, grouped by one of their labels (builds, boards, ...) in ' +
        'order of time, and marks where its level changed (docs/SCALE.md). The recordings come there by `trace load`.',
    )
    .requiredOption('--clickhouse <url>', 'the server: clickhouse://user@host:port/database')
    .requiredOption(
      '--of <figure>',
      'mmio|interrupts|requests . count|mean|min|p50|p90|p99|p999|max: mmio.p99',
    )
    .requiredOption('--by <label>', 'the label that groups recordings')
    .option('--where <k=v>', 'only recordings with this label; may be repeated', labelOption, {})
    .option('--device <name>', 'only spans of this device')
    .option('--json', 'print it as JSON')
    .action(async (options: Options) => {
      const [{ parseAddress }, { connect }, { parseFigure, trendOnServer }] = await Promise.all([
        import('../../analyzer/clickhouse/address.ts'),
        import('../../analyzer/clickhouse/server.ts'),
        import('../../analyzer/clickhouse/trend.ts'),
      ]);
      const of = parseFigure(options.of);
      const server = await connect(parseAddress(options.clickhouse, cli.streams.env));
      try {
        const trend = await trendOnServer(server, {
          of,
          by: options.by,
          labels: options.where,
          tool: `${TOOL_NAME} ${cli.version}`,
          ...(options.device === undefined ? {} : { device: options.device }),
        });
        cli.print(options.json === true ? JSON.stringify(trend, null, 2) : trendText(trend, cli.out));
        if (trend.unlabelled > 0) cli.warn(`${trend.unlabelled} recordings have no label ${options.by}`);
      } finally {
        await server.close();
      }
    });
}
