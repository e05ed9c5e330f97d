import { spawn, type ChildProcess } from 'node:child_process';

/**
 * Ends a process group (`pid` leads it) when this process ends, however that happens, SIGKILL included: a shell waits on a pipe that the
 * kernel closes with us. It has a session of its own, so that Ctrl-C at a terminal does not reach it.
 */
export class Guard {
  private readonly shell: ChildProcess;

  constructor(pid: number) {
    this.shell = spawn('sh', ['-c', 'read -r done || kill -s KILL -- "-$1"', 'guard', String(pid)], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    this.shell.on('error', () => undefined);
    this.shell.stdin!.on('error', () => undefined);
    this.shell.unref();
    // A pipe of a child is a socket: what keeps the event loop alive is let go of as well.
    (this.shell.stdin as unknown as { unref(): void }).unref();
  }

  /** The process has ended, or may go on without us. */
  release(): void {
    this.shell.stdin!.end('done\n');
  }
}
