import { TraceError } from '../trace/errors.ts';
import { prepare, type Prepared } from './prepare.ts';
import type { Recording } from './recording/load.ts';
import type { ReplayResult, ReplayRunResult } from './result.ts';
import { ReplayRun, type ReplayOptions } from './run.ts';
import type { MakeTarget } from './target.ts';

/** How long an interrupted target may take to stop. */
const STOP_MS = 3000;

/**
 * Replays a recording once. Rejects as ReplayRun does; the target is stopped in any case. `prepared`: from
 * an earlier `prepare` of the same recording and disks.
 */
export async function replayOnce(
  recording: Recording,
  make: MakeTarget,
  options: ReplayOptions = {},
  prepared?: Prepared,
): Promise<ReplayResult> {
  const run = new ReplayRun(recording, make, options, prepared);
  try {
    return await unlessAborted(options.signal, async () => {
      await run.start();
      await run.run();
      return await run.finish();
    });
  } finally {
    await stopped(run, options.signal);
  }
}

/** Rejects as soon as the signal comes, even if `work` never ends. */
async function unlessAborted<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  if (signal === undefined) return await work();
  let interrupt = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    interrupt = () => {
      reject(new TraceError('E_TARGET', 'the replay was interrupted'));
    };
    signal.addEventListener('abort', interrupt, { once: true });
  });
  if (signal.aborted) interrupt();
  const working = work();
  // Once interrupted nobody waits for it any more.
  working.catch(() => undefined);
  try {
    return await Promise.race([working, aborted]);
  } finally {
    signal.removeEventListener('abort', interrupt);
  }
}

/** A target that does not even stop is not waited for after an interrupt. */
async function stopped(run: ReplayRun, signal: AbortSignal | undefined): Promise<void> {
  const stop = run.stop();
  if (signal?.aborted !== true) {
    await stop;
    return;
  }
  stop.catch(() => undefined);
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([
    stop,
    new Promise((done) => {
      timer = setTimeout(done, STOP_MS);
    }),
  ]);
  clearTimeout(timer);
}

export interface ManyOptions extends ReplayOptions {
  runs?: number;
  /** Called before each replay: its number from 0. */
  begun?: (run: number) => void;
}

/**
 * Replays a recording `runs` times, each with a fresh target. The result is that of the first, with the hash of each;
 * it is equal only if every one was and all hashes are the same.
 */
export async function replayRecording(
  recording: Recording,
  make: MakeTarget,
  { runs = 1, begun, ...options }: ManyOptions = {},
): Promise<ReplayResult> {
  const prepared = prepare(recording, options);
  begun?.(0);
  const result = await replayOnce(recording, make, options, prepared);
  for (let n = 1; n < runs; n++) {
    begun?.(n);
    const again = await replayOnce(recording, make, options, prepared);
    result.runs.push(again.runs[0]!);
  }
  const odd = result.runs.findIndex(({ hash }) => hash !== result.runs[0]!.hash);
  if (odd >= 0) addRunDivergence(result, odd);
  const bad = result.runs.findIndex(({ divergences }) => divergences > 0);
  if (odd >= 0 || bad >= 0) {
    result.equal = false;
    result.proven = false;
  }
  return result;
}

function addRunDivergence(result: ReplayResult, odd: number): void {
  const hashOf = ({ hash, divergences }: ReplayRunResult): string => `${hash} (${divergences} divergences)`;
  result.divergenceCount++;
  result.divergences.push({
    step: 0,
    kind: 'run',
    transport: 0,
    device: 'all devices',
    field: `hash of run ${odd + 1} of ${result.runs.length}`,
    expected: hashOf(result.runs[0]!),
    got: hashOf(result.runs[odd]!),
  });
}
