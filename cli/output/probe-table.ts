import type { Recorder } from '../../collector/live-host/recorders.ts';
import type { HostSurvey } from '../../collector/live-host/discover.ts';
import { HOOK, HOOKS } from '../../collector/probes/hooks.ts';
import type { HookName } from '../../collector/probes/hooks.ts';
import type { DeviceModelView, HostView } from '../../collector/probes/host-view.ts';
import type { RecordPlan } from '../../collector/probes/plan.ts';
import { TRACE_CLOCK } from '../../collector/probes/plan.ts';
import type { TracePoints } from '../../trace/recording-facts.ts';
import { CLOCK_SYMBOL, planTimekeeper } from '../../collector/probes/timekeeper.ts';
import { escapeText } from './escape.ts';
import { tracePointsText } from './record-summary.ts';
import type { Style } from './style.ts';
import { table } from './table.ts';
import { frequency, hex } from './units.ts';

/** 'open': cannot be known before it is tried. */
export type ProbeState = 'yes' | 'no' | 'partly' | 'open';

/** One line of `trace probe`: a thing that recording uses, whether it can be had, and why not or what to do. */
export interface ProbeRow {
  what: string;
  state: ProbeState;
  why: string;
}

/** Rows as people read them. Every text may come from the host and is escaped. */
export function probeTable(rows: readonly ProbeRow[], style: Style): string {
  // Colours are put on when widths are known: an escape sequence has none.
  const lines = table(
    [{ title: 'what' }, { title: 'state' }, { title: 'why, what to do' }],
    rows.map(({ what, state, why }) => [escapeText(what), state, escapeText(why)]),
  ).split('\n');
  return lines
    .map((line, i) => {
      const state = rows[i - 1]?.state;
      if (state === undefined) return style.bold(line);
      return state === 'no' ? style.red(line) : state === 'partly' ? style.yellow(line) : line;
    })
    .join('\n');
}

/** What the host can and cannot give, whatever the domain. */
export function hostRows(name: string, survey: HostSurvey, points?: PointsLook): ProbeRow[] {
  const { kernel, xen, tracefs, root, lockdown } = survey;
  return [
    row('host', 'yes', name),
    root
      ? row('root', 'yes', '')
      : row('root', 'no', 'tracefs, /proc of other users and Xen need it: run as root'),
    xen.version === undefined
      ? row('Xen', 'no', 'does not answer: is this Dom0, and does xl info work?')
      : row('Xen', 'yes', plus(xen.version, xen.cpus, 'physical CPU')),
    row('Linux', 'yes', plus(`${kernel.release} ${kernel.machine}`, kernel.cpus.length, 'CPU')),
    xen.counterHz === undefined
      ? row(
          'counter frequency',
          'no',
          'neither xl dmesg, xl info nor the device tree tells it: give it to analyze',
        )
      : row('counter frequency', 'yes', frequency(xen.counterHz)),
    xsmRow(survey.xsm),
    lockdown === 'confidentiality'
      ? row('lockdown', 'no', 'confidentiality: tracing is forbidden until the next boot without it')
      : row('lockdown', 'yes', lockdown === undefined ? 'none in force' : `${lockdown}: tracing is allowed`),
    ...tracefsRows(tracefs),
    constantRow(survey),
    ...xentraceRows(survey.xentrace),
    pointsRow(points),
  ];
}

function xsmRow(xsm: string | undefined): ProbeRow {
  if (xsm === undefined) return row('Xen security', 'open', 'Xen says nothing of XSM in its messages');
  if (/flask/i.test(xsm))
    return row('Xen security', 'open', `${xsm}: the policy must let Dom0 use trace buffers`);
  return row('Xen security', 'yes', xsm);
}

function tracefsRows(tracefs: HostView['tracefs']): ProbeRow[] {
  const { path, refused, instances, clocks, bufferKib } = tracefs;
  if (path === undefined) return [row('tracefs', 'no', refused ?? 'not mounted')];
  const clock = clocks.includes(TRACE_CLOCK)
    ? row('trace clock', 'yes', TRACE_CLOCK)
    : row('trace clock', 'partly', `no ${TRACE_CLOCK} (Linux 4.12 has it): mono, which is slewed, is used`);
  return [
    refused === undefined ? row('tracefs', 'yes', path) : row('tracefs', 'no', refused),
    instances
      ? row('trace instance', 'yes', `can be made; ${bufferKib} KiB a CPU by default`)
      : row('trace instance', 'no', refused ?? `${path}/instances cannot be written`),
    ...(clocks.length === 0 ? [] : [clock]),
  ];
}

