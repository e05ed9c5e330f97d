import type { Command } from 'commander';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';
import type { CommandFacts } from '../describe/command-tree.ts';
import { programFacts } from '../describe/command-tree.ts';
import { manFile, manPage } from '../describe/man-page.ts';
import { RELEASE_DATE } from '../version.ts';

export function manCommand(program: Command, cli: Cli): void {
  program
    .command('man')
    .summary('the manual pages')
    .description(
      'Prints the manual page of a command, or of the whole, in the form that man reads: ' +
        'trace man record | man -l -. With --output all pages are written into a folder, ' +
        'e.g. ~/.local/share/man/man1.',
    )
    .argument('[command]', 'the command')
    .option('-o, --output <dir>', 'write all pages there')
    .action((name: string | undefined, options: { output?: string }) => {
      const facts = programFacts(program, cli.version);
      const page = (command: CommandFacts | undefined): string => manPage(facts, command, RELEASE_DATE);
      if (options.output !== undefined) {
        const pages = [undefined, ...facts.commands];
        writePages(
          options.output,
          pages.map((command) => [manFile(facts, command), page(command)]),
        );
        cli.print(`${pages.length} pages in ${options.output}`);
        return;
      }
      const command = facts.commands.find((c) => c.name === name);
      if (name !== undefined && command === undefined) {
        const expected = facts.commands.map((c) => c.name).join(', ');
        throw new TraceError('E_USAGE', 'no such command', { expected, got: name });
      }
      cli.streams.stdout(page(command));
    });
}

function writePages(folder: string, pages: readonly (readonly [string, string])[]): void {
  try {
    mkdirSync(folder, { recursive: true });
    for (const [name, text] of pages) writeFileSync(join(folder, name), text);
  } catch (error) {
    throw new TraceError('E_WRITE', (error as Error).message, { source: folder });
  }
}
