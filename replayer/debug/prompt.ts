import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { TraceError, isTraceError } from '../../trace/errors.ts';
import { completions, runCommand } from './command-line.ts';
import type { DebugSession } from './session.ts';
import type { Paint } from './texts.ts';

export interface PromptStreams {
  input: Readable;
  output: Writable;
  /** History, completion and colours: a terminal is on both ends. */
  terminal: boolean;
}

/** What is wrong with a command does not end the prompt; what is wrong with the target does. */
function complaint(error: unknown): string {
  if (isTraceError(error) && (error.code === 'E_USAGE' || error.code === 'E_NOT_REPLAYABLE'))
    return error.message;
  throw error;
}

/**
 * An interactive prompt until `quit` or the end of the input. Ctrl-C ends a run, and at the prompt discards the
 * line. Gives what `finish` said last. Rejects if the target fails.
 */
export async function prompt(
  session: DebugSession,
  { input, output, terminal }: PromptStreams,
  paint: Paint,
): Promise<boolean | undefined> {
  const reader = createInterface({
    input,
    output,
    terminal,
    prompt: '(replay) ',
    historySize: 1000,
    completer: (line: string) => [
      completions(line, session.devices),
      line.trimStart().split(/\s+/).at(-1) ?? '',
    ],
  });
  const interrupt = (): void => {
    if (!idle) session.interrupted = true;
    else if (!terminal) reader.close();
    else {
      // Ctrl-U: what was typed is gone.
      reader.write(null, { ctrl: true, name: 'u' });
      output.write('\n');
      reader.prompt();
    }
  };
  let idle = true;
  let last = '';
  let equal: boolean | undefined;
  reader.on('SIGINT', interrupt);
  process.on('SIGINT', interrupt);
  try {
    reader.prompt();
    for await (const typed of reader) {
      const line = typed.trim() === '' ? last : typed;
      last = line;
      idle = false;
      try {
        const answer = await runCommand(session, line, paint);
        for (const text of answer.lines) output.write(`${text}\n`);
        equal = answer.equal ?? equal;
        if (answer.quit === true) return equal;
      } catch (error) {
        output.write(`${paint.red(complaint(error))}\n`);
      }
      idle = true;
      session.interrupted = false;
      reader.prompt();
    }
    if (terminal) output.write('\n');
    return equal;
  } finally {
    process.off('SIGINT', interrupt);
    reader.close();
  }
}

/**
 * Runs the lines of a script; what each gives stands behind `(replay) line`. A command that is not understood
 * throws E_USAGE with its line number: a script that goes on past a mistake says nothing.
 */
export async function runScript(
  session: DebugSession,
  script: string,
  source: string,
  write: (text: string) => void,
  paint: Paint,
): Promise<boolean | undefined> {
  let equal: boolean | undefined;
  for (const [n, raw] of script.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    write(`(replay) ${line}\n`);
    try {
      const answer = await runCommand(session, line, paint);
      for (const text of answer.lines) write(`${text}\n`);
      equal = answer.equal ?? equal;
      if (answer.quit === true) return equal;
    } catch (error) {
      if (!isTraceError(error) || error.code !== 'E_USAGE') throw error;
      throw new TraceError('E_USAGE', `line ${n + 1}: ${error.message}`, { source });
    }
  }
  return equal;
}
