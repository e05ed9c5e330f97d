import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import type { HookName } from '../../collector/probes/hooks.ts';
import { DEFAULT_HOOKS, HOOKS, isHookName } from '../../collector/probes/hooks.ts';
import type { RecordPlan } from '../../collector/probes/plan.ts';
import type { HostView } from '../../collector/probes/host-view.ts';
import type { FlightOptions } from '../../collector/record/flight.ts';
import { parseSize } from '../../collector/record/live/size.ts';
import type { Trigger } from '../../collector/record/live/trigger.ts';
import { parseTrigger } from '../../collector/record/live/trigger.ts';
import type { RecordResult } from '../../collector/record/record.ts';
import type { RecordSession } from '../../collector/record/session.ts';
import type { HostTransport } from '../../collector/transports/transport.ts';
import { TraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';
import { escapeText } from '../output/escape.ts';
import { ProgressBar } from '../output/progress.ts';
import { planText } from '../output/plan-text.ts';
import { recordSummary } from '../output/record-summary.ts';
import { TOOL_NAME } from '../version.ts';
import { durationOption, integerOption } from './options.ts';

interface Options {
  domid?: string;
  output?: string;
  host?: string;
  duration?: number;
  hooks?: HookName[];
  device: string[];
  with: HookName[];
  without: HookName[];
  buffer: number;
  bufferMax: number;
  xenBuffer?: number;
  rate?: number;
  dryRun?: true;
  cleanup?: true;
  keepRaw?: true;
  flight?: number;
  trigger: Trigger[];
  count: number;
  after: number;
  memory?: true | 'hashes' | 'payload';
  redact?: true;
}

/** With memory nothing but what checks it against: latencies mean nothing then, and every hook costs. */
const MEMORY_HOOKS: readonly HookName[] = ['ioreq', 'irq'];

/** 128 + SIGINT, as shells have it; a second Ctrl-C leaves at once what the first asked to end in order. */
const EXIT_INTERRUPTED = 130;

export function recordCommand(program: Command, cli: Cli): void {
  program
    .command('record')
    .summary('record a domain of a running Xen-on-Arm host')
    .description(
      'Records the ioreqs, interrupts and virtqueue notifications of a domain while it runs: in Dom0, or from a ' +
        'workstation with --host (the board then needs nothing but a shell, tracefs and, if it is there, xentrace). ' +
        'All that is switched on is undone when the recording ends, however it ends. Ctrl-C ends it and seals the ' +
        'trace. docs/RECORDING.md explains each hook, what it costs and its dangers.',
    )
    .option('--domid <domain>', 'the domain, by number or by name')
    .option('-o, --output <dir>', 'the trace directory to make (default: NAME-TIME.trace)')
    .option('--host <url>', 'ssh://[user@]board[:port]: record on that machine')
    .option('--duration <time>', 'end after this long: 10s, 500ms, 2m (default: at Ctrl-C)', durationOption)
    .option('--device <names>', 'only these devices: blk0, 0x2000000 or spi33', parseNames, [])
    .option('--hooks <names>', `only these of ${HOOKS.join(',')}`, parseHooks)
    .option('--with <names>', 'these beside the default hooks', parseHooks, [])
    .option('--without <names>', 'the default hooks without these', parseHooks, [])
    .option('--buffer <KiB>', "each Dom0 CPU's ring buffer at the start", integerOption(64, 1 << 20), 2048)
    .option(
      '--buffer-max <KiB>',
      'how far it may grow when the rate asks for it',
      integerOption(64, 1 << 20),
      16384,
    )
    .option(
      '--xen-buffer <pages>',
      "each physical CPU's trace buffer in Xen (default: by the rate of the device model's interrupts)",
      integerOption(1, 65535),
    )
    .option(
      '--rate <n>',
      'ioreqs a second to expect, in place of looking for a second',
      integerOption(0, 1e9),
    )
    .option(
      '--flight <size>',
      'keep only the last SIZE (64M) in memory, and write it when a trigger fires',
      sizeOption,
    )
    .option(
      '--trigger <condition>',
      "what to wait for: 'mmio > 2ms', 'irq(blk0) > 500us', 'request >= 10ms'; may be repeated",
      triggerOption,
      [],
    )
    .option('--count <n>', 'write a trace for each of the first n triggers', integerOption(1, 1000), 1)
    .option('--after <time>', 'go on so long behind a trigger', durationOption, 1000)
    .addOption(
      new Option(
        '--memory [what]',
        'record for replay: the memory that accesses are about, with what buffers hold (payload) or only its ' +
          'length and hash (hashes); in Dom0 itself; slows the guest down',
      ).choices(['hashes', 'payload']),
    )
    .option('--redact', 'with --memory: lengths and hashes only, the same as --memory=hashes')
    .option('--keep-raw', 'keep the raw files in DIR/raw')
    .option('--dry-run', 'print every file that would be written on the host with its value, and do nothing')
    .option('--cleanup', 'only remove what dead recorders left on the host')
    .action((options: Options) => recordAction(cli, options));
}

async function recordAction(cli: Cli, options: Options): Promise<void> {
  checkMemoryOptions(options);
  const { openTransport } = await import('../../collector/transports/index.ts');
  const host = await openTransport(options.host);
  try {
    if (options.cleanup === true) await cleanup(cli, host);
    else await recordDomain(cli, host, options);
  } finally {
    await host.close();
  }
}

async function cleanup(cli: Cli, host: HostTransport): Promise<void> {
  const { findTracefs } = await import('../../collector/live-host/discover.ts');
  const { removeLeftovers } = await import('../../collector/record/cleanup.ts');
  const { tracefs, xentrace } = await findTracefs(host);
  const removed = await removeLeftovers(host, tracefs, xentrace);
  for (const { id, what } of removed) cli.print(`removed: ${id}: ${what.join(', ')}`);
  if (removed.length === 0) cli.print('nothing was left by dead recorders');
}

async function recordDomain(cli: Cli, host: HostTransport, options: Options): Promise<void> {
  if (options.domid === undefined) throw new TraceError('E_USAGE', 'which domain? --domid NUMBER or NAME');
  if (options.trigger.length > 0 && options.flight === undefined) {
    throw new TraceError('E_USAGE', '--trigger needs --flight SIZE: what is to be kept around it');
  }
  // What a guest's buffers hold is nobody else's.
  if (options.memory !== undefined) process.umask(0o077);
  const { discover } = await import('../../collector/live-host/discover.ts');
  const { planRecording } = await import('../../collector/probes/plan.ts');
  const { checkPlan } = await import('../../collector/record/check-plan.ts');
  const hooks = wantedHooks(options);
  const view = await discover(host, { domain: options.domid });
  const plan = planRecording(view, {
    hooks,
    bufferKib: options.buffer,
    bufferMaxKib: Math.max(options.buffer, options.bufferMax),
    xenBufferPages: await bufferPages(host, view, hooks, options),
    devices: options.device,
  });
  checkPlan(view, plan, hooks);
  if (options.dryRun === true) {
    cli.print(planText(view, plan, cli.out));
    return;
  }
  const { removeLeftovers } = await import('../../collector/record/cleanup.ts');
  for (const { id, what } of await removeLeftovers(host, plan.tracefs, view.xentrace.path)) {
    cli.warn(`removed what a dead recorder left: ${id}: ${what.join(', ')}`);
  }
  for (const { hook, why } of plan.refused) cli.warn(`no ${hook}: ${why}`);
  await runRecording(cli, host, view, plan, options);
}

function checkMemoryOptions({ memory, redact, host, flight }: Options): void {
  if (redact === true && (memory === undefined || memory === 'payload'))
    throw new TraceError('E_USAGE', '--redact goes with --memory, and not with --memory=payload');
  if (memory === undefined) return;
  if (host !== undefined)
    throw new TraceError('E_USAGE', '--memory records in Dom0 itself, not over ssh: run it there');
  if (flight !== undefined)
    throw new TraceError('E_USAGE', '--memory and --flight exclude each other: a replay needs the beginning');
}

/** What the user says, else what is there since an earlier use (it cannot be changed), else by the expected rate. */
async function bufferPages(
  host: HostTransport,
  view: HostView,
  hooks: ReadonlySet<HookName>,
  options: Options,
): Promise<number> {
  const { interruptRate } = await import('../../collector/live-host/interrupt-rate.ts');
  const { xenBufferPages } = await import('../../collector/probes/xen-buffer-size.ts');
  const known = options.xenBuffer ?? view.xentrace.bufferPages;
  if (known !== undefined) return known;
  const unseen = view.xentrace.path === undefined || !(hooks.has('xen') || hooks.has('points'));
  const rate = options.rate ?? (unseen ? 0 : await interruptRate(host, view));
  return xenBufferPages(rate ?? 0, hooks);
}

function wantedHooks(options: Options): ReadonlySet<HookName> {
  const hooks = new Set<HookName>(
    options.hooks ?? (options.memory === undefined ? DEFAULT_HOOKS : MEMORY_HOOKS),
  );
  for (const name of options.with) hooks.add(name);
  for (const name of options.without) hooks.delete(name);
  // Both come from one xentrace: who wants none of Xen does not want the half of it that most hosts lack.
  if (options.without.includes('xen') && !options.with.includes('points')) hooks.delete('points');
  return hooks;
}

async function runRecording(
  cli: Cli,
  host: HostTransport,
  view: HostView,
  plan: RecordPlan,
  options: Options,
): Promise<void> {
  const { record } = await import('../../collector/record/record.ts');
  const { LiveLine } = await import('../output/live-line.ts');
  const dir = options.output ?? defaultName(view.domain.name);
  const bar = new ProgressBar('seal', cli.streams.stderrIsTerminal, cli.streams.stderr);
  const sealing = new AbortController();
  let session: RecordSession | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (session === undefined) sealing.abort();
    session?.stop(signal === 'SIGINT' ? 'interrupted' : 'terminated');
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  const live = new LiveLine(
    cli.streams.stderrIsTerminal,
    cli.streams.stderr,
    view,
    () => process.stderr.columns,
  );
  try {
    const result = await record(host, view, plan, {
      dir,
      tool: { name: TOOL_NAME, version: cli.version },
      signal: sealing.signal,
      started(running, watch, memory) {
        session = running;
        live.start(running.status, watch, memory);
      },
      sealing() {
        session = undefined;
        live.stop();
      },
      progress: (done, total) => {
        bar.update(done, total);
      },
      ...(live.stats === undefined ? {} : { latencies: live.stats }),
      ...(options.duration === undefined ? {} : { durationMs: options.duration }),
      ...(options.memory === undefined
        ? {}
        : { memory: { payload: options.memory === 'payload', devices: options.device } }),
      ...(options.keepRaw === undefined ? {} : { keepRaw: true }),
      ...(options.flight === undefined ? {} : { flight: flightOptions(options, options.flight) }),
    });
    bar.clear();
    const { keepFindings } = await import('../../analyzer/keep-findings.ts');
    for (const { dir: sealed, errors, interrupted } of result.sealed) {
      if (errors.length === 0 && !interrupted) keepFindings(sealed);
    }
    report(cli, result);
  } finally {
    live.stop();
    bar.clear();
    for (const signal of signals) process.removeListener(signal, onSignal);
  }
}

function flightOptions(options: Options, bytes: number): FlightOptions {
  const { trigger: triggers, count, after: afterMs } = options;
  return { bytes, triggers, count, afterMs };
}

function report(cli: Cli, { end, sealed }: RecordResult): void {
  for (const trace of sealed) {
    for (const warning of trace.warnings) cli.warn(warning);
    for (const error of trace.errors) cli.fail(error);
    cli.print(recordSummary(trace));
  }
  if (sealed.some(({ interrupted }) => interrupted)) cli.exitCode = EXIT_INTERRUPTED;
  else if (end.reason === 'host' || end.reason === 'connection') {
    cli.fail(new TraceError('E_HOST', `the recording ended early: ${end.detail ?? end.reason}`));
  } else if (end.reason === 'disk')
    cli.fail(new TraceError('E_WRITE', 'the recording ended early: the disk is full'));
}

function defaultName(domain: string): string {
  const time = new Date().toISOString().replace(/[-:]/g, '').replace(/\..*/, '');
  const name = domain.replace(/[^\w.-]+/g, '_').replace(/^\.+/, '') || 'domain';
  return `${name}-${time}.trace`;
}

function sizeOption(text: string): number {
  return parseSize(text);
}

function triggerOption(text: string, before: Trigger[]): Trigger[] {
  return [...before, ...parseTrigger(text)];
}

function parseNames(text: string, before: string[]): string[] {
  return [...before, ...text.split(',').map((name) => name.trim())];
}

function parseHooks(text: string): HookName[] {
  return text.split(',').map((word) => {
    const name = word.trim();
    if (isHookName(name)) return name;
    throw new InvalidArgumentError(`${escapeText(name)} is none of ${HOOKS.join(', ')}.`);
  });
}
