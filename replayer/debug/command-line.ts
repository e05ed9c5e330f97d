import { TraceError } from '../../trace/errors.ts';
import { answer, COMMANDS, type Answer, type Command } from './commands.ts';
import type { DebugSession } from './session.ts';
import { PLAIN, type Paint } from './texts.ts';

const ALL: readonly Command[] = [
  ...COMMANDS,
  {
    name: 'help',
    also: ['h', '?'],
    takes: '[COMMAND]',
    help: 'this list',
    run: (_, [name]) => answer(help(name)),
  },
  {
    name: 'quit',
    also: ['exit'],
    takes: '',
    help: 'leave',
    run: () => Promise.resolve({ lines: [], quit: true as const }),
  },
];

/** Runs one line. Throws E_USAGE for what it does not understand; what a target throws goes through. */
export async function runCommand(session: DebugSession, line: string, paint: Paint = PLAIN): Promise<Answer> {
  const text = line.trim();
  if (text === '' || text.startsWith('#')) return { lines: [] };
  const [name = '', ...words] = text.split(/\s+/);
  const command = find(name);
  const given = await command.run(session, words, text.slice(name.length).trim(), paint);
  return Array.isArray(given) ? { lines: given } : given;
}

/** By name, short name, or the beginning of one name only. */
function find(name: string): Command {
  const exact = ALL.find((command) => command.name === name || command.also.includes(name));
  if (exact !== undefined) return exact;
  const begun = ALL.filter((command) => command.name.startsWith(name));
  if (begun.length === 1) return begun[0]!;
  throw new TraceError('E_USAGE', `there is no command ${name}`, {
    expected: (begun.length > 1 ? begun : ALL).map((command) => command.name).join(', '),
  });
}

const LOOKING = new Set(['list', 'where', 'device', 'queue', 'chain', 'memory', 'divergences', 'help']);

/** Whether a command only looks: it moves nothing and sets nothing. */
export function isLooking(line: string): boolean {
  const [name = ''] = line.trim().split(/\s+/);
  return name !== '' && LOOKING.has(find(name).name);
}

/** Names that complete what was typed. */
export function completions(line: string, devices: readonly string[]): string[] {
  const words = line.trimStart().split(/\s+/);
  const last = words.at(-1) ?? '';
  const from = words.length === 1 ? ALL.map((command) => command.name) : devices;
  return from.filter((name) => name.startsWith(last));
}

function help(name: string | undefined): string[] {
  const shown = name === undefined ? ALL : [find(name)];
  const heads = shown.map(({ name: full, also, takes }) => `${[full, ...also].join(', ')} ${takes}`.trim());
  const width = Math.max(...heads.map((head) => head.length));
  const lines = shown.map((command, i) => `${heads[i]!.padEnd(width)}  ${command.help}`);
  if (name !== undefined && name !== 'break') return lines;
  return [
    ...lines,
    '',
    'PLACE: a step; DEVICE.REGISTER or REGISTER or DEVICE, with read or write behind it; DEVICE queue N;',
    '       memory ADDRESS+BYTES. Fields of a configuration space: DEVICE.config.FIELD',
    'CONDITION: value, size, step, vcpu, queue, chains, and of the requests of a notify type, sector, length,',
    '       with == != < <= > >= & && || ! and parentheses: blk0 queue 0 if type == write && sector >= 2048',
    'An empty line repeats the last command.',
  ];
}
