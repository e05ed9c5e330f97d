import type { Readable, Writable } from 'node:stream';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { isTraceError, TraceError } from '../../trace/errors.ts';
import { JsonValue } from '../../trace/json-check.ts';
import { completions, isLooking, runCommand } from '../debug/command-line.ts';
import { DebugSession, type NewRun, type Stop } from '../debug/session.ts';
import { plural } from '../debug/steps.ts';
import { divergenceLines } from '../debug/texts.ts';
import type { Recording } from '../recording/load.ts';
import { Connection } from './connection.ts';
import { lineOf, listing, LISTING_TYPE, positionOf, sourceOf } from './listing.ts';
import { EditorBreakpoints } from './breakpoints.ts';
import { stoppedBy, type StoppedBy } from './stopped.ts';
import { Variables } from './variables.ts';

/** What `launch` opens. */
export interface Launched {
  /** For the tab of the listing. */
  title: string;
  recording: Recording;
  newRun: NewRun;
}

/** Opens what the arguments of `launch` name. May reject with TraceError; its message is shown. */
export type OpenLaunch = (args: JsonValue) => Promise<Launched>;

const CAPABILITIES: DebugProtocol.Capabilities = {
  supportsConfigurationDoneRequest: true,
  supportsConditionalBreakpoints: true,
  supportsFunctionBreakpoints: true,
  supportsStepBack: true,
  supportsRestartRequest: true,
  supportsGotoTargetsRequest: true,
  supportsReadMemoryRequest: true,
  supportsCompletionsRequest: true,
  supportsExceptionInfoRequest: true,
  supportsEvaluateForHovers: false,
  supportsTerminateRequest: true,
  exceptionBreakpointFilters: [
    { filter: 'divergence', label: 'Divergences from the recording', default: true },
  ],
};

const THREAD = 1;
const FRAME = 1;
/** Most bytes that one request for memory gives; an editor asks again for more. */
const MOST_READ = 1 << 20;

/** Requests that may not wait for a run to end. */
const AT_ONCE = new Set([
  ...['initialize', 'launch', 'threads', 'pause', 'disconnect', 'terminate', 'source', 'configurationDone'],
  ...['setBreakpoints', 'setFunctionBreakpoints', 'setExceptionBreakpoints'],
]);

type Handler = (args: JsonValue) => unknown;

/**
 * A debug adapter for one editor: a replay as a program whose statements are the recorded accesses. `done` is called
 * once, when the editor has left, with what is wrong if it sent what is no message; nothing of the replay runs any
 * more then.
 */
export class DebugAdapter {
  private readonly open: OpenLaunch;
  private readonly done: (why?: string) => void;
  /** What ended the connection, if not the editor. */
  private why: string | undefined;
  private readonly connection: Connection;
  private session: DebugSession | undefined;
  private variables: Variables | undefined;
  private title = 'accesses';
  private stopOnEntry = true;
  /** Requests in order, and the run that some of them start. */
  private queue: Promise<void> = Promise.resolve();
  private running: Promise<void> | undefined;
  private points: EditorBreakpoints | undefined;
  private lastStop: Stop = { why: 'begin' };
  private left = false;
  private terminated = false;
  private readonly handlers: Readonly<Record<string, Handler>>;

  constructor(input: Readable, output: Writable, open: OpenLaunch, done: (why?: string) => void) {
    this.open = open;
    this.done = done;
    this.handlers = this.table();
    const take = (request: DebugProtocol.Request): void => {
      if (AT_ONCE.has(request.command)) this.queue = this.queue.then(() => this.handle(request));
      else this.queue = this.queue.then(() => this.whenStopped(request));
      // What is under way when it is asked to stop is asked at once, not behind what waits for it.
      if (['pause', 'disconnect', 'terminate'].includes(request.command)) this.interrupt();
    };
    this.connection = new Connection(input, output, take, (why) => {
      this.why = why;
      this.interrupt();
      void this.leave();
    });
  }

  private interrupt(): void {
    if (this.session !== undefined && this.running !== undefined) this.session.interrupted = true;
  }

  private async whenStopped(request: DebugProtocol.Request): Promise<void> {
    while (this.running !== undefined) await this.running;
    await this.handle(request);
  }

  private async handle(request: DebugProtocol.Request): Promise<void> {
    try {
      const { command } = request;
      const handler = Object.hasOwn(this.handlers, command) ? this.handlers[command] : undefined;
      if (handler === undefined) throw new TraceError('E_USAGE', `there is no request ${command}`);
      const args = new JsonValue(request.arguments ?? {}, 'arguments', command);
      const body = await handler(args);
      this.connection.respond(request, body);
      this.after(command);
    } catch (error) {
      if (!isTraceError(error) && process.env['IOREQ_TRACE_DEBUG'] !== undefined) console.error(error);
      this.connection.refuse(request, error instanceof Error ? error.message : String(error));
    }
  }

