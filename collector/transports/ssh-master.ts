import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { TraceError } from '../../trace/errors.ts';
import { Tail, killGroup } from './process.ts';
import { connectError, lastLine } from './ssh-errors.ts';
import type { SshTarget } from './ssh-target.ts';
import { targetWords } from './ssh-target.ts';

/** Sessions of one connection; sshd refuses the eleventh (MaxSessions 10). */
const MOST_SESSIONS = 8;
const CONNECT_SECONDS = 10;
/** Name look-up, proxies and a slow board's key exchange included. */
const READY_MS = 60_000;
const POLL_MS = 20;

/**
 * One connection to the host, which others share (ssh's ControlMaster): a child process without a session of its
 * own. It ends when `stop` is called; should this process die, the guard ends it (ssh-guard.ts).
 */
export class SshMaster {
  readonly socket: string;
  /** Resolves with the reason when the connection is gone, whether stopped or lost. */
  readonly ended: Promise<string>;
  alive = true;
  private sessions = 0;
  private most = MOST_SESSIONS;
  private readonly child: ChildProcess;
  private readonly tail = new Tail();

  private constructor(child: ChildProcess, socket: string) {
    this.child = child;
    this.socket = socket;
    child.stderr?.on('data', (chunk: Buffer) => {
      this.tail.add(chunk);
    });
    this.ended = new Promise((resolve) => {
      child.once('close', () => {
        this.alive = false;
        resolve(lastLine(this.tail.text()) || 'the connection ended');
      });
    });
  }

  /**
   * Connects. `extra`: the user's own options for ssh, which come before ours and so win over them.
   *
   * @throws TraceError E_HOST
   */
  static async open(target: SshTarget, socket: string, extra: readonly string[]): Promise<SshMaster> {
    // The first value given of an option is the one in force (ssh_config(5)).
    const args = [
      ...['-o', 'BatchMode=yes', '-o', 'ControlMaster=yes', '-o', 'ControlPersist=no', '-S', socket],
      ...['-N', '-T', '-a', '-x', '-o', 'RemoteCommand=none', '-o', 'ClearAllForwardings=yes'],
      ...extra,
      ...[
        '-o',
        `ConnectTimeout=${CONNECT_SECONDS}`,
        '-o',
        'ServerAliveInterval=5',
        '-o',
        'ServerAliveCountMax=3',
      ],
      ...['-o', 'LogLevel=INFO', '-o', 'PermitLocalCommand=no'],
      ...targetWords(target),
    ];
    const child = spawn('ssh', args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error: NodeJS.ErrnoException) => {
        const none = error.code === 'ENOENT';
        const why = none ? 'there is no ssh program; install OpenSSH (openssh-client)' : error.message;
        reject(new TraceError('E_HOST', `cannot start ssh: ${why}`));
      });
    });
    child.on('error', () => undefined);
    const master = new SshMaster(child, socket);
    await master.ready(target);
    return master;
  }

  /** ssh makes its socket once it is let in. */
  private async ready(target: SshTarget): Promise<void> {
    const until = Date.now() + READY_MS;
    while (this.alive && !existsSync(this.socket)) {
      if (Date.now() > until) {
        await this.stop();
        throw connectError(target, 'timed out');
      }
      await Promise.race([this.ended, sleep(POLL_MS)]);
    }
    if (!this.alive) throw connectError(target, this.tail.text());
  }

  get hasRoom(): boolean {
    return this.alive && this.sessions < this.most;
  }

  takeSession(): void {
    this.sessions++;
  }

  freeSession(): void {
    this.sessions--;
  }

  /** The server wants no more sessions than there are now. */
  limitSessions(): void {
    this.most = Math.max(1, Math.min(this.most, this.sessions));
  }

  async stop(): Promise<void> {
    if (!this.alive) return;
    this.child.kill('SIGTERM');
    const late = setTimeout(() => {
      killGroup(this.child.pid);
    }, 2000);
    await this.ended;
    clearTimeout(late);
  }
}
