import type { Command } from 'commander';
import { Argument } from 'commander';
import type { Cli } from '../cli.ts';
import { programFacts } from '../describe/command-tree.ts';
import { COMPLETIONS } from '../describe/index.ts';

export function completionCommand(program: Command, cli: Cli): void {
  program
    .command('completion')
    .summary('a script that completes command lines in a shell')
    .description(
      'Prints a script for the shell named, which then completes commands, options, their values and paths. ' +
        'bash: source <(trace completion bash). zsh: source <(trace completion zsh), behind compinit. ' +
        'fish: trace completion fish | source.',
    )
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(COMPLETIONS)))
    .action((shell: string) => {
      cli.streams.stdout(COMPLETIONS[shell]!(programFacts(program, cli.version)));
    });
}
