import { TraceError } from '../../trace/errors.ts';
import { SYSCALL_INFO_BYTES, type Libc } from './libc.ts';

/** One thread that is followed, and the system call that it is in. */
export interface TracedThread {
  readonly pid: number;
  readonly tid: number;
  /** AUDIT_ARCH_ word; 0 until its first system call. */
  arch: number;
  /** Number of the system call that it is in; -1: in none, as far as was seen. */
  nr: number;
  /** Its arguments, as doubles. */
  readonly args: Float64Array;
}

/** Called while the thread is stopped. What they throw ends the tracing; the thread goes on unharmed. */
export interface SyscallWatcher {
  /** It stands still for the first time. */
  begun(thread: TracedThread): void;
  entry(thread: TracedThread): void;
  exit(thread: TracedThread, result: number): void;
  gone(thread: TracedThread): void;
  /** Something is under way that will lead to a further system call at once: worth waiting for without sleep. */
  readonly busy: boolean;
}

/** linux/ptrace.h */
const SEIZE = 0x4206;
const INTERRUPT = 0x4207;
const LISTEN = 0x4208;
const SYSCALL = 24;
const DETACH = 17;
const O_TRACESYSGOOD = 1;
const EVENT_STOP = 128;
const OP_ENTRY = 1;
const OP_EXIT = 2;

const SIGTRAP = 5;
const STOPPING_SIGNALS: ReadonlySet<number> = new Set([19, 20, 21, 22]);

/** ms without a stop while something is under way, before the event loop gets the CPU; between its turns at most. */
const SPIN_MS = 3;
const TURN_MS = 25;
/** A lost SIGCHLD must not leave a device model stopped. */
const SAFETY_MS = 50;
const DETACH_MS = 2000;

interface Thread extends TracedThread {
  begun: boolean;
  gone: boolean;
}

/**
 * Follows threads of other processes from system call to system call, with ptrace alone: no single step and no
 * breakpoint, and the kernel lets them go when this process ends in whatever way. All is done by the main thread,
 * as ptrace belongs to one thread; it is woken by SIGCHLD.
 */
export class SyscallTracer {
  /** Stops handled; ms for which followed threads stood still meanwhile, as far as is seen from here. */
  stops = 0;
  heldMs = 0;
  readonly failed: Promise<Error>;
  private readonly libc: Libc;
  private readonly watcher: SyscallWatcher;
  private readonly threads: Thread[] = [];
  private readonly status = new Int32Array(1);
  private readonly info = new Uint8Array(SYSCALL_INFO_BYTES);
  private readonly words = new DataView(this.info.buffer);
  private tellFailed: (error: Error) => void = () => undefined;
  private timer: NodeJS.Timeout | undefined;
  private scheduled = false;
  private running = false;
  private readonly wake = (): void => {
    this.poll();
  };

  constructor(libc: Libc, watcher: SyscallWatcher) {
    this.libc = libc;
    this.watcher = watcher;
    this.failed = new Promise((resolve) => (this.tellFailed = resolve));
  }

  /** Begins to follow a thread; throws E_HOST if the kernel refuses. */
  follow(pid: number, tid: number): void {
    if (!this.running) {
      this.running = true;
      process.on('SIGCHLD', this.wake);
      this.timer = setInterval(this.wake, SAFETY_MS);
    }
    const { libc } = this;
    if (libc.ptrace(SEIZE, tid, 0, O_TRACESYSGOOD) < 0) {
      const why = libc.errno();
      const said = why === 'EPERM' ? 'EPERM: is it traced already, or is this not root?' : why;
      throw new TraceError(
        'E_HOST',
        `the kernel lets nobody follow thread ${tid} of process ${pid} (${said})`,
      );
    }
    this.threads.push({ pid, tid, arch: 0, nr: -1, args: new Float64Array(6), begun: false, gone: false });
    // It is let go at its first stop: from then on it stops at system calls.
    libc.ptrace(INTERRUPT, tid, 0, 0);
  }

