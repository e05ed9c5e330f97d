import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { ReplayResult } from '../../replayer/result.ts';
import type { ReplayOptions } from '../../replayer/run.ts';
import type { MakeTarget } from '../../replayer/target.ts';
import { TraceError } from '../../trace/errors.ts';
import { replaceFile, systemReason } from '../../trace/replace-file.ts';
import type { Cli } from '../cli.ts';
import { ProgressBar } from '../output/progress.ts';
import { TOOL_NAME } from '../version.ts';
import { durationOption, integerOption } from './options.ts';
import type { OpenedReplay, ReplayFlags } from './replay-options.ts';
import { MODELS, commandOption, imageOption, socketOption } from './replay-options.ts';

export const REPLAY_FILE = 'replay.json';
/** `trace replay` ends with it when the replay differs. */
const EXIT_DIFFERS = 1;
/** 128 + SIGINT, as shells have it. */
const EXIT_INTERRUPTED = 130;

interface Flags extends ReplayFlags {
  runs: number;
  json?: true;
  output?: string;
  debug?: true;
  script?: string;
  gdb?: number;
  minimise?: string;
  limit: number;
}

export function replayCommand(program: Command, cli: Cli): void {
  program
    .command('replay')
    .summary('feed recorded accesses back into device models')
    .description(
      'Feeds recorded accesses and guest memory into device models, step by step, and compares what comes of it: ' +
        'register reads, used elements, buffers, interrupts, disks (docs/REPLAY.md). The result is stored as ' +
        `${REPLAY_FILE} in the trace. The exit code is 0 if the replay is equal, 1 if it differs.`,
    )
    .argument(
      '<recording>',
      'a trace directory (without a recording: its register accesses alone), or a file of accesses',
    )
    .addOption(
      new Option(
        '--model <name>',
        'device models: those of this program, stock QEMU, or vhost-user back-ends',
      )
        .choices(MODELS)
        .default('builtin'),
    )
    .option('--source <id>', 'the recording, if the trace has several')
    .option(
      '--disk <[n=]image>',
      'the disk of transport N as it was at the start; repeat for more',
      imageOption,
    )
    .option('--end <[n=]image>', 'the disk as it must be at the end', imageOption)
    .option('--runs <n>', 'replay so often; all must come out the same', integerOption(1, 1_000_000), 1)
    .option(
      '--ignore <policies>',
      'differences that do not count: irq, config, used-order, racy, memory, net-header, register:NAME; several with commas',
      listOption,
    )
    .option('--timeout <time>', 'how long to wait for a device model: 10s, 500ms', durationOption)
    .option('--json', 'print the result as JSON')
    .option('-o, --output <path>', `where the result goes instead; with --minimise, the trace to make`)
    .option(
      '--qemu <command>',
      'QEMU to use, with its first arguments; with vhost-user: it is the front-end of the back-ends',
    )
    .option(
      '--backend <[n=]command>',
      'vhost-user back-end of a transport; {socket} and {disk} are put in',
      commandOption,
    )
    .option('--socket <[n=]path>', 'socket of a vhost-user back-end that runs already', socketOption)
    .addOption(
      new Option('--rings <whose>', 'vhost-user: rings that the back-end serves').choices(['own', 'guest']),
    )
    .option('--debug', 'an interactive prompt: steps, breakpoints, state (docs/REPLAY-DEBUG.md)')
    .option('--script <file>', 'commands of the prompt from a file')
    .option('--gdb <step>', 'stop before a step and say how gdb attaches', integerOption(0, 0xffff_ffff))
    .option(
      '--minimise <predicate>',
      'shrink the recording while it shows it: divergence, crash, or cmd:SCRIPT with exit code 0',
    )
    .option('--limit <n>', 'with --minimise: replays to try at most', integerOption(1, 10_000_000), 2000)
    .action((path: string, flags: Flags) => replayAction(cli, path, flags));
}

async function replayAction(cli: Cli, path: string, flags: Flags): Promise<void> {
  checkFlags(flags);
  const { openReplay } = await import('./replay-options.ts');
  const opened = await openReplay(cli, path, flags);
  // A device model's sockets and process do not keep this one alive; waiting for them must.
  const awake = setInterval(() => undefined, 60_000);
  try {
    await replayOpened(cli, opened, flags);
  } finally {
    clearInterval(awake);
  }
}

