import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { TraceError } from '../../../trace/errors.ts';
import { Guard } from './guard.ts';

/** First file descriptor that is handed to QEMU; 0 to 2 are nothing, nothing and its words. */
export const FIRST_FD = 3;
/** Characters of QEMU's stderr that are kept. */
const WORDS = 4096;
/** How long to wait for the last words of a QEMU that has ended. */
const LAST_WORDS_MS = 500;

/** Words of the command that starts QEMU: IOREQ_TRACE_QEMU, or Debian's program. */
export function defaultBinary(): readonly string[] {
  const words = (process.env['IOREQ_TRACE_QEMU'] ?? '').split(' ').filter((word) => word !== '');
  return words.length > 0 ? words : ['qemu-system-aarch64'];
}

/**
 * A QEMU that speaks over inherited socket pairs only ('pipe' in `fds`; numbers are files to inherit): there is
 * no socket or file that anybody else could open, and none that could be left behind.
 */
export class QemuProcess {
  readonly pid: number;
  /** Of each entry of `fds` our end, undefined for files. */
  readonly ends: (Socket | undefined)[];
  /** Why it is gone: "QEMU ended with exit code 1", undefined while it runs. */
  ended: string | undefined;
  readonly exit: Promise<void>;
  private readonly child: ChildProcess;
  private readonly guard: Guard | undefined;
  private words = '';
  private readonly listeners: (() => void)[] = [];

  constructor(binary: readonly string[], args: readonly string[], fds: readonly ('pipe' | number)[]) {
    this.child = spawn(binary[0] ?? '', [...binary.slice(1), ...args], {
      stdio: ['ignore', 'ignore', 'pipe', ...fds],
      detached: true,
    });
    this.pid = this.child.pid ?? 0;
    this.guard = this.pid === 0 ? undefined : new Guard(this.pid);
    this.ends = fds.map((fd, i) => (fd === 'pipe' ? (this.child.stdio[FIRST_FD + i] as Socket) : undefined));
    for (const end of this.ends) end?.on('error', () => undefined);
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.words = (this.words + text).slice(-WORDS);
    });
    this.exit = new Promise((done) => {
      const gone = (why: string): void => {
        if (this.ended !== undefined) return;
        this.ended = why;
        this.guard?.release();
        for (const listener of this.listeners) listener();
        done();
      };
      this.child.once('error', (error: NodeJS.ErrnoException) => {
        gone(
          error.code === 'ENOENT'
            ? `${binary[0] ?? ''} is not installed`
            : `${binary[0] ?? ''}: ${error.message}`,
        );
      });
      this.child.once('exit', (code, signal) => {
        const why = `QEMU ended ${signal === null ? `with exit code ${String(code)}` : `by ${signal}`}`;
        this.endGroup();
        // Its last words have been read at 'close', which does not come while somebody else holds its stderr.
        const timer = setTimeout(() => {
          gone(why);
        }, LAST_WORDS_MS);
        this.child.once('close', () => {
          clearTimeout(timer);
          gone(why);
        });
      });
    });
  }

  onEnd(listener: () => void): void {
    this.listeners.push(listener);
  }

  /** The last line that it wrote to stderr. */
  get lastWords(): string {
    return this.words.trim().split('\n').at(-1)?.trim() ?? '';
  }

  /** The error for a QEMU that is gone. */
  gone(when: string): TraceError {
    const words = this.lastWords;
    return new TraceError(
      'E_TARGET',
      `${this.ended ?? 'QEMU ended'}${when}${words === '' ? '' : `; its last words: ${words}`}`,
    );
  }

  /** Whether a debugger holds it: nobody may count the time then. */
  get traced(): boolean {
    try {
      return /^TracerPid:\t[1-9]/m.test(readFileSync(`/proc/${this.pid}/status`, 'utf8'));
    } catch {
      return false;
    }
  }

  /** Ends it, whatever it does. */
  async kill(): Promise<void> {
    if (this.ended === undefined) this.endGroup();
    await this.exit;
    for (const end of this.ends) end?.destroy();
    this.child.stderr?.destroy();
  }

  /** The command may be a script that has QEMU for a child: it leads a process group, all of which ends. */
  private endGroup(): void {
    // Without a process there is no group; 0 would be our own.
    if (this.pid === 0) return;
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {
      // Nobody of the group is left.
    }
  }
}
