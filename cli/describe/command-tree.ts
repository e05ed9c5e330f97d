import type { Argument, Command, Option } from 'commander';

/** What a value on the command line is, as far as a shell can offer something for it. */
export type ValueKind = 'path' | 'shell' | 'command' | 'none';

export interface OptionFacts {
  /** '-o', if there is one. */
  short: string | undefined;
  /** '--output' */
  long: string;
  /** Name of its value, undefined if it takes none. */
  value: string | undefined;
  /** Its value may be left out. */
  optional: boolean;
  kind: ValueKind;
  /** The only values it takes; empty: any. */
  choices: readonly string[];
  /** Several choices may be given, with commas between. */
  list: boolean;
  repeatable: boolean;
  description: string;
  defaultText: string | undefined;
}

export interface ArgumentFacts {
  name: string;
  required: boolean;
  variadic: boolean;
  kind: ValueKind;
  choices: readonly string[];
  description: string;
}

export interface CommandFacts {
  /** 'record' */
  name: string;
  summary: string;
  description: string;
  options: readonly OptionFacts[];
  arguments: readonly ArgumentFacts[];
}

export interface ProgramFacts {
  name: string;
  version: string;
  description: string;
  options: readonly OptionFacts[];
  commands: readonly CommandFacts[];
}

/** All commands with their options as plain data: the one source of --help, man pages and completion. */
export function programFacts(program: Command, version: string): ProgramFacts {
  const help = program.createHelp();
  return {
    name: program.name(),
    version,
    description: program.description(),
    options: help.visibleOptions(program).map(optionFacts),
    commands: help
      .visibleCommands(program)
      .filter((command) => command.name() !== 'help')
      .map((command) => ({
        name: command.name(),
        summary: command.summary() === '' ? command.description() : command.summary(),
        description: command.description(),
        options: help.visibleOptions(command).map(optionFacts),
        arguments: command.registeredArguments.map(argumentFacts),
      })),
  };
}

function optionFacts(option: Option): OptionFacts {
  const value = /[<[]([^>\].]+)/.exec(option.flags)?.[1];
  const named = namedChoices(option.description);
  const choices = option.argChoices ?? named ?? [];
  return {
    short: option.short,
    long: option.long ?? option.short ?? option.flags,
    value,
    optional: option.optional,
    kind: value === undefined ? 'none' : kindOf(value),
    choices,
    list: named !== undefined,
    repeatable: Array.isArray(option.defaultValue),
    description: option.description,
    defaultText: defaultText(option),
  };
}

/** What an option is without being given, as words; undefined where there is nothing to say. */
export function defaultText({ defaultValue, defaultValueDescription }: Option): string | undefined {
  if (defaultValueDescription !== undefined) return defaultValueDescription;
  const value = defaultValue as unknown;
  if (value === undefined || typeof value === 'boolean' || Array.isArray(value)) return undefined;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function argumentFacts(argument: Argument): ArgumentFacts {
  return {
    name: argument.name(),
    required: argument.required,
    variadic: argument.variadic,
    kind: kindOf(argument.name()),
    choices: argument.argChoices ?? [],
    description: argument.description,
  };
}

const PATHS =
  /^(trace|traces|dir|file|files|path|image|input|inputs|report|reports|raw|a|b)$|=(image|path|command)$/i;

function kindOf(name: string): ValueKind {
  if (name === 'shell' || name === 'command') return name;
  return PATHS.test(name) ? 'path' : 'none';
}

/** 'only these of ioreq,evtchn,irq', 'group by device|register; several with commas'. */
function namedChoices(description: string): string[] | undefined {
  const words = /\b(?:of|by) ([a-z0-9]+(?:([,|])[a-z0-9]+)(?:\2[a-z0-9]+)*)/.exec(description);
  return words?.[1]?.split(words[2]!);
}
