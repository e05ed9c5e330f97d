import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { TraceError } from '../../trace/errors.ts';
import { finish, killGroup, startChild, streamOf } from './process.ts';
import { SCRIPT_READER, scriptOnStdin } from './script.ts';
import type { CommandOptions, CommandResult, HostProcess, HostTransport } from './transport.ts';

type Child = Awaited<ReturnType<typeof startChild>>;

/** Linux takes no argument above 128 KiB (MAX_ARG_STRLEN). */
const MOST_ON_COMMAND_LINE = 100_000;

/** This machine. */
export class LocalTransport implements HostTransport {
  readonly name = 'this host';
  readonly local = true;
  /** Never. */
  readonly lost = new Promise<string>(() => undefined);
  private readonly running = new Set<Child>();

  async run(script: string, options?: CommandOptions): Promise<CommandResult> {
    return finish(await this.start(script), options);
  }

  async stream(script: string): Promise<HostProcess> {
    return streamOf(await this.start(script), () => Promise.resolve(false));
  }

  connect(socketPath: string): Promise<Duplex> {
    return connectUnix(socketPath, `${this.name}: ${socketPath}`);
  }

  close(): Promise<void> {
    for (const child of this.running) killGroup(child.pid);
    return Promise.resolve();
  }

  private async start(script: string): Promise<Child> {
    const short = script.length < MOST_ON_COMMAND_LINE;
    let child: Child;
    try {
      child = await startChild(
        short
          ? { file: 'sh', args: ['-c', script] }
          : { file: 'sh', args: ['-c', SCRIPT_READER], preamble: scriptOnStdin(script) },
      );
    } catch (error) {
      throw new TraceError('E_HOST', `cannot start sh on this host: ${(error as Error).message}`);
    }
    this.running.add(child);
    child.once('close', () => this.running.delete(child));
    return child;
  }
}

/** Connects to a Unix socket of this machine. `what`: for the message. */
export function connectUnix(path: string, what: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.off('error', fail);
      resolve(socket);
    });
    socket.once('error', fail);
    function fail(error: NodeJS.ErrnoException): void {
      const reason =
        error.code === 'ENOENT'
          ? 'there is no such socket'
          : error.code === 'ECONNREFUSED'
            ? 'nobody listens on that socket'
            : error.code === 'EACCES'
              ? 'no permission to connect to that socket; run as root'
              : error.message;
      reject(new TraceError('E_HOST', `${what}: ${reason}`));
    }
  });
}
