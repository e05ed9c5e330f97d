import type { EventFormat } from './event-format.ts';
import { findRef, NO_FIELD } from './field-ref.ts';
import type { ProbeDefinition, ProbeDefinitions } from './probes.ts';

/** What an event stands for, before its fields are looked at. */
export type Role =
  | 'sched_switch'
  | 'sched_waking'
  | 'sched_wakeup'
  | 'irq_entry'
  | 'irq_exit'
  | 'sys_enter'
  | 'sys_exit'
  | 'print'
  | 'evtchn_irq'
  | 'evtchn_read'
  | 'evtchn_read_ret'
  | 'evtchn_write'
  | 'evtchn_ioctl'
  | 'evtchn_ioctl_ret'
  | 'evtchn_bind'
  | 'lateeoi'
  | 'privcmd'
  | 'privcmd_ret'
  | 'dm_op'
  | 'ioeventfd'
  | 'ioeventfd_ret'
  | 'irqfd'
  | 'ioreq_read'
  | 'ioreq_notify'
  | 'dm_ioreq'
  | 'dm_set_irq'
  | 'other';

/** The kernel's own events: their system must match where the source tells it. */
const TRACEPOINTS: Readonly<Record<string, readonly [system: string, role: Role]>> = {
  sched_switch: ['sched', 'sched_switch'],
  sched_waking: ['sched', 'sched_waking'],
  sched_wakeup: ['sched', 'sched_wakeup'],
  sched_wakeup_new: ['sched', 'sched_wakeup'],
  irq_handler_entry: ['irq', 'irq_entry'],
  irq_handler_exit: ['irq', 'irq_exit'],
  sys_enter: ['raw_syscalls', 'sys_enter'],
  sys_exit: ['raw_syscalls', 'sys_exit'],
  print: ['ftrace', 'print'],
};

/** Functions of drivers/xen (evtchn.c, privcmd.c, events_base.c): entry and return. */
const SYMBOLS: Readonly<Record<string, readonly [entry: Role, ret: Role]>> = {
  evtchn_interrupt: ['evtchn_irq', 'other'],
  evtchn_read: ['evtchn_read', 'evtchn_read_ret'],
  evtchn_write: ['evtchn_write', 'other'],
  evtchn_ioctl: ['evtchn_ioctl', 'evtchn_ioctl_ret'],
  evtchn_bind_to_user: ['evtchn_bind', 'other'],
  xen_irq_lateeoi: ['lateeoi', 'other'],
  privcmd_ioctl: ['privcmd', 'privcmd_ret'],
  HYPERVISOR_dm_op: ['dm_op', 'other'],
  ioeventfd_interrupt: ['ioeventfd', 'ioeventfd_ret'],
  irqfd_wakeup: ['irqfd', 'other'],
};

/** Names people give to such probes, for captures that come without their definitions. */
const NAMES: Readonly<Record<string, Role>> = {
  evtchn_irq: 'evtchn_irq',
  evtchn_interrupt: 'evtchn_irq',
  evtchn_read: 'evtchn_read',
  evtchn_read_ret: 'evtchn_read_ret',
  evtchn_write: 'evtchn_write',
  evtchn_ioctl: 'evtchn_ioctl',
  evtchn_ioctl_ret: 'evtchn_ioctl_ret',
  evtchn_bind: 'evtchn_bind',
  evtchn_bind_to_user: 'evtchn_bind',
  lateeoi: 'lateeoi',
  xen_irq_lateeoi: 'lateeoi',
  privcmd: 'privcmd',
  privcmd_ioctl: 'privcmd',
  privcmd_ret: 'privcmd_ret',
  privcmd_ioctl_ret: 'privcmd_ret',
  dm_op: 'dm_op',
  hypervisor_dm_op: 'dm_op',
  ioeventfd: 'ioeventfd',
  ioeventfd_interrupt: 'ioeventfd',
  ioeventfd_ret: 'ioeventfd_ret',
  ioeventfd_interrupt_ret: 'ioeventfd_ret',
  irqfd: 'irqfd',
  irqfd_wakeup: 'irqfd',
  handle_ioreq: 'dm_ioreq',
  set_irq: 'dm_set_irq',
};

/** True if the event holds a fetch of ioreq slot `slot` (fields of slot-fields.ts). */
export type HasSlots = (format: EventFormat) => boolean;

export function roleOf(format: EventFormat, probes: ProbeDefinitions, hasSlots: HasSlots): Role {
  const tracepoint = Object.hasOwn(TRACEPOINTS, format.name) ? TRACEPOINTS[format.name] : undefined;
  if (tracepoint !== undefined && (format.system === '' || format.system === tracepoint[0])) {
    return tracepoint[1];
  }
  // Only probes have these; an own event of the kernel may be called 'privcmd' and mean something else.
  const isProbe = format.fields.some((f) => f.name === '__probe_ip' || f.name === '__probe_func');
  if (!isProbe) return 'other';
  const probe = probes.find(
    (p) => p.event === format.name && (p.system === '' || format.system === '' || p.system === format.system),
  );
  const role = probe === undefined ? roleByName(format) : roleByProbe(format, probe);
  if (!hasSlots(format) || role === 'dm_ioreq') return role;
  if (role === 'evtchn_ioctl') return 'ioreq_notify';
  if (role === 'evtchn_read') return 'ioreq_read';
  if (role !== 'other' || probe?.symbol !== undefined) return role;
  // No definition and a name of the user's own: only the notify probe also fetches the ioctl's command.
  if (format.fields.some((f) => f.name === '__probe_func')) return role;
  return findRef(format, 'cmd') === NO_FIELD ? 'ioreq_read' : 'ioreq_notify';
}

function roleByProbe(format: EventFormat, probe: ProbeDefinition): Role {
  // A uprobe's definition names no function, and one inside a function fetches what it likes.
  if (probe.kind === 'uprobe') return probe.isReturn ? 'other' : roleByName(format);
  const symbol = Object.hasOwn(SYMBOLS, probe.symbol) ? SYMBOLS[probe.symbol] : undefined;
  if (symbol === undefined || probe.offset !== 0) return 'other';
  return symbol[probe.isReturn ? 1 : 0];
}

function roleByName(format: EventFormat): Role {
  const name = format.name.toLowerCase();
  return Object.hasOwn(NAMES, name) ? (NAMES[name] ?? 'other') : 'other';
}
