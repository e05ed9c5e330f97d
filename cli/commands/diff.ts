import type { Command } from 'commander';
import type { GroupKey } from '../../analyzer/stats/group-key.ts';
import { GROUP_KEYS } from '../../analyzer/stats/group-key.ts';
import type { Cli } from '../cli.ts';
import type { ConditionOptions } from '../output/conditions.ts';
import { addConditionOptions, checkConditionOptions, checkConditions } from '../output/conditions.ts';
import { parseKeys } from './group-keys.ts';
import { integerOption } from './options.ts';

export function diffCommand(program: Command, cli: Cli): void {
  const command = program
    .command('diff')
    .summary('what changed from one trace to another')
    .description(
      'Compares two recordings group by group and stage by stage, by the change of p99. A and B are trace ' +
        'directories, reports kept with trace analyze --json, or traces in a database. The exit code is 0 ' +
        'whatever changed, unless a condition of --fail-on holds.',
    )
    .argument('<a>', 'the recording to compare with')
    .argument('<b>', 'the recording that is compared')
    .option('--by <keys>', `group by ${GROUP_KEYS.join('|')} instead; several with commas`, parseKeys)
    .option('--top <n>', 'how many groups and stages to print', integerOption(0, 1_000_000), 40)
    .option('--json', 'print the comparison as JSON');
  addConditionOptions(command, 'mmio.p99 > +10%').action((a: string, b: string, options: Options) =>
    diffAction(cli, a, b, options),
  );
}

/** `trace diff`, and `trace compare` of two. */
export async function diffAction(cli: Cli, a: string, b: string, options: Options): Promise<void> {
  checkConditionOptions(options, true);
  const [{ diffReports, NATURAL_GROUPS }, { groupSetsOf }, { readOperand }, { diffText }] = await Promise.all(
    [
      import('../../analyzer/compare/diff.ts'),
      import('../../analyzer/conditions/evaluate.ts'),
      import('../output/operand.ts'),
      import('../output/diff-text.ts'),
    ],
  );
  const { by } = options;
  const shown = by === undefined ? NATURAL_GROUPS : NATURAL_GROUPS.map(({ family }) => ({ family, by }));
  const key = ({ family, by: keys }: (typeof shown)[number]): string => `${family} ${keys.join()}`;
  const wanted = groupSetsOf(options.failOn ?? []);
  const more = wanted.filter((set) => !shown.some((s) => key(s) === key(set)));
  const asked = { sets: [...shown, ...more], slowest: 0, reports: true };
  const first = await readOperand(cli, a, asked);
  const second = await readOperand(cli, b, asked);
  const diff = diffReports(first, second);
  cli.print(options.json === true ? JSON.stringify(diff, null, 2) : diffText(diff, cli.out, options.top));
  for (const text of diff.differences) cli.warn(text);
  const damage = first.damage ?? second.damage;
  if (damage !== undefined) cli.exitCode = damage.exitCode;
  // Paths as the reports have them: a URL may hold a password.
  const suite = `trace diff ${diff.a.path} ${diff.b.path}`;
  checkConditions(cli, suite, options, second, first);
}

interface Options extends ConditionOptions {
  by?: GroupKey[];
  top: number;
  json?: true;
}