/** Dom0's half of exactly joined clocks; the other is Xen's. */
function constantRow(survey: HostSurvey): ProbeRow {
  const what = 'clock constant';
  const clock = survey.tracefs.clocks.includes(TRACE_CLOCK) ? TRACE_CLOCK : 'mono';
  const plan = planTimekeeper(survey, clock);
  return 'why' in plan
    ? row(what, 'no', `${plan.why}: Xen's clock and Dom0's are joined by estimate`)
    : row(
        what,
        'yes',
        `${CLOCK_SYMBOL} can be read: on a patched Xen its clock and Dom0's are joined exactly`,
      );
}

function xentraceRows({ path, running, bufferPages, refused }: HostView['xentrace']): ProbeRow[] {
  if (refused !== undefined) return [row('xentrace', 'no', refused)];
  if (path === undefined) return [row('xentrace', 'no', 'not installed (Debian: xen-utils): no vCPU waits')];
  if (running.length > 0) {
    const pids = running.join(', ');
    return [
      row('xentrace', 'no', `runs already (process ${pids}); Xen has one set of buffers: end it first`),
    ];
  }
  const buffers =
    bufferPages === undefined
      ? 'no buffers yet: the first recording fixes their size until reboot'
      : `buffers of ${bufferPages} pages a CPU since an earlier use, until reboot`;
  return [row('xentrace', 'yes', `${path}; ${buffers}`)];
}

/** What was found of Xen's Arm trace points, or why it could not be looked at; undefined: nobody looked. */
export type PointsLook = TracePoints | { why: string } | undefined;

const POINTS_STATE: Readonly<Record<TracePoints, ProbeState>> = { all: 'yes', some: 'partly', none: 'no' };

function pointsRow(points: PointsLook): ProbeRow {
  const what = 'Arm trace points';
  if (points === undefined) {
    return row(
      what,
      'open',
      'only a patched Xen has them (docs/XEN-PATCH.md): a recording tells, or --xentrace, which traces for a second',
    );
  }
  if (typeof points !== 'string') return row(what, 'open', points.why);
  return row(what, POINTS_STATE[points], tracePointsText(points));
}

/** Domains of the host, for the table without one chosen. */
export function domainRows(survey: HostSurvey): ProbeRow[] {
  const guests = survey.domains.filter(({ domid }) => domid !== 0);
  if (guests.length === 0) return [row('domains', 'no', 'no guest runs')];
  return guests.map(({ domid, name, vcpus, state }) =>
    row(`domain ${domid}`, 'yes', `${plus(name, vcpus, 'vCPU')}${stateText(state)}`),
  );
}

/** Letters of `xl list` (xl(1)). A domain may have none at a moment: it waits for a CPU. */
const STATES: Readonly<Record<string, string>> = {
  r: 'running',
  b: 'blocked',
  p: 'paused',
  s: 'shut down',
  c: 'crashed',
  d: 'dying',
};

function stateText(state: string): string {
  const words = Array.from(state).flatMap((letter) => STATES[letter] ?? []);
  return words.length === 0 ? '' : `, ${words.join(', ')}`;
}

/** What can be had of a domain. `plan`: that of all hooks. */
export function viewRows(view: HostView, plan: RecordPlan): ProbeRow[] {
  const { domid, name, vcpus } = view.domain;
  const rows = [row(`domain ${domid}`, 'yes', plus(name, vcpus, 'vCPU'))];
  for (const model of view.deviceModels) rows.push(modelRow(model));
  if (view.deviceModels.length === 0) {
    rows.push(
      row(
        'device model',
        'no',
        'no process that serves the domain has its ioreq page mapped: is it started?',
      ),
    );
  }
  for (const { kind, base, spi, backend } of view.devices) {
    rows.push(
      row(`device ${kind}`, 'yes', `${hex(base)}, ${spi === 0 ? 'SPI not known' : `SPI ${spi}`}, ${backend}`),
    );
  }
  if (view.devices.length === 0) {
    rows.push(
      row('devices', 'open', 'not known from xenstore: found while recording, from what the guest accesses'),
    );
  }
  for (const hook of HOOKS) rows.push(hookRow(hook, view, plan));
  return rows;
}

