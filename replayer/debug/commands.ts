import { isTraceError, TraceError } from '../../trace/errors.ts';
import { chainField, chainsOf, deviceField, fieldLines, queueField } from './inspect.ts';
import type { DebugSession, Stop } from './session.ts';
import { plural } from './steps.ts';
import { diffStates } from './state-diff.ts';
import { diffLines, divergenceLines, hexdump, type Paint } from './texts.ts';

/** What a command gives back. */
export interface Answer {
  lines: string[];
  /** The prompt ends. */
  quit?: true;
  /** `finish` was asked for: whether all was equal. */
  equal?: boolean;
  /** It moved: why it stopped there. */
  stop?: Stop;
}

export interface Command {
  name: string;
  /** Further names, shortest first. */
  also: readonly string[];
  takes: string;
  help: string;
  run: (
    session: DebugSession,
    words: readonly string[],
    rest: string,
    paint: Paint,
  ) => Promise<string[] | Answer>;
}

/** Bytes that one `memory` shows at most. */
const MOST_DUMPED = 65_536;
/** Chains that one `chain` shows at most: a receive queue is filled with all it can hold. */
const MOST_CHAINS = 16;
const AROUND = 5;

/** All but help and quit, which are the prompt's own. */
export const COMMANDS: readonly Command[] = [
  {
    name: 'step',
    also: ['s'],
    takes: '[COUNT]',
    help: 'do the next access (or COUNT of them)',
    run: async (session, [count], _, paint) => moved(session, () => session.step(number(count, 1)), paint),
  },
  {
    name: 'back',
    also: ['bs'],
    takes: '[COUNT]',
    help: 'undo the last access (or COUNT of them)',
    run: async (session, [count], _, paint) =>
      moved(session, () => session.stepBack(number(count, 1)), paint),
  },
  {
    name: 'goto',
    also: ['g'],
    takes: 'STEP',
    help: 'go to the first access at or after STEP, either way',
    run: async (session, [step], _, paint) =>
      moved(
        session,
        async () => {
          await session.goTo(session.steps.positionOf(number(step)));
          return { why: session.atEnd ? 'end' : 'step' };
        },
        paint,
      ),
  },
  {
    name: 'continue',
    also: ['c'],
    takes: '[PLACE [if CONDITION]]',
    help: 'run on to a breakpoint, a divergence, the end (or a PLACE, as for break)',
    run: async (session, _, rest, paint) =>
      moved(session, () => session.forward(placeOf(session, rest)), paint),
  },
  {
    name: 'reverse',
    also: ['r'],
    takes: '[PLACE [if CONDITION]]',
    help: 'run back to a breakpoint, a divergence, the begin (or a PLACE)',
    run: async (session, _, rest, paint) =>
      moved(session, () => session.backward(placeOf(session, rest)), paint),
  },
  {
    name: 'notify',
    also: ['n'],
    takes: '[DEVICE [queue N]]',
    help: 'run on to the next QueueNotify (of a device, of its queue N)',
    run: async (session, words, rest, paint) =>
      moved(
        session,
        () => {
          const place =
            words.length === 0 ? 'QueueNotify write' : words.length === 1 ? `${rest}.QueueNotify` : rest;
          return session.forward(placeOf(session, place));
        },
        paint,
      ),
  },
  {
    name: 'divergence',
    also: ['d'],
    takes: '',
    help: 'run on to the next difference from the recording, past breakpoints',
    run: async (session, _, __, paint) => {
      const before = session.catchDivergences;
      session.catchDivergences = true;
      try {
        return await moved(session, () => session.forward(undefined, false), paint);
      } finally {
        session.catchDivergences = before;
      }
    },
  },
  {
    name: 'break',
    also: ['b'],
    takes: '[PLACE [if CONDITION]]',
    help: 'stop at a place; without one, list the breakpoints',
    run: (session, words, rest) => {
      if (words.length > 0) {
        const { id, text } = session.addBreakpoint(rest);
        return answer([`breakpoint ${id}: ${text}`]);
      }
      const lines = session.breakpoints.map(({ id, text }) => `${id}: ${text}`);
      return answer(lines.length === 0 ? ['no breakpoints'] : lines);
    },
  },
  {
    name: 'delete',
    also: [],
    takes: 'NUMBER | all',
    help: 'take a breakpoint away',
    run: (session, [which]) => {
      if (which === 'all') session.breakpoints.length = 0;
      else if (!session.removeBreakpoint(number(which)))
        throw new TraceError('E_USAGE', `there is no breakpoint ${which ?? ''}`);
      return answer([]);
    },
  },
  {
    name: 'catch',
    also: [],
    takes: 'on | off',
    help: 'whether runs stop at divergences (they do)',
    run: (session, [state]) => {
      if (state !== 'on' && state !== 'off') throw new TraceError('E_USAGE', 'catch on, or catch off');
      session.catchDivergences = state === 'on';
      return answer([]);
    },
  },
  {
    name: 'list',
    also: ['l'],
    takes: '[STEP [COUNT]]',
    help: 'accesses around here, or from STEP on',
    run: ({ steps, position }, [step, count], _, paint) => {
      const from = step === undefined ? Math.max(0, position - AROUND) : steps.positionOf(number(step));
      const to = Math.min(steps.count, from + number(count, 2 * AROUND + 1));
      const lines: string[] = [];
      for (let k = from; k < to; k++)
        lines.push(k === position ? paint.bold(`=> ${steps.text(k)}`) : `   ${steps.text(k)}`);
      return answer(lines.length === 0 ? [steps.text(from)] : lines);
    },
  },
  {
    name: 'where',
    also: ['w'],
    takes: '',
    help: 'the access that comes next',
    run: (session) => answer([here(session)]),
  },
  {
    name: 'device',
    also: ['dev', 'p'],
    takes: '[NAME]',
    help: 'status, features, configuration and queues of a device, or of all',
    run: async (session, [name]) => {
      const which = name === undefined ? session.view.transports() : [transport(session, name)];
      const lines: string[] = [];
      for (const one of which) lines.push(...fieldLines(await deviceField(session.place, one)));
      return lines;
    },
  },
  {
    name: 'queue',
    also: ['q'],
    takes: 'DEVICE N',
    help: 'addresses and indices of a queue',
    run: async (session, [name, queue]) => {
      const of = transport(session, name);
      const state = session.view.state(of)!.queues[number(queue)];
      if (state === undefined) throw new TraceError('E_USAGE', `there is no queue ${queue ?? ''}`);
      return fieldLines(await queueField(session.place, of, number(queue), state));
    },
  },
  {
    name: 'chain',
    also: ['ch'],
    takes: '[DEVICE N [COUNT]]',
    help: 'descriptor chains and requests of the notify that comes next (or the newest of a queue)',
    run: async (session, [name, queue, count]) => {
      const chains =
        name === undefined
          ? await session.chains()
          : await chainsOf(session.place, transport(session, name), number(queue), number(count, 1));
      if (chains.length > 0) {
        const lines = chains.slice(0, MOST_CHAINS).flatMap((chain, n) => fieldLines(chainField(chain, n)));
        return chains.length > MOST_CHAINS
          ? [...lines, `... and ${chains.length - MOST_CHAINS} more`]
          : lines;
      }
      return [name === undefined ? 'the next access makes no new chains available' : 'no chains'];
    },
  },
  {
    name: 'memory',
    also: ['m', 'x'],
    takes: 'ADDRESS [BYTES]',
    help: 'guest memory, 64 bytes unless told',
    run: async (session, [gpa, length]) => {
      const bytes = Math.min(number(length, 64), MOST_DUMPED);
      return hexdump(number(gpa), await session.memory(number(gpa), bytes));
    },
  },
  {
    name: 'diff',
    also: [],
    takes: 'STEP [STEP]',
    help: 'what changed between two steps (the second: here)',
    run: async (session, [from, to]) => {
      const { steps } = session;
      const end = to === undefined ? session.position : steps.positionOf(number(to));
      return diffLines(await diffStates(session, steps.positionOf(number(from)), end));
    },
  },
  {
    name: 'divergences',
    also: [],
    takes: '',
    help: 'what differed so far',
    run: ({ divergences }) =>
      answer(divergences.length === 0 ? ['none so far'] : divergences.flatMap(divergenceLines)),
  },
  {
    name: 'attach',
    also: ['gdb'],
    takes: '',
    help: 'how gdb attaches to the device model',
    run: ({ target }) =>
      answer([target.debuggee?.attach ?? `${target.name}: the device models are this process itself`]),
  },
  {
    name: 'qmp',
    also: [],
    takes: 'COMMAND [JSON]',
    help: 'ask QEMU itself: qmp x-query-virtio',
    run: async ({ target }, [command], rest) => {
      const { qmp } = target as { qmp?: (command: string, args?: unknown) => Promise<unknown> };
      if (qmp === undefined) throw new TraceError('E_USAGE', `${target.name} has no QMP`);
      if (command === undefined) throw new TraceError('E_USAGE', 'qmp COMMAND [JSON]');
      const text = rest.slice(command.length).trim();
      const reply = await qmp.call(target, command, text === '' ? undefined : json(text)).catch(refused);
      return JSON.stringify(reply, null, 2).split('\n');
    },
  },
  {
    name: 'finish',
    also: [],
    takes: '',
    help: 'run to the end past everything, and compare what is left there',
    run: async (session) => {
      const { equal } = await session.finish();
      const count = session.divergences.length;
      return {
        lines: [equal ? 'equal to the recording' : `not equal: ${plural(count, 'divergence')}`],
        equal,
      };
    },
  },
];

