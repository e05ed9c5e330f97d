import type { Command } from 'commander';
import type { HostSurvey } from '../../collector/live-host/discover.ts';
import type { HostView } from '../../collector/probes/host-view.ts';
import type { HostTransport } from '../../collector/transports/transport.ts';
import { TraceError, isTraceError } from '../../trace/errors.ts';
import type { Cli } from '../cli.ts';
import { escapeText } from '../output/escape.ts';
import type { ProbeRow } from '../output/probe-table.ts';

interface Options {
  domid?: string;
  domain?: string;
  host?: string;
  json?: true;
  xentrace?: true;
}

interface Probed {
  rows: ProbeRow[];
  notes: string[];
  /** Why nothing can be recorded. */
  failure?: TraceError;
  survey?: HostSurvey;
  view?: HostView;
}

export function probeCommand(program: Command, cli: Cli): void {
  program
    .command('probe')
    .summary('what a running Xen-on-Arm host can give a recording')
    .description(
      'Shows in one table what the host, and a domain of it, can and cannot give a recording, and why: before ' +
        'anything is switched on. Reads only, unless --xentrace is given. States: yes, partly, no, and open where only trying tells. The exit ' +
        'code is 6 if recording is not possible.',
    )
    .option('--domid <domain>', 'a domain by number (a name is taken too)')
    .option('--domain <name>', 'a domain by name (a number is taken too)')
    .option('--host <url>', 'ssh://[user@]board[:port]; this machine if not given')
    .option(
      '--xentrace',
      "look for Xen's Arm trace points: switches Xen's tracing on for a second or two, and makes its trace buffers " +
        'if there are none (they stay until the host reboots)',
    )
    .option('--json', 'print it as JSON')
    .action(async (options: Options) => {
      if (options.domid !== undefined && options.domain !== undefined) {
        throw new TraceError('E_USAGE', '--domid and --domain name the same thing: give one');
      }
      const probed = await probe(options);
      if (options.json === true) cli.print(JSON.stringify(probeJson(probed), null, 2));
      else await printTable(cli, probed);
      if (probed.failure !== undefined) cli.exitCode = probed.failure.exitCode;
    });
}

async function probe({ host: url, domid, domain, xentrace }: Options): Promise<Probed> {
  const { openTransport } = await import('../../collector/transports/index.ts');
  let host: HostTransport | undefined;
  try {
    host = await openTransport(url);
    return await probeHost(host, domid ?? domain, xentrace === true);
  } catch (error) {
    if (!isTraceError(error) || error.code === 'E_USAGE') throw error;
    const row: ProbeRow = { what: 'host', state: 'no', why: error.message };
    return { rows: [row], notes: [], failure: error };
  } finally {
    await host?.close();
  }
}

async function probeHost(host: HostTransport, domain: string | undefined, traces: boolean): Promise<Probed> {
  const { surveyHost } = await import('../../collector/live-host/discover.ts');
  const { listRecorders } = await import('../../collector/live-host/recorders.ts');
  const { domainRows, hostRows, recorderRows } = await import('../output/probe-table.ts');
  const survey = await surveyHost(host);
  const recorders = recorderRows(await listRecorders(host));
  const { lookForPoints } = await import('../../collector/record/look-for-points.ts');
  const points = traces ? await lookForPoints(host, survey.xentrace, survey.xen.version) : undefined;
  const rows = hostRows(host.name, survey, points);
  if (domain === undefined) {
    rows.push(...domainRows(survey), ...recorders);
    const { refused } = survey.tracefs;
    const failure = refused === undefined ? undefined : new TraceError('E_HOST', refused);
    return { rows, notes: survey.notes, survey, ...(failure === undefined ? {} : { failure }) };
  }
  const probed = await probeDomain(survey, domain);
  return { ...probed, rows: [...rows, ...probed.rows, ...recorders], survey };
}

async function probeDomain(survey: HostSurvey, domain: string): Promise<Probed> {
  const { viewOf } = await import('../../collector/live-host/discover.ts');
  const { DEFAULT_HOOKS } = await import('../../collector/probes/hooks.ts');
  const { planRecording } = await import('../../collector/probes/plan.ts');
  const { HOOKS } = await import('../../collector/probes/hooks.ts');
  const { checkPlan } = await import('../../collector/record/check-plan.ts');
  const { viewRows } = await import('../output/probe-table.ts');
  let view: HostView;
  try {
    view = viewOf(survey, domain);
  } catch (error) {
    if (!isTraceError(error)) throw error;
    return {
      rows: [{ what: 'domain', state: 'no', why: error.message }],
      notes: survey.notes,
      failure: error,
    };
  }
  // Sizes of buffers do not matter here: nothing is switched on.
  const plan = planRecording(view, {
    hooks: new Set(HOOKS),
    bufferKib: view.tracefs.bufferKib,
    bufferMaxKib: view.tracefs.bufferKib,
    xenBufferPages: view.xentrace.bufferPages ?? 256,
  });
  const probed: Probed = { rows: viewRows(view, plan), notes: view.notes, view };
  try {
    checkPlan(view, plan, DEFAULT_HOOKS);
  } catch (error) {
    if (!isTraceError(error)) throw error;
    probed.failure = error;
  }
  return probed;
}

async function printTable(cli: Cli, { rows, notes, failure }: Probed): Promise<void> {
  const { probeTable } = await import('../output/probe-table.ts');
  cli.print(probeTable(rows, cli.out));
  if (notes.length > 0) cli.print(`\n${notes.map((note) => `note: ${escapeText(note)}`).join('\n')}`);
  cli.print(
    failure === undefined
      ? '\nRecording is possible.'
      : `\nRecording is not possible: ${failure.code}: ${escapeText(failure.message)}`,
  );
}

function probeJson({ rows, notes, failure, survey, view }: Probed): object {
  return {
    possible: failure === undefined,
    failure: failure === undefined ? null : { code: failure.code, message: failure.message },
    rows,
    notes,
    domains: survey?.domains ?? [],
    domain: view?.domain ?? null,
    deviceModels: view?.deviceModels.map((model) => ({ ...model, maps: undefined })) ?? [],
    devices: view?.devices ?? [],
  };
}