async function replayOpened(cli: Cli, opened: OpenedReplay, flags: Flags): Promise<void> {
  const { make, options } = opened;
  if (flags.debug === true || flags.script !== undefined || flags.gdb !== undefined) {
    await debug(cli, opened, flags);
    return;
  }
  const stop = new AbortController();
  const onSignal = (): void => {
    stop.abort();
  };
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  const bar = new ProgressBar('replay', cli.streams.stderrIsTerminal, cli.streams.stderr, 'records');
  try {
    const all = { ...options, signal: stop.signal };
    if (flags.minimise !== undefined) {
      const { minimiseAction } = await import('./replay-minimise.ts');
      await minimiseAction(cli, opened, make, all, { ...flags, minimise: flags.minimise });
      return;
    }
    await replayAndTell(cli, opened, make, all, flags, bar);
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    cli.warn('interrupted');
    cli.exitCode = EXIT_INTERRUPTED;
    // Only if a device model that does not stop still holds this process; what it started has its own guard.
    setTimeout(() => process.exit(EXIT_INTERRUPTED), 1000).unref();
  } finally {
    bar.clear();
    process.removeListener('SIGINT', onSignal).removeListener('SIGTERM', onSignal);
  }
}

async function replayAndTell(
  cli: Cli,
  { recording, path, source }: OpenedReplay,
  make: MakeTarget,
  options: ReplayOptions,
  flags: Flags,
  bar: ProgressBar,
): Promise<void> {
  const { replayRecording } = await import('../../replayer/replay.ts');
  let run = 0;
  const found = await replayRecording(recording, make, {
    ...options,
    runs: flags.runs,
    begun: (n) => (run = n),
    progress: (row, rows) => {
      bar.update(run * rows + row, flags.runs * rows);
    },
  });
  bar.clear();
  const result: ReplayResult = {
    ...found,
    tool: { name: TOOL_NAME, version: cli.version },
    created: new Date().toISOString(),
    recording: { path, ...(source === undefined ? {} : { source }), ...found.recording },
  };
  const json = JSON.stringify(result, null, 2);
  if (flags.output !== undefined) writeResult(flags.output, json);
  else if (source !== undefined) replaceFile(path, REPLAY_FILE, `${json}\n`);
  if (flags.json === true) cli.print(json);
  else {
    const { replayText } = await import('../output/replay-text.ts');
    cli.print(replayText(result, cli.out));
  }
  if (!result.equal) cli.exitCode = EXIT_DIFFERS;
}

async function debug(
  cli: Cli,
  { recording, make, options, prepared }: OpenedReplay,
  { script, gdb }: Flags,
): Promise<void> {
  const [{ debugReplay }, { ReplayRun }] = await Promise.all([
    import('../../replayer/debug/index.ts'),
    import('../../replayer/run.ts'),
  ]);
  const { equal } = await debugReplay({
    recording,
    newRun: () => new ReplayRun(recording, make, { ...options, checkpoints: true }, prepared),
    ...(script === undefined ? {} : { script }),
    ...(gdb === undefined ? {} : { gdb }),
    paint: cli.out,
  });
  if (equal === false) cli.exitCode = EXIT_DIFFERS;
}

function checkFlags(flags: Flags): void {
  const wrong = (what: string): never => {
    throw new TraceError('E_USAGE', what);
  };
  const { model, backend = [], socket = [], minimise } = flags;
  if (model === 'builtin' && flags.qemu !== undefined) wrong('--qemu goes with --model qemu or vhost-user');
  if (flags.qemu !== undefined && flags.rings === 'own')
    wrong('--rings own goes without --qemu: behind QEMU, back-ends serve the rings of the guest');
  if (model !== 'vhost-user' && (backend.length > 0 || socket.length > 0 || flags.rings !== undefined))
    wrong('--backend, --socket and --rings go with --model vhost-user');
  const modes = [
    flags.debug === true || flags.script !== undefined,
    flags.gdb !== undefined,
    minimise !== undefined,
  ];
  if (modes.filter(Boolean).length > 1) wrong('one of --debug or --script, --gdb, and --minimise at a time');
  if (minimise !== undefined && !/^(divergence|crash|cmd:.+)$/s.test(minimise))
    wrong(`unknown predicate of --minimise: expected divergence, crash or cmd:SCRIPT, got ${minimise}`);
}

function writeResult(path: string, json: string): void {
  try {
    writeFileSync(path, `${json}\n`);
  } catch (error) {
    throw new TraceError('E_WRITE', `cannot be written (${systemReason(error)})`, { source: join(path) });
  }
}

function listOption(text: string, before: string[] = []): string[] {
  return [...before, ...text.split(',').map((word) => word.trim())];
}