  /** What has to follow a response. */
  private after(command: string): void {
    if (command === 'launch') this.connection.event('initialized');
    if (command === 'configurationDone') {
      if (this.stopOnEntry) this.tellStopped({ reason: 'entry', description: 'before the first access' });
      else this.go((session) => session.forward());
    }
    if (command === 'disconnect' || command === 'terminate') {
      if (command === 'terminate') this.connection.event('terminated');
      void this.leave();
    }
  }

  private table(): Record<string, Handler> {
    const move = (how: (session: DebugSession) => Promise<Stop>) => (): object => {
      this.need();
      // The response goes out before the events that the run leads to.
      setImmediate(() => {
        this.go(how);
      });
      this.running = new Promise((resolve) => (this.ended = resolve));
      return { allThreadsContinued: true };
    };
    return {
      initialize: () => CAPABILITIES,
      launch: (args) => this.launch(args),
      configurationDone: () => undefined,
      threads: () => ({ threads: [{ id: THREAD, name: 'guest' }] }),
      stackTrace: () => this.stackTrace(),
      scopes: () => ({ scopes: this.need(this.variables).scopes() }),
      variables: async (args) => ({
        variables: await this.need(this.variables).list(args.get('variablesReference').integer(0)),
      }),
      source: () => ({ content: listing(this.need().steps), mimeType: LISTING_TYPE }),
      setBreakpoints: (args) => this.need(this.points).setLines(args),
      setFunctionBreakpoints: (args) => this.need(this.points).setNames(args),
      setExceptionBreakpoints: (args) => {
        this.need().catchDivergences = args
          .get('filters')
          .list((filter) => filter.text())
          .includes('divergence');
        return {};
      },
      exceptionInfo: () => this.exceptionInfo(),
      continue: move((session) => (session.atEnd ? this.finish(session) : session.forward())),
      reverseContinue: move((session) => session.backward()),
      next: move((session) => session.step()),
      stepIn: move((session) => session.step()),
      // Out of a run of set-up accesses: to the next time that a device is given work.
      stepOut: move((session) => session.forward({ id: 0, ...session.parse('QueueNotify write') })),
      stepBack: move((session) => session.stepBack()),
      restart: move(async (session) => {
        await session.goTo(0);
        return { why: 'begin' };
      }),
      pause: () => {
        this.interrupt();
      },
      gotoTargets: (args) => {
        const position = positionOf(this.need().steps, args.get('line').integer(1));
        return {
          targets: position === undefined ? [] : [{ id: position, label: 'here', line: lineOf(position) }],
        };
      },
      goto: (args) => {
        const position = args.get('targetId').integer(0);
        return move(async (session) => {
          await session.goTo(position);
          return { why: 'step' };
        })();
      },
      readMemory: (args) => this.readMemory(args),
      evaluate: (args) => this.evaluate(args),
      completions: (args) => this.completions(args),
      terminate: () => undefined,
      disconnect: () => undefined,
    };
  }

  private need(): DebugSession;
  private need<T>(what: T | undefined): T;
  private need(what: unknown = this.session): unknown {
    if (what === undefined) throw new TraceError('E_USAGE', 'nothing is launched');
    return what;
  }

  private async launch(args: JsonValue): Promise<void> {
    if (this.session !== undefined) throw new TraceError('E_USAGE', 'a replay is launched already');
    this.stopOnEntry = args.maybe('stopOnEntry', (item) => item.flag()) ?? true;
    const { title, recording, newRun } = await this.open(args);
    const session = await DebugSession.open(recording, newRun);
    this.title = title;
    this.session = session;
    this.variables = new Variables(session);
    this.points = new EditorBreakpoints(session);
    const { target, steps, devices } = session;
    this.print(`${target.name}: ${steps.count} accesses, ${devices.join(', ')}`);
  }

  private stackTrace(): DebugProtocol.StackTraceResponse['body'] {
    const { steps, position } = this.need();
    const name = steps.text(position).trim().replace(/ +/g, ' ');
    const frame = { id: FRAME, name, line: lineOf(position), column: 1, source: sourceOf(this.title) };
    return { stackFrames: [frame], totalFrames: 1 };
  }

  // Running.

  private ended: (() => void) | undefined;

