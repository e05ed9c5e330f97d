/**
 * The kinds of event a trace can hold. Numbers are part of the format (docs/FORMAT.md): never reuse one.
 * 1-99 come from the hypervisor (xentrace), 100-199 from Dom0's kernel (ftrace), 200-299 from the device
 * model (its own trace), 300-399 from recordings of accesses and memory.
 *
 * `columns` says what the payload columns of columns.ts hold; a column that is not named is 0. domid, vcpu
 * are the subject's (NO_DOMID, NO_VCPU if unknown); cpu is the CPU whose buffer held the record: a physical
 * CPU for hypervisor kinds, a Dom0 CPU (= Dom0 vCPU) for the others.
 */
export interface EventKind {
  readonly id: number;
  readonly name: string;
  readonly columns: string;
}

function kind(id: number, name: string, columns: string): EventKind {
  return { id, name, columns };
}

/** Columns named `ioreq`: addr, data as in struct ioreq, arg0 = info (ioreq.ts), arg1 = vp_eport, 0 if unknown. */
const IOREQ = 'addr, data; arg0 info; arg1 port';

export const EVENT = {
  // Hypervisor, common code. Sources: xen/include/public/trace.h, xen/common/sched/core.c.
  XEN_RUNSTATE: kind(1, 'xen.runstate', 'domid, vcpu; arg0 old state, arg1 new state (RUNSTATE)'),
  XEN_CONTINUE_RUNNING: kind(2, 'xen.continue_running', 'domid, vcpu'),
  XEN_DOM_ADD: kind(3, 'xen.dom_add', 'domid'),
  XEN_DOM_REM: kind(4, 'xen.dom_rem', 'domid'),
  XEN_SLEEP: kind(5, 'xen.sleep', 'domid, vcpu'),
  XEN_WAKE: kind(6, 'xen.wake', 'domid, vcpu'),
  XEN_YIELD: kind(7, 'xen.yield', 'domid, vcpu'),
  XEN_BLOCK: kind(8, 'xen.block', 'domid, vcpu'),
  XEN_SHUTDOWN: kind(9, 'xen.shutdown', 'domid, vcpu; arg0 reason'),
  XEN_SHUTDOWN_CODE: kind(10, 'xen.shutdown_code', 'domid, vcpu; arg0 reason'),
  XEN_ADJDOM: kind(11, 'xen.adjdom', 'domid'),
  XEN_SWITCH: kind(12, 'xen.switch', 'domid, vcpu of next; arg0 previous domid, arg1 previous unit'),
  XEN_SWITCH_INFPREV: kind(13, 'xen.switch_infprev', 'domid, vcpu; arg0 ns it ran'),
  XEN_SWITCH_INFNEXT: kind(
    14,
    'xen.switch_infnext',
    'domid, vcpu; arg0 ns it waited, arg1 ns of its next slice',
  ),
  XEN_SWITCH_INFCONT: kind(
    15,
    'xen.switch_infcont',
    'domid, vcpu; arg0 ns it ran, arg1 ns of its next slice',
  ),
  XEN_LOST: kind(
    16,
    'xen.lost',
    'domid, vcpu of the record; arg0 records lost; data timestamp of the first lost',
  ),
  /** Known by class only: scheduler internals (credit2 ...), memory, PV, guest records. */
  XEN_OTHER: kind(
    17,
    'xen.other',
    'arg0 event id (28 bits), arg1 number of words; words 0-1 in addr, 2-3 in data, 4-5 in arg2-arg3, a seventh in domid (low half) and vcpu (high half)',
  ),
  // Hypervisor, Arm trace points (class HVM, subclass 0x00088000). Every one has domid, vcpu.
  ARM_S2_ABORT: kind(30, 'arm.s2_abort', 'addr gpa; data pc; arg0 ESR'),
  ARM_S2_RESUME: kind(31, 'arm.s2_resume', 'data pc'),
  ARM_IOREQ_SEND: kind(32, 'arm.ioreq_send', IOREQ),
  ARM_IOREQ_DONE: kind(33, 'arm.ioreq_done', 'data; arg1 port'),
  ARM_VIRQ_INJECT: kind(
    34,
    'arm.virq_inject',
    'arg0 virq, arg1 flags (VIRQ_FLAG), arg2 injecting domid << 16 | vcpu',
  ),
  ARM_VIRQ_LR: kind(35, 'arm.virq_lr', 'arg0 virq, arg1 lr | priority << 8'),
  ARM_VIRQ_ACTIVE: kind(36, 'arm.virq_active', 'arg0 virq, arg1 flags'),
  ARM_VIRQ_MERGED: kind(37, 'arm.virq_merged', 'arg0 virq, arg1 lr'),
  ARM_VIRQ_RETIRED: kind(38, 'arm.virq_retired', 'arg0 virq, arg1 flags'),
  /** Not a moment but a fact: written for every domain when tracing begins, and for each that is made later. */
  ARM_CNTVOFF: kind(39, 'arm.cntvoff', 'domid; data CNTPCT - CNTVCT of the domain, in ticks'),

  // Dom0's kernel. pid = the task that ran (common_pid).
  DOM0_SCHED_SWITCH: kind(100, 'dom0.sched_switch', 'pid previous task; arg0 next pid, arg1 previous state'),
  DOM0_SCHED_WAKING: kind(101, 'dom0.sched_waking', 'arg0 woken pid, arg1 target CPU'),
  DOM0_SCHED_WAKEUP: kind(102, 'dom0.sched_wakeup', 'arg0 woken pid, arg1 target CPU'),
  DOM0_IRQ_ENTRY: kind(103, 'dom0.irq_entry', 'arg0 irq, arg1 name (sources[].strings)'),
  DOM0_IRQ_EXIT: kind(104, 'dom0.irq_exit', 'arg0 irq, arg1 ret'),
  DOM0_SYS_ENTER: kind(105, 'dom0.sys_enter', 'arg0 syscall number; addr, data first two arguments'),
  DOM0_SYS_EXIT: kind(106, 'dom0.sys_exit', 'arg0 syscall number; data return value'),
  /** Hard-irq handler of a user-space event channel (kprobe evtchn_interrupt). */
  DOM0_EVTCHN_IRQ: kind(110, 'dom0.evtchn_irq', 'arg0 irq, arg1 port'),
  DOM0_EVTCHN_READ: kind(111, 'dom0.evtchn_read', 'entry of read() on /dev/xen/evtchn'),
  DOM0_EVTCHN_READ_RET: kind(112, 'dom0.evtchn_read_ret', 'data return value'),
  /** write() on /dev/xen/evtchn: unmask. */
  DOM0_EVTCHN_WRITE: kind(113, 'dom0.evtchn_write', 'arg1 port'),
  /** IOCTL_EVTCHN_NOTIFY: for a device model, the answer to an ioreq. */
  DOM0_EVTCHN_NOTIFY: kind(114, 'dom0.evtchn_notify', 'arg1 port'),
  DOM0_EVTCHN_IOCTL: kind(
    115,
    'dom0.evtchn_ioctl',
    'any other evtchn ioctl: arg0 command, arg1 first u32 of its argument',
  ),
  DOM0_EVTCHN_IOCTL_RET: kind(116, 'dom0.evtchn_ioctl_ret', 'data return value'),
  DOM0_EVTCHN_BIND: kind(117, 'dom0.evtchn_bind', 'arg1 port'),
  DOM0_LATEEOI: kind(118, 'dom0.lateeoi', 'arg0 irq, arg1 flags'),
  /** DM_OP set_irq_level (op 19) entering the kernel: the device model moves an interrupt line. */
  DOM0_SET_IRQ_LEVEL: kind(119, 'dom0.set_irq_level', 'domid; arg0 SPI, arg1 level'),
  DOM0_DM_OP: kind(
    120,
    'dom0.dm_op',
    'any other dm_op: domid; arg0 op, arg1-arg3 first words of its argument',
  ),
  DOM0_PRIVCMD: kind(121, 'dom0.privcmd', 'any other privcmd ioctl: arg0 command'),
  DOM0_PRIVCMD_RET: kind(122, 'dom0.privcmd_ret', 'data return value'),
  /** One slot of the ioreq page, fetched when the device model reads its event channel. vcpu = slot. */
  DOM0_IOREQ_DELIVERED: kind(123, 'dom0.ioreq_delivered', IOREQ),
  /** The same slot fetched when it answers (EVTCHN_NOTIFY). */
  DOM0_IOREQ_ANSWERED: kind(124, 'dom0.ioreq_answered', IOREQ + '; arg2 local port notified'),
  DOM0_MARKER: kind(
    125,
    'dom0.marker',
    'a trace_marker text that is no device-model event: arg0 text (strings)',
  ),
  DOM0_LOST: kind(126, 'dom0.lost', 'arg0 events lost before this point on this CPU, 0 = unknown number'),
  DOM0_OTHER: kind(127, 'dom0.other', 'any other event: arg0 its name (strings)'),
  /** The kernel's own handler of an ioreq port (kprobe ioeventfd_interrupt), with the slot it looks at. */
  DOM0_IOEVENTFD: kind(
    128,
    'dom0.ioeventfd',
    'domid, vcpu; addr, data; arg0 info, 0 if not fetched; arg1 port; arg2 irq',
  ),
  DOM0_IOEVENTFD_RET: kind(
    129,
    'dom0.ioeventfd_ret',
    'data return value: 1 = the kick was answered there, 0 = left to the device model',
  ),
  /** An eventfd was signalled whose wake-up injects an interrupt (kprobe irqfd_wakeup). */
  DOM0_IRQFD: kind(130, 'dom0.irqfd', 'domid; arg0 SPI, 0 if not fetched; arg1 level'),

  // The device model's own trace (QEMU trace events, or uprobes that stand for them).
  DM_IOREQ: kind(200, 'dm.ioreq', IOREQ + '; state unknown (0)'),
  DM_IOREQ_READ_DONE: kind(201, 'dm.ioreq_read_done', IOREQ + '; data = the value answered'),
  DM_IOREQ_WRITE: kind(202, 'dm.ioreq_write', IOREQ),
  DM_IOREQ_MOVE: kind(203, 'dm.ioreq_move', IOREQ),
  DM_MMIO_READ: kind(204, 'dm.mmio_read', 'addr register offset'),
  DM_MMIO_WRITE: kind(205, 'dm.mmio_write', 'addr register offset, data value'),
  /** virtio_mmio_setting_irq: the device's interrupt line goes to `level`. */
  DM_SET_IRQ: kind(206, 'dm.set_irq', 'arg1 level; arg0 SPI where the source knows it, else 0'),
  DM_QUEUE_NOTIFY: kind(207, 'dm.queue_notify', 'addr vdev; data vq; arg0 queue'),
  DM_POP: kind(208, 'dm.virtqueue_pop', 'addr vq; data element; arg0 in buffers, arg1 out buffers'),
  DM_FILL: kind(209, 'dm.virtqueue_fill', 'addr vq; data element; arg0 bytes written, arg1 index'),
  DM_FLUSH: kind(210, 'dm.virtqueue_flush', 'addr vq; arg0 count'),
  DM_NOTIFY: kind(211, 'dm.virtio_notify', 'addr vdev; data vq'),
  DM_NOTIFY_IRQFD: kind(212, 'dm.virtio_notify_irqfd', 'addr vdev; data vq'),
  DM_SET_STATUS: kind(213, 'dm.set_status', 'addr vdev; arg0 status'),
  DM_BLK_READ: kind(214, 'dm.blk_read', 'addr vdev; data request; arg0-arg1 sector (lo, hi), arg2 sectors'),
  DM_BLK_WRITE: kind(215, 'dm.blk_write', 'addr vdev; data request; arg0-arg1 sector (lo, hi), arg2 sectors'),
  DM_BLK_RW_DONE: kind(216, 'dm.blk_rw_done', 'addr vdev; data request; arg0 return value'),
  DM_BLK_DONE: kind(217, 'dm.blk_done', 'addr vdev; data request; arg0 status'),
  DM_OTHER: kind(
    218,
    'dm.other',
    'any other trace event of the device model: arg0 its name (strings); what else it holds: sources/qemu/event-table.ts',
  ),
  DM_LOST: kind(219, 'dm.lost', 'arg0 events lost'),

  // Recordings of accesses (JSON lines). No time: ts is NaN unless the record holds one; arg3 = step.
  REC_READ: kind(300, 'rec.read', 'addr, data value; arg0 info; arg3 step'),
  REC_WRITE: kind(301, 'rec.write', 'addr, data value; arg0 info; arg3 step'),
  REC_NOTIFY: kind(302, 'rec.notify', 'arg0 transport, arg1 queue, arg2 buffers made available; arg3 step'),
  REC_KICK: kind(
    303,
    'rec.kick',
    'buffers available without a notify: arg0 transport, arg1 queue, arg2 buffers; arg3 step',
  ),
  REC_MEMORY: kind(304, 'rec.memory', 'addr gpa; arg0 length; arg3 step'),
  REC_USED: kind(305, 'rec.used', 'addr used ring; arg0 transport, arg1 queue, arg2 used index; arg3 step'),
  REC_IRQ: kind(306, 'rec.irq', 'arg0 SPI, arg1 level; arg3 step'),
  REC_OTHER: kind(307, 'rec.other', 'arg0 its tag (strings); arg3 step'),
} as const satisfies Record<string, EventKind>;

export type EventName = keyof typeof EVENT;

/** `K.XEN_WAKE` is the number of that kind: what a loop over the kind column compares with. */
export const K = Object.fromEntries(Object.entries(EVENT).map(([key, value]) => [key, value.id])) as {
  readonly [N in EventName]: (typeof EVENT)[N]['id'];
};

const NAME_BY_ID = new Map<number, string>(Object.values(EVENT).map((k) => [k.id, k.name]));

export function kindName(id: number): string {
  return NAME_BY_ID.get(id) ?? `unknown(${id})`;
}

/** Scheduler states in runstate records. Source: xen/include/public/vcpu.h, RUNSTATE_*. */
export const RUNSTATE = { RUNNING: 0, RUNNABLE: 1, BLOCKED: 2, OFFLINE: 3 } as const;

/** Flags of the ARM_VIRQ_* records. */
export const VIRQ_FLAG = { LEVEL: 1, INFLIGHT: 2, QUEUED: 4, IN_LR: 8, ACTIVE: 16, ENABLED: 32 } as const;
