import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { TraceError } from '../../trace/errors.ts';
import { connectUnix } from './local.ts';
import { finish, killGroup, startChild, streamOf } from './process.ts';
import { SCRIPT_READER, scriptOnStdin } from './script.ts';
import { lastLine, sessionRefused } from './ssh-errors.ts';
import { SshGuard } from './ssh-guard.ts';
import { SshMaster } from './ssh-master.ts';
import type { SshTarget } from './ssh-target.ts';
import { targetName } from './ssh-target.ts';
import type { CommandOptions, CommandResult, HostProcess, HostTransport } from './transport.ts';
import { shellWord } from './transport.ts';

type Child = Awaited<ReturnType<typeof startChild>>;

/** ssh's exit code for its own failures. */
const SSH_FAILED = 255;
/** A client may end a little before its connection is seen to be gone. */
const LOSS_MS = 500;
/** What ssh takes in the paths of a forward without meaning something else by it (':', '%', '\\', '${'). */
const PLAIN_PATH = /^\/[\w@+=,./-]{1,100}$/;

/** A host reached by the system's ssh: one connection, shared by all commands. */
export class SshTransport implements HostTransport {
  readonly name: string;
  readonly local = false;
  readonly lost: Promise<string>;
  private readonly target: SshTarget;
  private readonly extra: readonly string[];
  private readonly guard = new SshGuard();
  private readonly masters: SshMaster[] = [];
  private readonly running = new Set<Child>();
  private readonly sockets = new Set<Duplex>();
  private opening: Promise<SshMaster> | undefined;
  private count = 0;
  private closed = false;
  private reportLoss: (reason: string) => void = () => undefined;

  private constructor(target: SshTarget, extra: readonly string[]) {
    this.target = target;
    this.extra = extra;
    this.name = targetName(target);
    this.lost = new Promise((resolve) => {
      this.reportLoss = resolve;
    });
  }

  /** @throws TraceError E_HOST */
  static async open(target: SshTarget, extra: readonly string[]): Promise<SshTransport> {
    const transport = new SshTransport(target, extra);
    try {
      await transport.openMaster();
    } catch (error) {
      await transport.close();
      throw error;
    }
    return transport;
  }

  async run(script: string, options?: CommandOptions): Promise<CommandResult> {
    for (;;) {
      const { child, master } = await this.start(script);
      const result = await finish(child, options);
      if (result.code !== SSH_FAILED) return result;
      if (await this.isLost(master)) throw this.gone(await master.ended);
      if (!sessionRefused(result.stderr)) return result;
      master.limitSessions();
      if (master.hasRoom) throw this.gone(lastLine(result.stderr));
    }
  }

  async stream(script: string): Promise<HostProcess> {
    const { child, master } = await this.start(script);
    return streamOf(child, (code) =>
      code === SSH_FAILED || code === null ? this.isLost(master) : Promise.resolve(false),
    );
  }

  async connect(socketPath: string): Promise<Duplex> {
    const what = `${this.name}: ${socketPath}`;
    if (!PLAIN_PATH.test(socketPath))
      throw new TraceError('E_HOST', `${what}: ssh cannot forward such a path`);
    const there = await this.run(`[ -S ${shellWord(socketPath)} ]`);
    if (there.code !== 0) throw new TraceError('E_HOST', `${what}: there is no such socket`);
    const master = await this.master();
    const local = join(this.guard.dir, `f${this.count++}`);
    const forward = ['-L', `${local}:${socketPath}`];
    const asked = await control(master.socket, 'forward', forward);
    if (asked.code !== 0) {
      throw new TraceError('E_HOST', `${what}: ssh cannot forward it: ${lastLine(asked.stderr)}`);
    }
    try {
      const socket = await connectUnix(local, what);
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
      return socket;
    } finally {
      // The connection made stays; nothing else may come in by that way.
      await control(master.socket, 'cancel', forward);
      rmSync(local, { force: true });
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    for (const socket of this.sockets) socket.destroy();
    for (const child of this.running) killGroup(child.pid);
    await this.opening?.catch(() => undefined);
    await Promise.all(this.masters.map((master) => master.stop()));
    await this.guard.close();
  }

  private async start(script: string): Promise<{ child: Child; master: SshMaster }> {
    const master = await this.master();
    master.takeSession();
    let child: Child;
    try {
      child = await startChild({
        file: 'ssh',
        args: [...clientWords(master.socket), '-T', 'x', `exec sh -c ${shellWord(SCRIPT_READER)}`],
        preamble: scriptOnStdin(script),
      });
    } catch (error) {
      master.freeSession();
      throw new TraceError('E_HOST', `cannot start ssh: ${(error as Error).message}`);
    }
    this.running.add(child);
    child.once('close', () => {
      this.running.delete(child);
      master.freeSession();
    });
    return { child, master };
  }

  /** A connection with room for one more session. */
  private async master(): Promise<SshMaster> {
    for (;;) {
      if (this.closed) throw this.gone('it was closed');
      const [first] = this.masters;
      if (first !== undefined && !first.alive) throw this.gone(await first.ended);
      const free = this.masters.find((master) => master.hasRoom);
      if (free !== undefined) return free;
      await this.openMaster();
    }
  }

  private openMaster(): Promise<SshMaster> {
    this.opening ??= this.connectMaster().finally(() => {
      this.opening = undefined;
    });
    return this.opening;
  }

  private async connectMaster(): Promise<SshMaster> {
    const socket = join(this.guard.dir, `m${this.count++}`);
    const master = await SshMaster.open(this.target, socket, this.extra);
    this.masters.push(master);
    void master.ended.then((reason) => {
      if (!this.closed) this.reportLoss(reason);
    });
    return master;
  }

  private async isLost(master: SshMaster): Promise<boolean> {
    await Promise.race([master.ended, sleep(LOSS_MS)]);
    return !master.alive && !this.closed;
  }

  private gone(reason: string): TraceError {
    return new TraceError('E_HOST', `the connection to ${this.name} is gone: ${reason}`);
  }
}

/**
 * Words of a client of a connection. Without it the client must fail, not connect by itself; the user's
 * configuration was used when the connection was made, and its forwards must not be made again.
 */
function clientWords(socket: string): string[] {
  return ['-F', 'none', '-S', socket, '-o', 'ControlMaster=no', '-o', 'ProxyCommand=exit 255'];
}

function control(
  socket: string,
  command: string,
  words: string[],
): Promise<{ code: number | null; stderr: string }> {
  return new Promise((resolve) => {
    const child = spawn('ssh', [...clientWords(socket), '-O', command, ...words, 'x'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.once('error', (error) => {
      resolve({ code: null, stderr: error.message });
    });
    child.once('close', (code) => {
      resolve({ code, stderr });
    });
  });
}
