import type { Boundary, BoundaryClock, BoundKind, SpanFamily, SpanPlan, Stage } from '../../trace/spans.ts';

/** Which hooks a trace holds, found by the scout: they decide which boundaries its spans can have. */
export interface Hooks {
  /** Arm trace points in Xen (ARM_IOREQ_SEND seen). */
  readonly tracePoints: boolean;
  /** Runstates of the domain's vCPUs. */
  readonly runstates: boolean;
  readonly evtchnIrq: boolean;
  readonly evtchnRead: boolean;
  /** The device model's own trace with times: in Dom0's (QEMU trace markers or uprobes), or a log of its own. */
  readonly service: 'dom0' | 'dm' | undefined;
  readonly notify: boolean;
  /** set_irq_level: as a dm_op, or in the device model's trace. */
  readonly raise: boolean;
  readonly requests: boolean;
}

interface Mark {
  name: string;
  clock: BoundaryClock;
  bound?: BoundKind;
  /** Completes "…" in a stage title: what happened at this instant. */
  what: string;
}

/** Every boundary that an MMIO span can have, in order of time. */
const MMIO_MARKS = {
  trap: { name: 'trap', clock: 'xen', what: 'vCPU traps' },
  send: { name: 'send', clock: 'xen', what: 'ioreq ready, event sent' },
  offline: { name: 'offline', clock: 'xen', what: 'vCPU descheduled' },
  dom0_irq: { name: 'dom0_irq', clock: 'dom0', what: 'Dom0 interrupt' },
  dm_read: { name: 'dm_read', clock: 'dom0', what: 'device model wakes' },
  service: { name: 'service', clock: 'dom0', what: 'service begins' },
  answer: { name: 'answer', clock: 'dom0', what: 'answer' },
  wake: { name: 'wake', clock: 'xen', what: 'vCPU woken' },
  running: { name: 'running', clock: 'xen', what: 'vCPU runs' },
  done: { name: 'done', clock: 'xen', what: 'Xen takes the answer' },
  resume: { name: 'resume', clock: 'xen', what: 'guest resumes' },
} as const satisfies Record<string, Mark>;

export type MmioMark = keyof typeof MMIO_MARKS;

/** The MMIO plan of a trace; undefined if no two instants of an ioreq can be seen. */
export function mmioPlan(hooks: Hooks): (SpanPlan & { marks: readonly MmioMark[] }) | undefined {
  const marks: MmioMark[] = [];
  if (hooks.tracePoints) marks.push('trap', 'send');
  else if (hooks.runstates) marks.push('offline');
  if (hooks.notify) {
    if (hooks.evtchnIrq) marks.push('dom0_irq');
    if (hooks.evtchnRead) marks.push('dm_read');
    if (hooks.service !== undefined) marks.push('service');
    marks.push('answer');
  }
  if (hooks.runstates) marks.push('wake', 'running');
  if (hooks.tracePoints) marks.push('done', 'resume');
  if (marks.length < 2) return undefined;
  const ownClock = (m: MmioMark): Mark =>
    m === 'service' && hooks.service === 'dm' ? { ...MMIO_MARKS[m], clock: 'dm' } : MMIO_MARKS[m];
  const plan = build('mmio', marks.map(ownClock), 0, marks.length - 1);
  return { ...plan, marks };
}

export type InterruptMark = 'raise' | 'inject' | 'lr' | 'status_read' | 'ack';

/**
 * From the device model raising the line to the guest's handler. Without trace points in Xen this is not the
 * injection latency (it holds the guest's entry to its handler and the trap of the InterruptStatus read), and
 * its title says so.
 */
export function interruptPlan(hooks: Hooks): SpanPlan & { marks: readonly InterruptMark[] } {
  // The handler's reads are timed where the ioreq is first seen: in the hypervisor if it is traced.
  const guest: 'xen' | 'dom0' = hooks.tracePoints || hooks.runstates ? 'xen' : 'dom0';
  const marks: Mark[] = [{ name: 'raise', clock: 'dom0', what: 'device model raises the line' }];
  if (hooks.tracePoints) {
    marks.push({ name: 'inject', clock: 'xen', what: 'vGIC injects' });
    marks.push({ name: 'lr', clock: 'xen', what: 'list register filled' });
  }
  marks.push({ name: 'status_read', clock: guest, what: 'guest reads InterruptStatus' });
  marks.push({ name: 'ack', clock: guest, what: 'guest writes InterruptACK' });
  const plan = build('interrupt', marks, 0, marks.length - 2);
  return { ...plan, marks: marks.map((m) => m.name as InterruptMark) };
}

/** Injection proper, on Xen's clock alone: needs the trace points. */
export function injectionPlan(): SpanPlan {
  return build(
    'injection',
    [
      { name: 'inject', clock: 'xen', what: 'vGIC injects' },
      { name: 'lr', clock: 'xen', what: 'list register filled' },
      { name: 'active', clock: 'xen', bound: 'no-later-than', what: 'seen active' },
      { name: 'retired', clock: 'xen', bound: 'no-later-than', what: 'retired' },
    ],
    0,
    1,
  );
}

/**
 * The total ends with `used`: that is when the guest can have the result. The interrupt comes after, and only
 * for requests for which the guest wanted one.
 */
export function requestPlan(hooks: Hooks): SpanPlan {
  const guest: 'xen' | 'dom0' = hooks.tracePoints || hooks.runstates ? 'xen' : 'dom0';
  return build(
    'request',
    [
      { name: 'notify', clock: guest, what: 'guest notifies the queue' },
      { name: 'popped', clock: 'dom0', what: 'popped' },
      { name: 'used', clock: 'dom0', what: 'used' },
      { name: 'interrupt', clock: 'dom0', what: 'interrupt raised' },
    ],
    0,
    2,
  );
}

function build(family: SpanFamily, marks: readonly Mark[], totalFrom: number, totalTo: number): SpanPlan {
  const boundaries: Boundary[] = marks.map((m) => ({
    name: m.name,
    clock: m.clock,
    bound: m.bound ?? 'exact',
  }));
  const stages: Stage[] = [];
  for (let k = 0; k + 1 < marks.length; k++) {
    const a = marks[k]!;
    const b = marks[k + 1]!;
    const late = a.bound === 'no-later-than' || b.bound === 'no-later-than';
    stages.push({
      name: `${a.name}→${b.name}`,
      title: `${a.what} → ${b.what}`,
      from: a.name,
      to: b.name,
      crossesClocks: a.clock !== b.clock,
      bound: late ? 'no-later-than' : 'exact',
      inTotal: k >= totalFrom && k < totalTo,
    });
  }
  const title = `${marks[totalFrom]!.what} → ${marks[totalTo]!.what}`;
  return { family, title, boundaries, stages, totalFrom, totalTo };
}
