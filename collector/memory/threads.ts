import { readFileSync, readdirSync } from 'node:fs';
import { ownSyscallNumbers } from './syscalls.ts';

/**
 * Threads of a process that may run an event loop: its first one, and those that wait in one now (iothreads).
 * Workers that only wait for work (a futex) touch no rings, and following them would cost for nothing.
 */
export function eventLoopThreads(pid: number): number[] {
  const waiting = ownSyscallNumbers()?.waiting ?? [];
  const threads = [pid];
  for (const name of tasks(pid)) {
    const tid = Number(name);
    if (tid !== pid && waiting.includes(currentSyscall(pid, name))) threads.push(tid);
  }
  return threads;
}

function tasks(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** Number of the system call in which a thread sleeps; -1: it runs, or is gone. */
function currentSyscall(pid: number, tid: string): number {
  try {
    const number = Number.parseInt(readFileSync(`/proc/${pid}/task/${tid}/syscall`, 'latin1'), 10);
    return Number.isNaN(number) ? -1 : number;
  } catch {
    return -1;
  }
}
