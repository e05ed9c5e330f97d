import type { Boundary, BoundaryClock, BoundKind, SpanFamily, SpanPlan, Stage } from '../../trace/spans.ts';
import { PREEMPTED } from '../../trace/spans.ts';

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
  const plan = build('mmio', marks.map(ownClock), 0, marks.length - 1, {
    // Elsewhere in an ioreq the vCPU does not run on its own account: it is offline, or waits to run after the wake.
    preempted: exact(hooks) ? ['trap', 'running', 'done'] : [],
  });
  return { ...plan, marks };
}

/** Preemption shows inside a span whose ends are trace points: on unpatched Xen none lies within the vCPU's wait. */
function exact(hooks: Hooks): boolean {
  return hooks.tracePoints && hooks.runstates;
}

/** Every boundary that an interrupt can have, in order of time, but `active`: an upper bound beside the others. */
const INTERRUPT_MARKS = {
  raise: { name: 'raise', clock: 'dom0', what: 'device model raises the line' },
  inject: { name: 'inject', clock: 'xen', what: 'vGIC injects' },
  runs: { name: 'runs', clock: 'xen', what: 'vCPU runs' },
  lr: { name: 'lr', clock: 'xen', what: 'list register filled' },
  status_read: { name: 'status_read', clock: 'xen', what: 'guest reads InterruptStatus' },
  ack: { name: 'ack', clock: 'xen', what: 'guest writes InterruptACK' },
  retired: { name: 'retired', clock: 'xen', bound: 'no-later-than', what: 'retired' },
  active: { name: 'active', clock: 'xen', bound: 'no-later-than', what: 'seen active' },
} as const satisfies Record<string, Mark>;

export type InterruptMark = keyof typeof INTERRUPT_MARKS;

/**
 * The interrupt plan of a host that shows everything: what reports name the stages by that a trace cannot show.
 */
export function fullInterruptPlan(): SpanPlan & { marks: readonly InterruptMark[] } {
  return interruptStages(
    ['raise', 'inject', 'runs', 'lr', 'status_read', 'ack', 'retired', 'active'],
    ['runs', 'lr', 'status_read'],
    (m) => m,
  );
}

/**
 * From the device model raising the line to the guest's handler. Without trace points in Xen this is not the
 * injection latency (it holds the guest's entry to its handler and the trap of the InterruptStatus read), and
 * its title says so.
 */
export function interruptPlan(hooks: Hooks): SpanPlan & { marks: readonly InterruptMark[] } {
  if (exact(hooks)) return fullInterruptPlan();
  // The handler's reads are timed where the ioreq is first seen: in the hypervisor if it is traced.
  const guest = hooks.tracePoints || hooks.runstates ? 'xen' : 'dom0';
  const marks: InterruptMark[] = hooks.tracePoints
    ? ['raise', 'inject', 'lr', 'status_read', 'ack', 'retired', 'active']
    : ['raise', 'status_read', 'ack'];
  const own = (m: Mark): Mark => (m.name === 'status_read' || m.name === 'ack' ? { ...m, clock: guest } : m);
  return interruptStages(marks, [], own);
}

function interruptStages(
  marks: readonly InterruptMark[],
  preempted: readonly InterruptMark[],
  own: (mark: Mark) => Mark,
): SpanPlan & { marks: readonly InterruptMark[] } {
  const asides: [InterruptMark, InterruptMark][] = marks.includes('active') ? [['lr', 'active']] : [];
  const all = marks.map((m) => own(INTERRUPT_MARKS[m]));
  return { ...build('interrupt', all, 0, marks.indexOf('status_read'), { preempted, asides }), marks };
}

/** Injection proper, on Xen's clock alone: needs the trace points. */
export function injectionPlan(hooks: Hooks): SpanPlan {
  const marks = ['inject', ...(exact(hooks) ? ['runs'] : []), 'lr', 'active', 'retired'] as InterruptMark[];
  return build(
    'injection',
    marks.map((m) => INTERRUPT_MARKS[m]),
    0,
    marks.indexOf('lr'),
    { preempted: exact(hooks) ? ['runs'] : [] },
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

interface Extras {
  /** Boundaries at which stages begin that preemption of the vCPU is known of. */
  readonly preempted?: readonly string[];
  /** Stages beside the chain, by the names of their ends: their last boundaries come behind the chain's. */
  readonly asides?: readonly (readonly [string, string])[];
}

/** `totalFrom`, `totalTo`: indices of the marks between which the total is taken. */
function build(
  family: SpanFamily,
  marks: readonly Mark[],
  totalFrom: number,
  totalTo: number,
  { preempted = [], asides = [] }: Extras = {},
): SpanPlan {
  const boundaries: Boundary[] = marks.map((m) => ({
    name: m.name,
    clock: m.clock,
    bound: m.bound ?? 'exact',
  }));
  const stage = (a: Mark, b: Mark, inTotal: boolean): Stage => ({
    name: `${a.name}→${b.name}`,
    title: `${a.what} → ${b.what}`,
    from: a.name,
    to: b.name,
    crossesClocks: a.clock !== b.clock,
    bound: a.bound === 'no-later-than' || b.bound === 'no-later-than' ? 'no-later-than' : 'exact',
    inTotal,
    preempted: preempted.indexOf(a.name),
  });
  const named = (name: string): Mark => marks.find((m) => m.name === name)!;
  const stages: Stage[] = [];
  const chain = marks.length - asides.length;
  for (let k = 0; k + 1 < chain; k++)
    stages.push(stage(marks[k]!, marks[k + 1]!, k >= totalFrom && k < totalTo));
  for (const [from, to] of asides) stages.push({ ...stage(named(from), named(to), false), preempted: -1 });
  if (preempted.length > 0) {
    stages.push({
      name: PREEMPTED,
      title: 'vCPU preempted (in no other stage)',
      from: marks[totalFrom]!.name,
      to: marks[totalTo]!.name,
      crossesClocks: false,
      bound: 'exact',
      inTotal: true,
      preempted: -1,
    });
  }
  const title = `${marks[totalFrom]!.what} → ${marks[totalTo]!.what}`;
  return { family, title, boundaries, stages, totalFrom, totalTo, preempted };
}
