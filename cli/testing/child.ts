import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { buildForChild } from '../../fixtures/child-build.ts';
import type { Ran } from './command-line.ts';

/** What the command line is made of. */
export function buildCommandLine(): string {
  return buildForChild(['trace', 'collector', 'analyzer', 'devices', 'replayer', 'cli']);
}

export interface Child {
  readonly process: ChildProcess;
  /** When it has gone: its exit code, or -1 for a signal. */
  readonly ended: Promise<Ran>;
}

/** A command line as a process of its own, without a terminal; `build` is of buildCommandLine. */
export function startCommand(build: string, env: Readonly<Record<string, string>>, ...args: string[]): Child {
  const child = spawn(process.execPath, [join(build, 'cli/main.js'), ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ran: Ran = { code: -1, out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (ran.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (ran.err += text));
  const ended = new Promise<Ran>((resolve) => {
    child.on('close', (code) => {
      resolve({ ...ran, code: code ?? -1 });
    });
  });
  return { process: child, ended };
}
