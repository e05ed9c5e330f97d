import type { Command } from 'commander';
import type { Labelled } from '../../analyzer/compare/by-label.ts';
import { TraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';
import { isServerUrl, withTraceId, withoutSecrets } from '../output/server-url.ts';
import { diffAction } from './diff.ts';
import { labelOption } from './label-option.ts';
import { integerOption } from './options.ts';

interface Options {
  by?: string;
  label: Record<string, string>[];
  clickhouse?: string;
  where: Record<string, string>;
  top: number;
  json?: true;
}

export function compareCommand(program: Command, cli: Cli): void {
  program
    .command('compare')
    .summary('many recordings, by a label')
    .description(
      'Compares p50 and p99 of every device over the values of a label (builds, boards, ...), in order of time. ' +
        'Recordings are trace directories, reports kept with trace analyze --json, or traces in a database, which ' +
        'bring their labels along (docs/COMMANDS.md). Two of them without --by: the same as trace diff.',
    )
    .argument('[recording...]', 'the recordings')
    .option('--by <label>', 'the label whose values are compared; without it every recording is by itself')
    .option(
      '--label <k=v>',
      'the label of a recording that is in no database: one for each, in their order',
      (text: string, before: Record<string, string>[]) => [...before, labelOption(text, {})],
      [],
    )
    .option('--clickhouse <url>', 'all recordings in that database, too')
    .option('--where <k=v>', 'of these only those with this label; may be repeated', labelOption, {})
    .option('--top <n>', 'of two recordings: how many groups to print', integerOption(0, 1_000_000), 40)
    .option('--json', 'print the comparison as JSON')
    .action(async (places: string[], options: Options) => {
      const { by, label, clickhouse, where, top, json } = options;
      if (places.length === 2 && by === undefined && clickhouse === undefined) {
        await diffAction(cli, places[0]!, places[1]!, json === undefined ? { top } : { top, json });
        return;
      }
      const all = [
        ...places,
        ...(clickhouse === undefined ? [] : await recordingsOf(cli, clickhouse, by, where)),
      ];
      if (all.length < 2) {
        throw new TraceError('E_USAGE', 'nothing to compare', { expected: 'two recordings or more' });
      }
      const labels = await labelsOf(cli, all, by, label);
      const [{ compareByLabel }, { readOperand }, { comparisonText }] = await Promise.all([
        import('../../analyzer/compare/by-label.ts'),
        import('../output/operand.ts'),
        import('../output/comparison-text.ts'),
      ]);
      const recordings: Labelled[] = [];
      for (const [n, place] of all.entries()) {
        const figures = await readOperand(cli, place, {
          sets: [],
          by: ['device'],
          slowest: 0,
          reports: true,
        });
        if (figures.damage !== undefined && cli.exitCode === 0) cli.exitCode = figures.damage.exitCode;
        recordings.push({ value: labels[n]!, figures });
      }
      const comparison = compareByLabel(by ?? null, recordings);
      cli.print(json === true ? JSON.stringify(comparison, null, 2) : comparisonText(comparison, cli.out));
    });
}

/** URLs of the whole recordings of a database that have the label. */
async function recordingsOf(
  cli: Cli,
  url: string,
  by: string | undefined,
  where: Readonly<Record<string, string>>,
): Promise<string[]> {
  const [{ parseAddress }, { connect }, { chosenTraces }] = await Promise.all([
    import('../../analyzer/clickhouse/address.ts'),
    import('../../analyzer/clickhouse/server.ts'),
    import('../../analyzer/clickhouse/chosen-traces.ts'),
  ]);
  const server = await connect(parseAddress(url, cli.streams.env));
  try {
    const traces = await chosenTraces(server, { labels: where, ...(by === undefined ? {} : { by }) });
    return traces.filter((t) => t.labelled).map((t) => withTraceId(url, t.trace));
  } finally {
    await server.close();
  }
}

/** The label's value of every recording; the place itself where no label was asked for. */
async function labelsOf(
  cli: Cli,
  places: readonly string[],
  by: string | undefined,
  given: readonly Readonly<Record<string, string>>[],
): Promise<string[]> {
  const own = places.filter((place) => !isServerUrl(place));
  if (by === undefined) {
    if (given.length > 0) throw new TraceError('E_USAGE', 'labels without --by', { expected: '--by LABEL' });
    return places.map(withoutSecrets);
  }
  if (given.length !== own.length || given.some((g) => g[by] === undefined)) {
    throw new TraceError('E_USAGE', `recordings that are in no database have no label ${by} of their own`, {
      expected: `--label ${by}=VALUE ${own.length} times, one for each`,
      got: String(given.filter((g) => g[by] !== undefined).length),
    });
  }
  const values: string[] = [];
  let next = 0;
  for (const place of places) {
    values.push(isServerUrl(place) ? await storedLabel(cli, place, by) : given[next++]![by]!);
  }
  return values;
}

async function storedLabel(cli: Cli, url: string, by: string): Promise<string> {
  const [{ onTrace }, { storedTrace }] = await Promise.all([
    import('../output/on-trace.ts'),
    import('../../analyzer/clickhouse/stored-trace.ts'),
  ]);
  return onTrace(cli, url, async (server, id) => {
    const value = (await storedTrace(server, id)).labels[by];
    if (value !== undefined) return value;
    throw new TraceError('E_NO_DATA', `the recording has no label ${by}`, {
      source: `${server.place}/${id}`,
    });
  });
}
