import { run } from '../run.ts';

/** What a command line printed and what it would have exited with. */
export interface Ran {
  code: number;
  out: string;
  err: string;
}

/** Runs one command line in this process, without a terminal; `args` as behind `trace`. */
export async function traceIn(env: Readonly<Record<string, string>>, ...args: string[]): Promise<Ran> {
  const ran = { code: 0, out: '', err: '' };
  ran.code = await run(args, {
    stdout: (text) => (ran.out += text),
    stderr: (text) => (ran.err += text),
    stdoutIsTerminal: false,
    stderrIsTerminal: false,
    env,
  });
  return ran;
}

export function trace(...args: string[]): Promise<Ran> {
  return traceIn({}, ...args);
}
