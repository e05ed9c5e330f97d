import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import type { CommandOptions, CommandResult, HostProcess } from './transport.ts';

/** Bytes of stderr that are kept of a stream: enough for the lines that say why it ended. */
const TAIL_BYTES = 8192;
const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_MAX_BYTES = 64 * 1024 * 1024;
/** A killed command's output is waited for that long: a grandchild that left the group may hold the pipe. */
const AFTER_KILL_MS = 1000;

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/** What a program to start is. */
export interface Program {
  file: string;
  args: readonly string[];
  /** Written on its stdin before anything else. */
  preamble?: string;
}

/**
 * Starts a program in a process group of its own, so that Ctrl-C on the terminal reaches this process alone and
 * `kill` reaches all that the program started.
 *
 * @throws (rejects) the system's error if the program cannot be started
 */
export async function startChild({ file, args, preamble }: Program): Promise<Child> {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  // A program that ended does not read: the write error says nothing that its end does not.
  child.stdin.on('error', () => undefined);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  child.on('error', () => undefined);
  if (preamble !== undefined) child.stdin.write(preamble);
  return child;
}

/** Ends a whole process group at once. */
export function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}

/** A started program as a stream. `wasLost` is asked once at its end, with its exit code. */
export function streamOf(child: Child, wasLost: (code: number | null) => Promise<boolean>): HostProcess {
  const tail = new Tail();
  child.stderr.on('data', (chunk: Buffer) => {
    tail.add(chunk);
  });
  const closed = new Promise<number | null>((resolve) => {
    child.once('close', resolve);
  });
  let giveUp: (code: null) => void = () => undefined;
  const givenUp = new Promise<null>((resolve) => {
    giveUp = resolve;
  });
  return {
    stdin: child.stdin,
    stdout: child.stdout,
    stderrTail: () => tail.text(),
    ended: Promise.race([closed, givenUp]).then(async (code) => ({ code, lost: await wasLost(code) })),
    kill() {
      killGroup(child.pid);
      child.stdin.destroy();
      setTimeout(giveUp, AFTER_KILL_MS, null).unref();
    },
  };
}

/** Runs a started program to its end. */
export async function finish(child: Child, options: CommandOptions = {}): Promise<CommandResult> {
  const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
  const stdout = new Kept(child.stdout, maxBytes);
  const stderr = new Kept(child.stderr, maxBytes);
  child.stdin.end(options.input ?? '');
  let late: NodeJS.Timeout | undefined;
  const code = await new Promise<number | null>((resolve) => {
    child.once('close', resolve);
    late = setTimeout(() => {
      killGroup(child.pid);
      // Not to wait for ever on a pipe that a process outside the group holds.
      late = setTimeout(resolve, AFTER_KILL_MS, null);
    }, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  });
  clearTimeout(late);
  return { stdout: stdout.text(), stderr: stderr.text(), code };
}

/** The first bytes of a stream; the rest is read and dropped. */
class Kept {
  private readonly chunks: Buffer[] = [];
  private bytes = 0;

  constructor(stream: Readable, maxBytes: number) {
    stream.on('data', (chunk: Buffer) => {
      const room = maxBytes - this.bytes;
      if (room <= 0) return;
      this.chunks.push(chunk.length > room ? chunk.subarray(0, room) : chunk);
      this.bytes += Math.min(chunk.length, room);
    });
  }

  text(): string {
    return Buffer.concat(this.chunks).toString('utf8');
  }
}

/** The last bytes of a stream, as whole lines. */
export class Tail {
  private kept = Buffer.alloc(0);

  add(chunk: Buffer): void {
    const all = Buffer.concat([this.kept, chunk]);
    this.kept = all.subarray(Math.max(0, all.length - TAIL_BYTES));
  }

  text(): string {
    const text = this.kept.toString('utf8');
    const cut = this.kept.length === TAIL_BYTES ? text.indexOf('\n') + 1 : 0;
    return text.slice(cut).trimEnd();
  }
}
