import type { HookName } from './hooks.ts';
import { HOOKS } from './hooks.ts';
import type { HostView } from './host-view.ts';
import type { ProbeLine, Refusal } from './probe-line.ts';
import { GROUP } from './probe-line.ts';
import { planKprobes } from './kprobes.ts';
import type { EventLine } from './trace-events.ts';
import { planTraceEvents } from './trace-events.ts';
import type { XentracePlan } from './xentrace-buffers.ts';
import { deviceNamed } from './device-names.ts';
import { QEMU_EVENTS, planQemu } from './qemu-trace.ts';
import { CLOCK_EVENT, planTimekeeper } from './timekeeper.ts';
import { planXentrace } from './xentrace-buffers.ts';

/** The clock that ticks with the counter and is never slewed: ioreqs are joined with Xen's records on it. */
export const TRACE_CLOCK = 'mono_raw';

/** All that will be switched on on a host, and nothing else. */
export interface RecordPlan {
  readonly tracefs: string;
  readonly clock: string;
  readonly pageBytes: number;
  readonly cpus: readonly number[];
  /** KiB of each CPU's ring buffer at the start, and how far it may grow when the rate asks for it. */
  readonly bufferKib: number;
  readonly bufferMaxKib: number;
  readonly probes: readonly ProbeLine[];
  readonly events: readonly EventLine[];
  readonly xentrace?: XentracePlan;
  /** The probe that reads how the kernel makes its clock; or why it cannot be had. Absent: not wanted. */
  readonly timekeeper?: { readonly definition: string } | { readonly why: string };
  /** Sockets of the QEMUs whose own trace events are switched on. */
  readonly monitors?: readonly string[];
  readonly domid: number;
  /** Processes whose end ends the recording. */
  readonly pids: readonly number[];
  readonly hooks: readonly HookName[];
  /** Devices that are recorded, where not all are. */
  readonly only: readonly string[];
  readonly refused: readonly Refusal[];
}

export interface PlanOptions {
  hooks: ReadonlySet<HookName>;
  bufferKib: number;
  bufferMaxKib: number;
  /** Pages of each physical CPU's trace buffer in Xen; fixed from the first use until the host reboots. */
  xenBufferPages: number;
  /** Record only accesses to these devices, and their interrupts: 'blk0', '0x2000000' or 'spi33'; all if empty. */
  devices?: readonly string[];
}

export function planRecording(view: HostView, options: PlanOptions): RecordPlan {
  const { hooks } = options;
  const only = (options.devices ?? []).map((name) => deviceNamed(view, name));
  const kprobes = planKprobes(view, hooks, only);
  const trace = planTraceEvents(view, hooks);
  const xen = planXentrace(view, options.xenBufferPages, hooks);
  const refused = [...kprobes.refused, ...trace.refused];
  const byXentrace = (['xen', 'points'] as const).filter((name) => hooks.has(name));
  if (xen !== undefined && 'why' in xen) refused.push({ hook: byXentrace[0] ?? 'xen', why: xen.why });
  const clock = view.tracefs.clocks.includes(TRACE_CLOCK) ? TRACE_CLOCK : 'mono';
  const on = new Set<HookName>([...kprobes.probes, ...trace.events].map(({ hook }) => hook));
  if (xen !== undefined && !('why' in xen)) for (const name of byXentrace) on.add(name);
  const qemu = hooks.has('qemu') ? planQemu(view) : { monitors: [], refused: [] };
  refused.push(...qemu.refused);
  if (qemu.monitors.length > 0) on.add('qemu');
  return {
    tracefs: view.tracefs.path ?? '/sys/kernel/tracing',
    clock,
    pageBytes: view.tracefs.pageBytes,
    cpus: view.kernel.cpus,
    bufferKib: options.bufferKib,
    bufferMaxKib: options.bufferMaxKib,
    probes: kprobes.probes,
    events: trace.events,
    ...(xen === undefined || 'why' in xen ? {} : { xentrace: xen, timekeeper: planTimekeeper(view, clock) }),
    ...(qemu.monitors.length === 0 ? {} : { monitors: qemu.monitors }),
    domid: view.domain.domid,
    pids: view.deviceModels.map(({ pid }) => pid),
    hooks: HOOKS.filter((name) => on.has(name)),
    only: options.devices ?? [],
    refused,
  };
}

/** One thing that recording does to the host: a file written or a program run. */
export interface Change {
  readonly what: string;
  readonly value: string;
  readonly undo: string;
}

/** All changes in the order in which they are made; `id` stands for the recorder (PID of its shell, start time). */
export function listChanges(plan: RecordPlan, id = 'ioreqtrace_PID_START'): Change[] {
  const instance = `${plan.tracefs}/instances/${id}`;
  const gone = 'gone with the instance';
  const changes: Change[] = [
    { what: `/run/ioreq-trace/${id}/`, value: '(folder made)', undo: 'removed' },
    { what: `${instance}/`, value: '(folder made: an own trace instance)', undo: 'removed' },
    { what: `${instance}/tracing_on`, value: '0', undo: gone },
    { what: `${instance}/trace_clock`, value: plan.clock, undo: gone },
    { what: `${instance}/buffer_size_kb`, value: String(plan.bufferKib), undo: gone },
  ];
  if (plan.timekeeper !== undefined && 'definition' in plan.timekeeper) {
    const value = plan.timekeeper.definition.replace(GROUP, id);
    const event = `${instance}/events/${id}/${CLOCK_EVENT}`;
    changes.push(
      { what: `${plan.tracefs}/kprobe_events`, value, undo: `-:${id}/${CLOCK_EVENT}` },
      { what: `${event}/filter`, value: 'common_pid==PID', undo: gone },
      {
        what: `${event}/enable`,
        value: '1, for four readings of /proc/uptime before and after the recording',
        undo: '0 after each',
      },
    );
  }
  for (const { event, definition } of plan.probes) {
    const value = definition.replace(GROUP, id);
    changes.push({ what: `${plan.tracefs}/kprobe_events`, value, undo: `-:${id}/${event}` });
  }
  const enable = (path: string, filter: string): void => {
    if (filter !== '') changes.push({ what: `${instance}/events/${path}/filter`, value: filter, undo: gone });
    changes.push({ what: `${instance}/events/${path}/enable`, value: '1', undo: gone });
  };
  for (const { event, filter } of plan.probes) enable(`${id}/${event}`, filter);
  for (const { event, filter } of plan.events) enable(event, filter);
  if (plan.xentrace !== undefined) {
    const { path, args, drain, pages } = plan.xentrace;
    changes.push(
      {
        what: [path, ...drain].join(' '),
        value: `(run; Xen's trace buffers of ${pages} pages a CPU are made if there are none, and emptied)`,
        undo: 'ends by itself; the buffers stay until the host reboots',
      },
      { what: [path, ...args].join(' '), value: '(run)', undo: 'stopped, tracing in Xen off' },
    );
  }
  for (const socket of plan.monitors ?? []) {
    changes.push({
      what: `${socket}: trace-event-set-state`,
      value: `${QEMU_EVENTS.join(' ')}: on, those of them that are off`,
      undo: 'the same ones off',
    });
  }
  changes.push({ what: `${instance}/tracing_on`, value: '1', undo: gone });
  return changes;
}