  /** Starts a movement, which ends with a stopped event, or with the end of it all. */
  private go(how: (session: DebugSession) => Promise<Stop>): void {
    const session = this.session;
    if (session === undefined || this.left) {
      this.running = undefined;
      this.ended?.();
      return;
    }
    this.running ??= new Promise((resolve) => (this.ended = resolve));
    const known = session.divergences.length;
    const from = session.position;
    void how(session)
      .then(
        (stop) => {
          if (session.position >= from)
            for (const found of session.divergences.slice(known))
              this.print(divergenceLines(found).join('\n'), 'stderr');
          if (!this.terminated) this.stoppedBy(stop);
        },
        (error: unknown) => {
          const why = error instanceof Error ? error.message : String(error);
          this.print(why, 'stderr');
          this.connection.event('exited', { exitCode: isTraceError(error) ? error.exitCode : 70 });
          this.connection.event('terminated');
        },
      )
      .finally(() => {
        session.interrupted = false;
        this.running = undefined;
        this.ended?.();
      });
  }

  private stoppedBy(stop: Stop): void {
    this.lastStop = stop;
    if (stop.why === 'gave up') this.print(stop.text, 'stderr');
    this.tellStopped(stoppedBy(stop, this.points?.byName ?? []));
  }

  private tellStopped(why: StoppedBy): void {
    this.variables?.clear();
    this.connection.event('stopped', { threadId: THREAD, allThreadsStopped: true, ...why });
  }

  /** Continuing from the end: what the devices hold is compared, and the program has ended. */
  private async finish(session: DebugSession): Promise<Stop> {
    const { equal } = await session.finish();
    const count = session.divergences.length;
    this.print(
      equal ? 'equal to the recording' : `not equal: ${plural(count, 'divergence')}`,
      equal ? 'stdout' : 'stderr',
    );
    this.terminated = true;
    this.connection.event('exited', { exitCode: equal ? 0 : 1 });
    this.connection.event('terminated');
    return { why: 'end' };
  }

  private exceptionInfo(): DebugProtocol.ExceptionInfoResponse['body'] {
    const { lastStop } = this;
    if (lastStop.why !== 'divergence') throw new TraceError('E_USAGE', 'no divergence stopped the replay');
    return {
      exceptionId: `${lastStop.divergence.kind} divergence`,
      description: divergenceLines(lastStop.divergence).join('\n'),
      breakMode: 'always',
    };
  }

  // Looking.

  private async readMemory(args: JsonValue): Promise<object> {
    const session = this.need();
    const base = Number(args.get('memoryReference').text(32));
    const offset = args.maybe('offset', (item) => item.integer(-Number.MAX_SAFE_INTEGER)) ?? 0;
    const count = Math.min(args.get('count').integer(0), MOST_READ);
    const gpa = base + offset;
    const address = `0x${Math.max(0, gpa || 0).toString(16)}`;
    if (!Number.isSafeInteger(gpa) || gpa < 0) return { address, unreadableBytes: count };
    if (count === 0) return { address, data: '' };
    try {
      const data = Buffer.from(await session.memory(gpa, count)).toString('base64');
      return { address, data };
    } catch (error) {
      if (!isTraceError(error) || error.code !== 'E_NOT_REPLAYABLE') throw error;
      return { address, unreadableBytes: count };
    }
  }

  /** The prompt's commands. Outside of the console only those that look: an editor evaluates watches by itself. */
  private async evaluate(args: JsonValue): Promise<object> {
    const session = this.need();
    const expression = args.get('expression').text();
    const context = args.maybe('context', (item) => item.text()) ?? 'repl';
    if (context !== 'repl' && !isLooking(expression))
      throw new TraceError('E_USAGE', 'only commands that look: device, queue, chain, memory, list, where');
    const from = session.position;
    const { lines, stop } = await runCommand(session, expression);
    if (stop !== undefined) this.stoppedBy(stop);
    else if (session.position !== from) this.tellStopped({ reason: 'goto' });
    return { result: lines.join('\n'), variablesReference: 0 };
  }

  private completions(args: JsonValue): object {
    const text = args.get('text').text();
    const column = args.get('column').integer(1);
    const found = completions(text.slice(0, column - 1), this.need().devices);
    return { targets: found.map((label) => ({ label })) };
  }

  private print(text: string, category: 'stdout' | 'stderr' | 'console' = 'console'): void {
    this.connection.event('output', { category, output: `${text}\n` });
  }

  private async leave(): Promise<void> {
    if (this.left) return;
    this.left = true;
    await this.queue;
    while (this.running !== undefined) await this.running;
    await this.session?.close();
    this.done(this.why);
  }
}
