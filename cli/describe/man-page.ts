import { ERROR_CODES } from '../../trace/errors.ts';
import type { ArgumentFacts, CommandFacts, OptionFacts, ProgramFacts } from './command-tree.ts';

/** One page in the man(7) macros, which every man program knows. `date`: YYYY-MM-DD of the release. */
export function manPage(program: ProgramFacts, command: CommandFacts | undefined, date: string): string {
  const title = command === undefined ? program.name : `${program.name}-${command.name}`;
  const lines = [
    `.TH ${quote(title.toUpperCase())} 1 "${date}" ${quote(`ioreq-trace ${program.version}`)}`,
    '.SH NAME',
    `${text(title)} \\- ${text(command === undefined ? program.description : command.summary)}`,
    '.SH SYNOPSIS',
    ...(command === undefined ? mainSynopsis(program) : synopsis(program, command)),
    '.SH DESCRIPTION',
    text(command === undefined ? program.description : command.description),
  ];
  if (command === undefined) {
    lines.push('.SH COMMANDS');
    for (const { name, summary } of program.commands) {
      lines.push('.TP', `\\fB${text(`${program.name}-${name}`)}\\fR(1)`, text(summary));
    }
  } else if (command.arguments.length > 0) {
    lines.push('.SH ARGUMENTS');
    for (const argument of command.arguments) {
      lines.push('.TP', `\\fI${text(argument.name)}\\fR`, text(argument.description));
      if (argument.choices.length > 0) lines.push('.br', text(`One of: ${argument.choices.join(', ')}.`));
    }
  }
  const options = command?.options ?? program.options;
  if (options.length > 0) {
    lines.push('.SH OPTIONS');
    for (const option of options) lines.push(...optionLines(option));
  }
  lines.push(...exitStatus(), '.SH SEE ALSO', seeAlso(program, command));
  return `${lines.join('\n')}\n`;
}

/** File name of a page. */
export function manFile(program: ProgramFacts, command: CommandFacts | undefined): string {
  return command === undefined ? `${program.name}.1` : `${program.name}-${command.name}.1`;
}

function mainSynopsis({ name }: ProgramFacts): string[] {
  return [`\\fB${text(name)}\\fR \\fIcommand\\fR [\\fIoptions\\fR]`];
}

function synopsis(program: ProgramFacts, command: CommandFacts): string[] {
  const words = [`\\fB${text(program.name)} ${text(command.name)}\\fR`, '[\\fIoptions\\fR]'];
  for (const argument of command.arguments) words.push(argumentWord(argument));
  return [words.join(' ')];
}

function argumentWord({ name, required, variadic }: ArgumentFacts): string {
  const word = `\\fI${text(name)}\\fR${variadic ? ' ...' : ''}`;
  return required ? word : `[${word}]`;
}

function optionLines(option: OptionFacts): string[] {
  const value = option.value === undefined ? '' : `\\fI${text(option.value)}\\fR`;
  const names = [option.short, option.long]
    .filter((name, at, all) => name !== undefined && all.indexOf(name) === at)
    .map((name) => `\\fB${text(name!)}\\fR`);
  const suffix = value === '' ? '' : option.optional ? `[=${value}]` : ` ${value}`;
  const more: string[] = [];
  if (option.choices.length > 0 && !option.list) more.push(`One of: ${option.choices.join(', ')}.`);
  if (option.repeatable) more.push('May be given several times.');
  if (option.defaultText !== undefined) more.push(`Default: ${option.defaultText}.`);
  return [
    '.TP',
    names.join(', ') + suffix,
    text(option.description),
    ...more.flatMap((sentence) => ['.br', text(sentence)]),
  ];
}

function exitStatus(): string[] {
  const lines = ['.SH EXIT STATUS', '.TP', '\\fB0\\fR', text('Done.'), '.TP', '\\fB1\\fR'];
  lines.push(text('What was asked for does not hold: a replay differs, a condition of --fail-on fails.'));
  const byExit = new Map<number, string[]>();
  for (const [code, { exit, meaning }] of Object.entries(ERROR_CODES)) {
    const entries = byExit.get(exit) ?? [];
    entries.push(`${code}: ${meaning}.`);
    byExit.set(exit, entries);
  }
  for (const [exit, meanings] of [...byExit].sort(([a], [b]) => a - b)) {
    lines.push('.TP', `\\fB${exit}\\fR`);
    lines.push(...meanings.flatMap((meaning, n) => [...(n === 0 ? [] : ['.br']), text(meaning)]));
  }
  lines.push('.TP', '\\fB130\\fR', text('Interrupted.'));
  return lines;
}

function seeAlso(program: ProgramFacts, command: CommandFacts | undefined): string {
  const others = command === undefined ? program.commands.map(({ name }) => `-${name}`) : [''];
  return others.map((suffix) => `\\fB${text(program.name + suffix)}\\fR(1)`).join(', ');
}

/** Text of a paragraph: nothing in it is a request or an escape, hyphens stay hyphens that can be copied. */
function text(plain: string): string {
  const escaped = plain.replaceAll('\\', '\\e').replaceAll('-', '\\-').replace(/\s+/g, ' ').trim();
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

function quote(word: string): string {
  return `"${text(word).replaceAll('"', '\\(dq')}"`;
}
