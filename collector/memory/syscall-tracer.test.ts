import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { buildForChild, removeBuild } from '../../fixtures/child-build.ts';
import { loadLibc } from './libc.ts';
import { SyscallTracer, type SyscallWatcher, type TracedThread } from './syscall-tracer.ts';
import { syscallNumbers } from './syscalls.ts';
import { eventLoopThreads } from './threads.ts';
import { ProcessView } from './tracee-view.ts';

const libc = await loadLibc().catch(() => undefined);
if (libc === undefined) console.warn('SKIPPED: koffi cannot be loaded, nothing is traced');

/** libuv waits for children of its own, and would take what is told of their stops: so a grandchild is followed. */
const pids: number[] = [];
afterEach(() => {
  for (const pid of pids.splice(0)) kill(pid, 'SIGKILL');
});

interface Started {
  child: ChildProcess;
  pid: number;
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}

async function start(file: string, ...args: string[]): Promise<Started> {
  const words = ['-c', 'exec 3<&0; "$@" <&3 2>/dev/null & echo $! >&2; wait', 'sh', file, ...args];
  const child = spawn('sh', words, { stdio: ['pipe', 'pipe', 'pipe'] });
  const [line] = (await once(child.stderr, 'data')) as [Buffer];
  const pid = Number(line.toString());
  pids.push(pid);
  // Until then it is a shell.
  await expect.poll(() => readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0')[0]).toBe(file);
  return { child, pid };
}

async function answer({ child }: Started): Promise<string> {
  const [chunk] = (await once(child.stdout!, 'data')) as [Buffer];
  return chunk.toString();
}

const status = (pid: number, field: string): string =>
  new RegExp(`^${field}:\\s*(\\S+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? '';

/** Notes what is read from descriptor 0. */
class Reader implements SyscallWatcher {
  readonly busy = false;
  readonly read: string[] = [];
  begins = 0;
  ends = 0;
  entries = 0;
  exits = 0;
  private readonly view: ProcessView;

  constructor(pid: number) {
    this.view = new ProcessView(pid);
  }

  begun(): void {
    this.begins++;
  }

  entry(): void {
    this.entries++;
  }

  exit(thread: TracedThread, result: number): void {
    this.exits++;
    if (thread.nr !== syscallNumbers(thread.arch)?.read || thread.args[0] !== 0 || result <= 0) return;
    const words = this.view.read(thread.args[1]!, result);
    this.read.push(Buffer.from(words!.buffer, 0, result).toString());
  }

  gone(): void {
    this.ends++;
  }

  get descriptor(): string {
    return this.view.descriptor(0);
  }
}

describe.skipIf(libc === undefined)('following a process from system call to system call', () => {
  it('sees each call with its arguments, result and memory; lets go without a trace', async () => {
    const child = await start('cat');
    const watcher = new Reader(child.pid);
    const tracer = new SyscallTracer(libc!, watcher);
    tracer.follow(child.pid, child.pid);
    for (const text of ['one\n', 'two\n', 'three\n']) {
      child.child.stdin!.write(text);
      expect(await answer(child)).toBe(text);
    }
    await expect.poll(() => watcher.read).toEqual(['one\n', 'two\n', 'three\n']);
    expect(status(child.pid, 'TracerPid')).toBe(String(process.pid));
    expect(watcher.begins).toBe(1);
    // Each call has both; the one that cat waits in at the beginning was not seen to begin, that at the end not to end.
    expect(Math.abs(watcher.entries - watcher.exits)).toBeLessThanOrEqual(1);
    expect(watcher.descriptor).toMatch(/^(pipe|socket):/);
    await tracer.stop();
    expect(status(child.pid, 'TracerPid')).toBe('0');
    child.child.stdin!.write('four\n');
    expect(await answer(child)).toBe('four\n');
    expect(watcher.read).toHaveLength(3);
  });

  it('hands on signals, stops and the end', async () => {
    const child = await start('sh', '-c', 'trap "echo got" USR1; echo up; while read x; do echo $x; done');
    expect(await answer(child)).toBe('up\n');
    const watcher = new Reader(child.pid);
    const tracer = new SyscallTracer(libc!, watcher);
    tracer.follow(child.pid, child.pid);
    await expect.poll(() => watcher.begins).toBe(1);
    kill(child.pid, 'SIGSTOP');
    await expect.poll(() => status(child.pid, 'State')).toMatch(/[Tt]/);
    child.child.stdin!.write('late\n');
    kill(child.pid, 'SIGCONT');
    expect(await answer(child)).toBe('late\n');
    kill(child.pid, 'SIGUSR1');
    child.child.stdin!.write('x\n');
    let said = '';
    child.child.stdout!.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await expect.poll(() => said).toContain('got');
    child.child.stdin!.end();
    await expect.poll(() => watcher.ends).toBe(1);
    expect(tracer.count).toBe(0);
    await tracer.stop();
  });

  it('a watcher that throws ends nothing but the watching', async () => {
    const child = await start('cat');
    const watcher = new Reader(child.pid);
    watcher.exit = () => {
      throw new Error('no room');
    };
    const tracer = new SyscallTracer(libc!, watcher);
    tracer.follow(child.pid, child.pid);
    child.child.stdin!.write('one\n');
    expect(await answer(child)).toBe('one\n');
    expect((await tracer.failed).message).toBe('no room');
    await tracer.stop();
    expect(status(child.pid, 'TracerPid')).toBe('0');
  });

  it('refuses what another follows, and what is not there', async () => {
    const child = await start('cat');
    const watcher = new Reader(child.pid);
    const tracer = new SyscallTracer(libc!, watcher);
    tracer.follow(child.pid, child.pid);
    expect(() => {
      tracer.follow(child.pid, child.pid);
    }).toThrow(/lets nobody follow thread \d+ .*EPERM/);
    expect(() => {
      tracer.follow(2 ** 22 + 5, 2 ** 22 + 5);
    }).toThrow(/ESRCH/);
    await tracer.stop();
  });

  it('a follower that is killed leaves the process as it was', async () => {
    const child = await start('cat');
    const built = buildForChild(['collector/memory', 'trace']);
    try {
      const script = `
        import { loadLibc } from '${built}/collector/memory/libc.js';
        import { SyscallTracer } from '${built}/collector/memory/syscall-tracer.js';
        const nothing = () => undefined;
        const watcher = { busy: false, begun: () => console.log('on'), entry: nothing, exit: nothing, gone: nothing };
        new SyscallTracer(await loadLibc(), watcher).follow(${child.pid}, ${child.pid});`;
      const follower = await start(process.execPath, '--input-type=module', '-e', script);
      expect(await answer(follower)).toBe('on\n');
      expect(status(child.pid, 'TracerPid')).toBe(String(follower.pid));
      kill(follower.pid, 'SIGKILL');
      await once(follower.child, 'exit');
      child.child.stdin!.write('still here\n');
      expect(await answer(child)).toBe('still here\n');
      expect(status(child.pid, 'TracerPid')).toBe('0');
    } finally {
      removeBuild(built);
    }
  });
});

it('finds the threads that may run an event loop', async () => {
  const node = await start(process.execPath, '-e', 'process.stdout.write("up"); setInterval(() => {}, 1000)');
  expect(await answer(node)).toBe('up');
  const threads = eventLoopThreads(node.pid);
  expect(threads[0]).toBe(node.pid);
  // Node's own workers wait in a futex.
  await expect.poll(() => eventLoopThreads(node.pid).length).toBeLessThanOrEqual(2);
});

describe('without koffi', () => {
  it('says what is missing and how to get it', async () => {
    const load = loadLibc(() => Promise.reject(new Error("Cannot find package 'koffi'\nImported from x")));
    await expect(load).rejects.toMatchObject({
      code: 'E_HOST',
      message: expect.stringMatching(
        /needs the npm package koffi.*Cannot find package 'koffi'\).*npm install/,
      ) as string,
    });
  });
});
