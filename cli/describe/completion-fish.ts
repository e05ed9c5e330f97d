import type { CommandFacts, OptionFacts, ProgramFacts } from './command-tree.ts';

/** A fish script: source it, or put it into ~/.config/fish/completions/. */
export function fishCompletion(program: ProgramFacts): string {
  const { name } = program;
  const commands = program.commands.map((command) => command.name);
  const lines = [`# fish completion of ${name} ${program.version}`, `complete -c ${name} -f`];
  const bare = `-n ${quote('__fish_use_subcommand')}`;
  for (const command of program.commands) {
    lines.push(`complete -c ${name} ${bare} -a ${quote(command.name)} -d ${quote(command.summary)}`);
  }
  lines.push(`complete -c ${name} ${bare} -a help -d ${quote('print the help of a command')}`);
  for (const option of program.options) lines.push(optionLine(name, bare, option));
  const seen = (command: string): string => `-n ${quote(`__fish_seen_subcommand_from ${command}`)}`;
  lines.push(`complete -c ${name} ${seen('help')} -a ${quote(commands.join(' '))}`);
  for (const command of program.commands)
    lines.push(...commandLines(name, seen(command.name), command, commands));
  return `${lines.join('\n')}\n`;
}

function commandLines(
  program: string,
  condition: string,
  command: CommandFacts,
  commands: readonly string[],
): string[] {
  const lines = command.options.map((option) => optionLine(program, condition, option));
  for (const { kind, choices } of command.arguments) {
    const offered = choices.length > 0 ? choices : kind === 'command' ? commands : [];
    if (offered.length > 0) lines.push(`complete -c ${program} ${condition} -a ${quote(offered.join(' '))}`);
    if (kind === 'path') lines.push(`complete -c ${program} ${condition} -F`);
  }
  return lines;
}

function optionLine(program: string, condition: string, option: OptionFacts): string {
  const words = [`complete -c ${program} ${condition}`];
  if (option.short !== undefined && option.short !== option.long) words.push(`-s ${option.short.slice(1)}`);
  words.push(option.long.startsWith('--') ? `-l ${option.long.slice(2)}` : `-s ${option.long.slice(1)}`);
  // -x: needs a value, and that is no file.
  if (option.value !== undefined && !option.optional) words.push(option.kind === 'path' ? '-r' : '-x');
  if (option.kind === 'path') words.push('-F');
  if (option.choices.length > 0) {
    const list = option.choices.join(' ');
    // fish's own helper for names with commas between.
    words.push(option.list ? `-a ${quote(`(__fish_append , ${list})`)}` : `-a ${quote(list)}`);
  }
  words.push(`-d ${quote(option.description.replace(/\s+/g, ' '))}`);
  return words.join(' ');
}

/** fish's single quotes know \\ and \' only. */
function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