  /** Threads that are followed. */
  get count(): number {
    return this.threads.filter(({ gone }) => !gone).length;
  }

  private poll(): void {
    if (!this.running) return;
    const began = performance.now();
    let last = began;
    for (;;) {
      if (this.once()) last = performance.now();
      else {
        if (!this.watcher.busy || performance.now() - last > SPIN_MS) return;
        this.libc.yieldCpu();
      }
      if (performance.now() - began > TURN_MS) break;
    }
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.poll();
    });
  }

  /** Handles what stopped; whether anything did. */
  private once(): boolean {
    let any = false;
    for (const thread of this.threads) {
      if (thread.gone || this.libc.waitNow(thread.tid, this.status) !== thread.tid) continue;
      any = true;
      const seen = performance.now();
      this.stopped(thread, this.status[0]!, false);
      this.heldMs += performance.now() - seen;
    }
    return any;
  }

  private stopped(thread: Thread, status: number, detach: boolean): void {
    if ((status & 0xff) !== 0x7f) {
      // It ended, of itself or by a signal.
      thread.gone = true;
      this.guard(() => {
        this.watcher.gone(thread);
      });
      return;
    }
    this.stops++;
    if (!thread.begun) {
      thread.begun = true;
      this.guard(() => {
        this.watcher.begun(thread);
      });
    }
    const signal = (status >>> 8) & 0xff;
    const event = status >>> 16;
    let deliver = 0;
    let request = SYSCALL;
    if (signal === (SIGTRAP | 0x80)) {
      this.guard(() => {
        this.syscall(thread);
      });
    } else if (event === EVENT_STOP) {
      if (STOPPING_SIGNALS.has(signal)) request = LISTEN;
    } else if (event === 0) deliver = signal;
    this.libc.ptrace(detach ? DETACH : request, thread.tid, 0, deliver);
  }

  private syscall(thread: Thread): void {
    if (this.libc.syscallInfo(thread.tid, this.info) < 0) return;
    const { words } = this;
    const op = this.info[0]!;
    thread.arch = words.getUint32(4, true);
    if (op === OP_ENTRY) {
      thread.nr = double(words, 24);
      for (let i = 0; i < 6; i++) thread.args[i] = double(words, 32 + 8 * i);
      this.watcher.entry(thread);
    } else if (op === OP_EXIT) {
      if (thread.nr >= 0) this.watcher.exit(thread, Number(words.getBigInt64(24, true)));
      thread.nr = -1;
    }
  }

  /** Whatever goes wrong here, the device model must go on. */
  private guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.tellFailed(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Lets all threads go, between two things under way if that comes soon. Resolves when none is followed any more. */
  async stop(): Promise<void> {
    const patience = performance.now() + DETACH_MS;
    while (this.watcher.busy && this.count > 0 && performance.now() < patience)
      await new Promise((resolve) => setTimeout(resolve, 5));
    this.running = false;
    process.off('SIGCHLD', this.wake);
    clearInterval(this.timer);
    for (const { tid, gone } of this.threads) if (!gone) this.libc.ptrace(INTERRUPT, tid, 0, 0);
    const end = performance.now() + DETACH_MS;
    while (this.count > 0 && performance.now() < end) {
      for (const thread of this.threads) {
        if (thread.gone || this.libc.waitNow(thread.tid, this.status) !== thread.tid) continue;
        this.stopped(thread, this.status[0]!, true);
        thread.gone = true;
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    // What cannot be interrupted now (a thread in a disk's driver) is let go by the kernel when this process ends.
  }
}

/** Descriptors, sizes and addresses of user space are exact; anything larger is not looked at. */
function double(words: DataView, at: number): number {
  return words.getUint32(at, true) + words.getUint32(at + 4, true) * 0x1_0000_0000;
}
