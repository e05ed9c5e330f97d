/**
 * By which rule a number of an unpatched report is wrong: what it is taken for, in which direction it errs, and what
 * bounds the error. `certain`: it follows from the order of the events, on any host. Else it is what was seen; how
 * often it held on a given trace is what `trace analyze --truth` says.
 */
export interface EstimateRule {
  readonly id: string;
  /** Path of the number in the report. */
  readonly of: string;
  /** What the number stands for. */
  readonly stands_for: string;
  readonly error: 'too short' | 'too long' | 'either way';
  readonly statement: string;
  readonly certain: boolean;
  /** The clock error comes on top (`clock.max_error_ns`). */
  readonly clock_error: boolean;
}

export const RULES = {
  wait: {
    id: 'wait-inside-trap',
    of: 'mmio.total',
    stands_for: 'vCPU traps → guest resumes',
    error: 'too short',
    statement:
      'never too long: the wait lies inside the trap. Left out are trap → event sent → vCPU descheduled, and vCPU runs → ' +
      'Xen takes the answer → guest resumes, and the time for which the vCPU was preempted there',
    certain: true,
    clock_error: false,
  },
  surroundings: {
    id: 'trap-inside-surroundings',
    of: 'mmio.total',
    stands_for: 'vCPU traps → guest resumes',
    error: 'too short',
    statement:
      "by no more than what lies between the wait and the vCPU's neighbouring waits and blocks, unless the toolstack " +
      'paused the vCPU there',
    certain: true,
    clock_error: false,
  },
  dom0: {
    id: 'dom0-inside-trap',
    of: 'mmio.total',
    stands_for: 'vCPU traps → guest resumes',
    error: 'too short',
    statement:
      "never too long: what Dom0 sees lies inside the trap. All of the hypervisor's part is left out",
    certain: true,
    clock_error: false,
  },
  descheduled: {
    id: 'descheduled-after-send',
    of: 'mmio.stages.offline→dom0_irq',
    stands_for: 'ioreq ready, event sent → Dom0 interrupt',
    error: 'too short',
    statement: 'never too long but for the clock error: Xen deschedules the vCPU after it has sent the event',
    certain: true,
    clock_error: true,
  },
  crossing: {
    id: 'within-clock-error',
    of: 'mmio.stages.answer→wake',
    stands_for: 'answer → vCPU woken',
    error: 'either way',
    statement: 'the same two records as with trace points: wrong by no more than the clock error',
    certain: true,
    clock_error: true,
  },
  join: {
    id: 'own-ioreq',
    of: 'mmio.stages',
    stands_for: "the device model's stages",
    error: 'either way',
    statement:
      "a wait's stages in Dom0 are those of its own ioreq: they are joined by time, which an ioreq that was answered " +
      'before its vCPU was descheduled can upset',
    certain: false,
    clock_error: false,
  },
  read: {
    id: 'read-after-injection',
    of: 'interrupts.total',
    stands_for: 'device model raises the line → list register filled',
    error: 'too long',
    statement:
      "never an injection latency: the guest's way to its handler, the trap of the read and the way to vCPU descheduled " +
      'come on top; too short only where another raise than the one that was delivered is taken',
    certain: false,
    clock_error: true,
  },
  notify: {
    id: 'notify-after-trap',
    of: 'requests.total',
    stands_for: 'guest notifies the queue → used',
    error: 'too short',
    statement:
      'never too long but for the clock error: the notify is timed when its vCPU is descheduled, after its trap',
    certain: true,
    clock_error: true,
  },
} as const satisfies Record<string, EstimateRule>;

export type RuleName = keyof typeof RULES;
