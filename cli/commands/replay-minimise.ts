import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeAccessJsonl } from '../../collector/sources/access-jsonl/write.ts';
import { minimise } from '../../replayer/minimise/minimise.ts';
import { RecordingUnits } from '../../replayer/minimise/units.ts';
import { Recording } from '../../replayer/recording/load.ts';
import { slotAt } from '../../replayer/recording/slots.ts';
import { replayOnce } from '../../replayer/replay.ts';
import type { Divergence } from '../../replayer/result.ts';
import { ReplayRun, type ReplayOptions } from '../../replayer/run.ts';
import type { MakeTarget } from '../../replayer/target.ts';
import { TraceError, isTraceError } from '../../trace/errors.ts';
import type { RecordingBatch } from '../../trace/recording.ts';
import { systemReason } from '../../trace/replace-file.ts';
import type { Cli } from '../cli.ts';
import { escapeText } from '../output/escape.ts';
import { ProgressBar } from '../output/progress.ts';
import { count } from '../output/units.ts';
import { TOOL_NAME } from '../version.ts';
import type { ReplayInput } from './replay-input.ts';

/** Asked for so often behind the last record, before a device model counts as alive. */
const SETTLE_FLUSHES = 4;

type Shows = (batches: readonly RecordingBatch[]) => boolean | Promise<boolean>;

interface Flags {
  minimise: string;
  limit: number;
  output?: string;
}

