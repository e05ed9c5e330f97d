/** Everything that recording can switch on, by the name that --hooks takes. docs/RECORDING.md has a part for each. */
export const HOOKS = [
  'ioreq',
  'evtchn',
  'irq',
  'returns',
  'ioeventfd',
  'irqfd',
  'sched',
  'xen',
  'points',
  'qemu',
] as const;
export type HookName = (typeof HOOKS)[number];

export interface Hook {
  readonly title: string;
  /** Switched on unless told otherwise. */
  readonly byDefault: boolean;
  /** Without it the others say little: recording refuses to start if it cannot be had. */
  readonly needed: boolean;
}

export const HOOK: Readonly<Record<HookName, Hook>> = {
  ioreq: {
    title: 'content of every ioreq when it is taken up and when it is answered',
    byDefault: true,
    needed: true,
  },
  evtchn: {
    title: 'event-channel interrupts of the device model, and their unmasking',
    byDefault: true,
    needed: false,
  },
  irq: { title: 'interrupts injected by the device model (dm_op)', byDefault: true, needed: false },
  returns: {
    title: 'returns of those calls: how the clocks lie to each other',
    byDefault: true,
    needed: false,
  },
  ioeventfd: { title: 'kicks answered in the kernel (ioeventfd)', byDefault: true, needed: false },
  irqfd: { title: 'interrupts injected in the kernel (irqfd)', byDefault: true, needed: false },
  sched: { title: "scheduling of the device model's threads", byDefault: true, needed: false },
  xen: { title: "Xen's scheduler: when each vCPU waits and runs", byDefault: true, needed: false },
  points: {
    title:
      "Xen's Arm trace points, where it has them: traps, ioreqs and virtual interrupts (docs/XEN-PATCH.md)",
    byDefault: true,
    needed: false,
  },
  qemu: {
    title: "QEMU's own trace events, to its log (costs the guest much)",
    byDefault: false,
    needed: false,
  },
};

export const DEFAULT_HOOKS: ReadonlySet<HookName> = new Set(HOOKS.filter((name) => HOOK[name].byDefault));

export function isHookName(text: string): text is HookName {
  return (HOOKS as readonly string[]).includes(text);
}
