import type { Dom0Thread } from '../../analyzer/threads/dom0-thread.ts';
import type { Cli } from '../cli.ts';

/** A thread for half of the passes over the trace directory `dir`. `threads`: 1: none, 2: in any case; else where it pays. */
export async function dom0Thread(cli: Cli, dir: string, threads?: 1 | 2): Promise<Dom0Thread | undefined> {
  const { script } = cli.streams;
  if (threads === 1 || script === undefined) return undefined;
  const { Dom0Thread, secondThreadPays } = await import('../../analyzer/threads/dom0-thread.ts');
  if (threads !== 2 && !secondThreadPays(dir)) return undefined;
  try {
    return new Dom0Thread(script);
  } catch {
    // A limit of the system or of Node itself: one thread gives the same answers.
    return undefined;
  }
}
