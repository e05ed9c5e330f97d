import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { ImportOptions, ImportResult } from '../../collector/import.ts';
import type { Ignorable } from '../../collector/ignorable.ts';
import { IGNORABLE } from '../../collector/ignorable.ts';
import type { Cli } from '../cli.ts';
import { escapeText } from '../output/escape.ts';
import { ProgressBar } from '../output/progress.ts';
import { clocksText } from '../output/record-summary.ts';
import { count } from '../output/units.ts';
import { TOOL_NAME } from '../version.ts';
import { frequencyOption, integerOption } from './options.ts';

interface Options {
  output: string;
  force?: true;
  domid?: number;
  counterHz?: number;
  without: Ignorable[];
}

/** 128 + SIGINT, as shells have it. */
const EXIT_INTERRUPTED = 130;

export function importCommand(program: Command, cli: Cli): void {
  program
    .command('import')
    .summary('turn raw captures into a trace')
    .description(
      'Turns raw captures into a trace directory. Files are recognised by content, directories are taken whole: ' +
        'xentrace files, ftrace pages with their event formats, ftrace text, trace.dat, QEMU logs and simple ' +
        'traces, recorded accesses, and files about the host (xl info, xl list -l, xenstore-ls -f, ...). ' +
        'A damaged file is imported as far as it goes; the exit code is 3 then.',
    )
    .argument('<path...>', 'files and directories of one capture')
    .requiredOption('-o, --output <dir>', 'the trace directory to make')
    .option('-f, --force', 'replace the trace that is there')
    .option('--domid <n>', 'the traced domain, if the capture does not tell', integerOption(0, 0x7fef))
    .option(
      '--counter-hz <hz>',
      "frequency of the Arm generic timer, the unit of Xen's times",
      frequencyOption,
    )
    .option(
      '--without <names>',
      "leave out what is there: 'trace-points' (as if Xen was not patched) or 'clock-constant' (estimate the clock)",
      parseIgnorable,
      [],
    )
    .action((paths: string[], options: Options) => importAction(cli, paths, options));
}

async function importAction(cli: Cli, paths: string[], options: Options): Promise<void> {
  const { importCapture } = await import('../../collector/import.ts');
  const bar = new ProgressBar('import', cli.streams.stderrIsTerminal, cli.streams.stderr);
  const stop = new AbortController();
  const onSignal = (): void => {
    stop.abort();
  };
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    const result = await importCapture(paths, options.output, importOptions(cli, options, bar, stop.signal));
    bar.clear();
    if (result.errors.length === 0 && !result.interrupted) {
      const { keepFindings } = await import('../../analyzer/keep-findings.ts');
      keepFindings(result.dir);
    }
    for (const warning of result.warnings) cli.warn(warning);
    for (const error of result.errors) cli.fail(error);
    cli.print(summary(result));
    if (result.interrupted) cli.exitCode = EXIT_INTERRUPTED;
  } finally {
    bar.clear();
    process.removeListener('SIGINT', onSignal).removeListener('SIGTERM', onSignal);
  }
}

function importOptions(cli: Cli, options: Options, bar: ProgressBar, signal: AbortSignal): ImportOptions {
  const all: ImportOptions = {
    tool: { name: TOOL_NAME, version: cli.version },
    progress: (done, total) => {
      bar.update(done, total);
    },
    signal,
  };
  if (options.force !== undefined) all.force = options.force;
  if (options.domid !== undefined) all.domid = options.domid;
  if (options.counterHz !== undefined) all.counterHz = options.counterHz;
  if (options.without.length > 0) all.without = new Set(options.without);
  return all;
}

function parseIgnorable(text: string, before: Ignorable[]): Ignorable[] {
  const names = text.split(',').map((word) => {
    const found = IGNORABLE.find((name) => name === word.trim());
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`${escapeText(word.trim())} is none of ${IGNORABLE.join(', ')}.`);
  });
  return [...before, ...names];
}

function summary({ dir, manifest, interrupted }: ImportResult): string {
  const { sources, devices, domid, clock, unknownFiles } = manifest;
  const rows = sources.reduce((sum, source) => sum + source.rows, 0);
  const lost = sources.reduce((sum, source) => sum + source.lost, 0);
  const parts = [
    `${count(rows)} events from ${sources.map((source) => source.id).join(', ')}`,
    domid === undefined ? 'no traced domain known' : `domain ${domid}`,
    devices.length === 0 ? 'no devices found' : devices.map((device) => device.name).join(', '),
  ];
  if (clock !== undefined) parts.push(clocksText(clock));
  if (lost > 0) parts.push(`${count(lost)} records lost`);
  if (unknownFiles.length > 0) parts.push(`${unknownFiles.length} files not used`);
  return `${escapeText(dir)}${interrupted ? ' (interrupted)' : ''}: ${parts.map(escapeText).join('; ')}`;
}