/** `trace replay --minimise`: the shortest recording that still shows it, written with -o. */
export async function minimiseAction(
  cli: Cli,
  { recording, path }: ReplayInput,
  make: MakeTarget,
  options: ReplayOptions,
  flags: Flags,
): Promise<void> {
  if (flags.output !== undefined) await checkOutput(flags.output);
  const units = new RecordingUnits(recording.batches, (address) => slotAt(recording.layout, address));
  const scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-minimise-'));
  const bar = new ProgressBar('minimise', cli.streams.stderrIsTerminal, cli.streams.stderr, 'records');
  try {
    const shows = await predicate(flags.minimise, recording.batches, make, options, scratch);
    const found = await minimise(units, {
      shows: async (batches) => {
        if (options.signal?.aborted === true) throw new TraceError('E_TARGET', 'interrupted');
        return await shows(batches);
      },
      limit: flags.limit,
      progress: (_, rows) => {
        bar.update(recording.rows - rows, recording.rows);
      },
    });
    bar.clear();
    if (found === undefined) {
      throw new TraceError('E_NO_DATA', `the whole recording does not show it: ${flags.minimise}`, {
        source: path,
      });
    }
    const batches = units.select(found.rows);
    const accesses = batches.reduce((sum, batch) => sum + accessesIn(batch), 0);
    cli.print(
      `${count(found.rows.length)} of ${count(recording.rows)} records remain, ${count(accesses)} of ` +
        `${count(recording.accesses)} accesses; ${count(found.tried)} recordings tried` +
        (found.minimal ? ', none of these can be left out' : `: the limit; --limit tries more`),
    );
    if (flags.output !== undefined) await write(cli, batches, flags.output, scratch);
  } finally {
    bar.clear();
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function checkOutput(output: string): Promise<void> {
  if (output.endsWith('.jsonl')) return;
  const { checkOutput: check } = await import('../../collector/import-output.ts');
  check(output, false);
}

async function predicate(
  text: string,
  batches: readonly RecordingBatch[],
  make: MakeTarget,
  options: ReplayOptions,
  scratch: string,
): Promise<Shows> {
  const script = /^cmd:(.+)$/s.exec(text)?.[1];
  if (script !== undefined) return byCommand(script, join(scratch, 'recording.jsonl'));
  return text === 'crash'
    ? await sameCrash(batches, make, options)
    : await sameDivergence(batches, make, options);
}

/**
 * A recording shows the divergence if its first one is the same as that of the whole: one that became invalid
 * differs earlier, or elsewhere, or in another way. Devices are made from what remains, so that it can be replayed alone.
 */
async function sameDivergence(
  batches: readonly RecordingBatch[],
  make: MakeTarget,
  options: ReplayOptions,
): Promise<Shows> {
  const first = await firstDivergence(batches, make, options);
  if (first === undefined) return () => false;
  return async (some) => {
    const found = await firstDivergence(some, make, options);
    return found !== undefined && essence(found) === essence(first);
  };
}

async function firstDivergence(
  batches: readonly RecordingBatch[],
  make: MakeTarget,
  options: ReplayOptions,
): Promise<Divergence | undefined> {
  try {
    return (await replayOnce(new Recording(batches), make, options)).divergences[0];
  } catch (error) {
    // No access remains, or what remains cannot be followed.
    if (isTraceError(error) && error.code !== 'E_INTERNAL' && options.signal?.aborted !== true)
      return undefined;
    throw error;
  }
}

/** Counts of changes and indices move when records go; place and kind stay. */
function essence({ step, kind, transport, register, queue, id, field, expected, got }: Divergence): string {
  const values = kind === 'interrupt' || kind === 'missing' ? [] : [field, expected, got];
  return JSON.stringify([step, kind, transport, register, queue, id, ...values]);
}

/**
 * A recording shows the crash if it fails in the same way as the whole: the same signal or exit code and, where one was
 * told, the same assertion. A device model that ends for another reason, such as rows that no longer make sense, does not count.
 */
async function sameCrash(
  batches: readonly RecordingBatch[],
  make: MakeTarget,
  options: ReplayOptions,
): Promise<Shows> {
  const first = await crash(batches, make, options);
  if (first === undefined) return () => false;
  return async (some) => (await crash(some, make, options)) === first;
}

/** How the device model ended, or that it did not answer; in this process: what it threw and should not. */
async function crash(
  batches: readonly RecordingBatch[],
  make: MakeTarget,
  options: ReplayOptions,
): Promise<string | undefined> {
  let run: ReplayRun | undefined;
  try {
    run = new ReplayRun(new Recording(batches), make, options);
    await run.start();
    await run.run();
    // A device model may carry out a notify after it has answered: it has to come round to more.
    for (let i = 0; i < SETTLE_FLUSHES; i++) await run.flush();
    await run.finish();
    return undefined;
  } catch (error) {
    if (options.signal?.aborted === true) throw error;
    if (isTraceError(error)) return error.code === 'E_TARGET' ? crashEssence(error.message) : undefined;
    return error instanceof Error ? error.message : String(error);
  } finally {
    await run?.stop();
  }
}

/** Steps, process numbers and times go; what ended it stays. */
function crashEssence(message: string): string {
  const end = /\b(SIG[A-Z0-9]+|exit code \d+)/.exec(message)?.[1];
  const assertion = /\S+: Assertion .*? failed/.exec(message)?.[0];
  if (end === undefined && assertion === undefined) return message.replaceAll(/\d+/g, 'N');
  return `${end ?? ''} ${assertion ?? ''}`;
}

/** The script gets the path of the recording as JSON lines; its exit code 0 = still shows it. */
function byCommand(script: string, file: string): Shows {
  return (batches) => {
    writeJsonl(batches, file);
    const done = spawnSync('sh', ['-c', `${script} "$1"`, 'sh', file], { stdio: 'ignore' });
    if (done.error !== undefined)
      throw new TraceError('E_USAGE', `the script of --minimise cannot be run (${systemReason(done.error)})`);
    return done.status === 0;
  };
}

function writeJsonl(batches: readonly RecordingBatch[], path: string): void {
  try {
    writeFileSync(path, batches.map((batch) => writeAccessJsonl(batch)).join(''));
  } catch (error) {
    throw new TraceError('E_WRITE', `cannot be written (${systemReason(error)})`, { source: path });
  }
}

/** A trace directory, or JSON lines if that is what the name says. */
async function write(
  cli: Cli,
  batches: readonly RecordingBatch[],
  output: string,
  scratch: string,
): Promise<void> {
  if (output.endsWith('.jsonl')) writeJsonl(batches, output);
  else {
    const file = join(scratch, 'minimised.jsonl');
    writeJsonl(batches, file);
    const { importCapture } = await import('../../collector/import.ts');
    await importCapture([file], output, { tool: { name: TOOL_NAME, version: cli.version } });
  }
  cli.print(`written to ${escapeText(output)}`);
}

function accessesIn({ tag, length }: RecordingBatch): number {
  let found = 0;
  for (let i = 0; i < length; i++) if (tag[i] === 0x52 || tag[i] === 0x57) found++;
  return found;
}