/** Runs a movement and tells where it led: what differed on the way, why it stopped, what comes next. */
async function moved(session: DebugSession, move: () => Promise<Stop>, paint: Paint): Promise<Answer> {
  const from = session.position;
  const known = session.divergences.length;
  const stop = await move();
  const lines: string[] = [];
  // Behind a way back the list is that of a new replay: only the one that stopped it is news.
  if (session.position >= from)
    for (const found of session.divergences.slice(known))
      lines.push(...paintAll(divergenceLines(found), paint.red));
  else if (stop.why === 'divergence') lines.push(...paintAll(divergenceLines(stop.divergence), paint.red));
  if (stop.why === 'breakpoint' && stop.breakpoint.id > 0)
    lines.push(`breakpoint ${stop.breakpoint.id}: ${stop.breakpoint.text}`);
  if (stop.why === 'interrupted') lines.push('interrupted');
  if (stop.why === 'gave up') lines.push(paint.red(`the replay gave up: ${stop.text}`));
  lines.push(here(session));
  return { lines, stop };
}

function paintAll(lines: readonly string[], paint: (text: string) => string): string[] {
  return lines.map(paint);
}

function here({ steps, position }: DebugSession): string {
  return `=> ${steps.text(position).trimStart()}`;
}

function placeOf(session: DebugSession, text: string): ReturnType<DebugSession['breakpointAt']> | undefined {
  return text === '' ? undefined : { id: 0, ...session.parse(text) };
}

function transport(session: DebugSession, name: string | undefined): number {
  const found = name === undefined ? undefined : session.transportOf(name);
  if (found !== undefined) return found;
  throw new TraceError('E_USAGE', `there is no device ${name ?? ''}`.trim(), {
    expected: session.devices.join(', '),
  });
}

function number(text: string | undefined, otherwise?: number): number {
  if (text === undefined && otherwise !== undefined) return otherwise;
  const value = /^(0x[0-9a-f]+|[0-9]+)$/i.test(text ?? '') ? Number(text) : NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new TraceError('E_USAGE', 'a number is needed', { got: text ?? 'none' });
}

/** What QEMU refuses is a mistake of the user's; that it has ended shows at the next step. */
function refused(error: unknown): never {
  throw isTraceError(error) ? new TraceError('E_USAGE', error.message) : error;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new TraceError('E_USAGE', 'the arguments are not JSON', { got: text });
  }
}

export function answer(lines: string[]): Promise<string[]> {
  return Promise.resolve(lines);
}
