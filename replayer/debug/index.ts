import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import type { Readable, Writable } from 'node:stream';
import { TraceError } from '../../trace/errors.ts';
import type { Recording } from '../recording/load.ts';
import { prompt, runScript } from './prompt.ts';
import { DebugSession, type NewRun } from './session.ts';
import { plural } from './steps.ts';
import type { Paint } from './texts.ts';
import { PLAIN } from './texts.ts';

export { DebugSession, type DebugRun, type NewRun } from './session.ts';

export interface DebugOptions {
  recording: Recording;
  /** A fresh replay each time, not started, with disks of its own. */
  newRun: NewRun;
  /** File with commands, instead of a prompt. */
  script?: string;
  /** Step to stop before, for gdb, instead of a prompt. */
  gdb?: number;
  paint?: Paint;
  input?: Readable & { isTTY?: boolean };
  output?: Writable & { isTTY?: boolean };
}

/**
 * A replay under the user's control: interactive, from a script, or stopped at one step for gdb. The outcome is that of
 * the command `finish` (with gdb: of the whole replay); undefined if it was not run to its end.
 * Rejects as ReplayRun does, with E_UNREADABLE for the script and E_USAGE for what it holds.
 */
export async function debugReplay(options: DebugOptions): Promise<{ equal: boolean | undefined }> {
  const { recording, newRun, script, gdb, paint = PLAIN } = options;
  const input = options.input ?? process.stdin;
  const output = options.output ?? process.stdout;
  const write = (text: string): void => {
    output.write(text);
  };
  const commands = script === undefined ? undefined : textOf(script);
  const session = await DebugSession.open(recording, newRun);
  try {
    if (gdb !== undefined) return { equal: await pauseForGdb(session, gdb, input, write) };
    write(`${session.target.name}: ${session.steps.count} accesses, ${session.devices.join(', ')}\n`);
    if (commands !== undefined) return { equal: await runScript(session, commands, script!, write, paint) };
    write('help lists the commands.\n');
    const terminal = input.isTTY === true && output.isTTY === true;
    return { equal: await prompt(session, { input, output, terminal }, paint) };
  } finally {
    await session.close();
  }
}

async function pauseForGdb(
  session: DebugSession,
  step: number,
  input: Readable,
  write: (text: string) => void,
): Promise<boolean> {
  const { debuggee } = session.target;
  if (debuggee === undefined)
    throw new TraceError('E_USAGE', `${session.target.name} is no process of its own to attach to`, {
      expected: '--model qemu',
    });
  await session.goTo(session.steps.positionOf(step));
  write(`stopped before ${session.steps.text(session.position).trimStart()}\n`);
  write(`process ${debuggee.pid}; attach with:\n\n  ${debuggee.attach}\n\nEnter goes on.\n`);
  const reader = createInterface({ input, terminal: false });
  await new Promise<void>((resolve) => {
    reader.once('line', () => {
      resolve();
    });
    reader.once('close', () => {
      resolve();
    });
  });
  reader.close();
  const { equal } = await session.finish();
  write(
    equal ? 'equal to the recording\n' : `not equal: ${plural(session.divergences.length, 'divergence')}\n`,
  );
  return equal;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new TraceError('E_UNREADABLE', 'the script cannot be read', { source: file, got: why });
  }
}