function modelRow({
  pid,
  name,
  kind,
  ioreqPages,
  by,
  threads,
  qmpSocket,
  traceLog,
}: DeviceModelView): ProbeRow {
  const facts = [
    `${name === kind ? kind : `${name} (${kind})`}, known by ${by}`,
    `${threads.length} threads`,
  ];
  facts.push(ioreqPages.length === 0 ? 'no ioreq page mapped' : `ioreq page ${ioreqPages.join(', ')}`);
  if (kind === 'qemu') {
    facts.push(qmpSocket === undefined ? 'no QMP socket' : `QMP ${qmpSocket}`);
    facts.push(traceLog === undefined ? 'no log file' : `log ${traceLog}`);
  }
  const state = ioreqPages.length === 0 || by === 'assumed' ? 'partly' : 'yes';
  return row(`device model ${pid}`, state, facts.join('; '));
}

function hookRow(hook: HookName, view: HostView, plan: RecordPlan): ProbeRow {
  const { title } = HOOK[hook];
  const what = `hook ${hook}`;
  const whys = [...new Set(plan.refused.filter((refusal) => refusal.hook === hook).map(({ why }) => why))];
  const what2 = `${title}${whys.length === 0 ? '' : `: ${whys.join('; ')}`}`;
  if (hook === 'qemu') return qemuRow(what, title, view);
  // Asked for of every Xen: whether this one has them is in a row of its own.
  if (hook === 'points' && plan.hooks.includes(hook)) return row(what, 'open', what2);
  if (plan.hooks.includes(hook)) return row(what, whys.length === 0 ? 'yes' : 'partly', what2);
  if (whys.length > 0) return row(what, 'no', what2);
  return row(what, 'no', `${title}: ${withoutEventfd(hook, view) ?? 'nothing of it on this host'}`);
}

function withoutEventfd(hook: HookName, view: HostView): string | undefined {
  const eventfd = hook === 'ioeventfd' || hook === 'irqfd';
  if (!eventfd || view.symbols.has('ioeventfd_interrupt')) return undefined;
  return 'this kernel has none (CONFIG_XEN_PRIVCMD_EVENTFD), so nothing is missed';
}

function qemuRow(what: string, title: string, view: HostView): ProbeRow {
  const qemus = view.deviceModels.filter(({ kind }) => kind === 'qemu');
  if (qemus.length === 0) return row(what, 'no', `${title}: no QEMU serves the domain`);
  const able = qemus.filter(({ qmpSocket, traceLog }) => qmpSocket !== undefined && traceLog !== undefined);
  if (able.length === qemus.length) return row(what, 'yes', `${title}: only when asked for`);
  const why = 'start QEMU with -qmp unix:SOCKET,server=on,wait=off and -D FILE';
  return row(what, able.length === 0 ? 'no' : 'partly', `${title}: ${why}`);
}

/** Recorders at work, and what dead ones left. */
export function recorderRows(recorders: readonly Recorder[]): ProbeRow[] {
  const live = recorders.filter(({ alive }) => alive);
  const dead = recorders.filter(({ alive }) => !alive);
  const list = (some: readonly Recorder[]): string =>
    some.map(({ id, has }) => `${id} (${has.join(', ')})`).join('; ');
  return [
    live.length === 0
      ? row('other recorders', 'yes', 'none runs')
      : row('other recorders', 'partly', `run now, and share Xen's buffers: ${list(live)}`),
    dead.length === 0
      ? row('leftovers', 'yes', 'none')
      : row('leftovers', 'partly', `of dead recorders: ${list(dead)}; trace record --cleanup removes them`),
  ];
}

function row(what: string, state: ProbeState, why: string): ProbeRow {
  return { what, state, why };
}

function plus(text: string, count: number | undefined, noun: string): string {
  return count === undefined || count === 0 ? text : `${text}, ${count} ${noun}${count === 1 ? '' : 's'}`;
}
