import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TraceError } from '../../../trace/errors.ts';

/**
 * A folder of our own (0700) for a back-end's socket, disk and log. A small shell keeps watch over a pipe of ours: if
 * we are killed, it ends what we started and removes the folder.
 */
export class PrivateFolder {
  readonly path: string;
  private readonly keeper: ChildProcess;

  constructor() {
    this.path = mkdtempSync(join(tmpdir(), 'ioreq-trace-'));
    const script = `while read -r word; do case $word in done) exit;; *) pids="$pids $word";; esac; done
for pid in $pids; do kill -9 "-$pid" 2>/dev/null; done; rm -rf -- "$1"`;
    // A group of its own: Ctrl-C at the terminal must not reach it before us.
    this.keeper = spawn('/bin/sh', ['-c', script, 'sh', this.path], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    this.keeper.on('error', () => undefined);
    this.keeper.stdin!.on('error', () => undefined);
    this.keeper.unref();
    // A pipe of a child is a socket: what keeps the event loop alive is let go of as well.
    (this.keeper.stdin as unknown as { unref(): void }).unref();
  }

  /** This process and its group must end with us. */
  watch(pid: number): void {
    this.keeper.stdin!.write(`${pid}\n`);
  }

  async remove(): Promise<void> {
    rmSync(this.path, { recursive: true, force: true });
    const { keeper } = this;
    if (keeper.pid === undefined || keeper.exitCode !== null || keeper.signalCode !== null) return;
    const gone = once(keeper, 'exit');
    // Nothing else may keep the event loop alive until then.
    keeper.ref();
    keeper.stdin!.end('done\n');
    await gone;
  }
}

/** Bytes of a back-end's output that may be told. */
const MOST_WORDS = 500;

/** A back-end that we started ourselves. */
export class BackendProcess {
  readonly name: string;
  /** How it ended, in words; undefined while it runs. */
  ended: string | undefined = undefined;
  readonly pid: number | undefined;
  private readonly listeners: (() => void)[] = [];
  private readonly child: ChildProcess;
  private readonly log: string;

  constructor(command: readonly string[], folder: PrivateFolder, log: string) {
    this.name = command[0]!;
    this.log = join(folder.path, log);
    // A file and no pipe: its words can be read at any point, and nobody has to listen.
    const out = openSync(this.log, 'w', 0o600);
    // Detached: Ctrl-C at the terminal must not reach it before us, and it gets a process group of its own.
    this.child = spawn(this.name, command.slice(1), { stdio: ['ignore', out, out], detached: true });
    closeSync(out);
    this.pid = this.child.pid;
    if (this.pid !== undefined) folder.watch(this.pid);
    this.child.on('error', (error) => {
      this.end(`cannot be started: ${error.message}`);
    });
    this.child.on('exit', (code, signal) => {
      this.end(`ended with ${signal ?? `exit code ${code ?? '?'}`}`);
    });
  }

  private end(how: string): void {
    if (this.ended !== undefined) return;
    this.ended = how;
    for (const tell of this.listeners) tell();
  }

  /** Calls `tell` once it has ended. */
  onEnd(tell: () => void): void {
    if (this.ended === undefined) this.listeners.push(tell);
    else tell();
  }

  /** Its last words, with how it ended if it did; '' if there are none. */
  words(): string {
    let said = '';
    try {
      said = readFileSync(this.log, 'utf8')
        .trim()
        .replaceAll(/\s*\n\s*/g, ' / ')
        .slice(-MOST_WORDS);
    } catch {
      // No log, no words.
    }
    const parts = [
      this.ended === undefined ? '' : `${this.name} ${this.ended}`,
      said === '' ? '' : `it said: ${said}`,
    ];
    return parts.filter((part) => part !== '').join('; ');
  }

  /** Waits for `what()`, which is undefined until it has come about, or for the process to end. */
  async until<T>(what: () => T | undefined, timeoutMs: number, hope: string): Promise<T> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const got = what();
      if (got !== undefined) return got;
      if (this.ended !== undefined) throw new TraceError('E_TARGET', this.words());
      if (Date.now() >= end)
        throw new TraceError(
          'E_TARGET',
          `${this.name} did not ${hope} within ${timeoutMs} ms; ${this.words()}`,
        );
      await sleep(5);
    }
  }

  /** Ends it and whatever it has started: a command may be a shell around the back-end. */
  async stop(): Promise<void> {
    if (this.pid === undefined) return;
    if (this.ended === undefined) {
      const gone = once(this.child, 'exit');
      this.signal('SIGTERM');
      // One that is stopped or stuck takes no other signal.
      const late = setTimeout(() => {
        this.signal('SIGKILL');
      }, 1000);
      await gone;
      clearTimeout(late);
    }
    this.signal('SIGKILL');
  }

  private signal(signal: NodeJS.Signals): void {
    try {
      // It leads a process group of its own.
      process.kill(-this.pid!, signal);
    } catch {
      // Nobody is left in it.
    }
  }
}
