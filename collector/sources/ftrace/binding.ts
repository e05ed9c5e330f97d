import { K } from '../../../trace/events.ts';
import type { StringTable } from '../../../trace/strings.ts';
import type { EventFormat, EventFormats } from './event-format.ts';
import { elementRef, findRef, NO_FIELD, refEnd, type FieldRef } from './field-ref.ts';
import type { ProbeDefinitions } from './probes.ts';
import { roleOf, type Role } from './role.ts';
import { slotRefs, SLOT_REFS } from './slot-fields.ts';

/** How a record becomes rows (record-decoder.ts). */
export const SHAPE = {
  /** One row of `kind`, columns by `steps`. */
  PLAIN: 0,
  EVTCHN_IOCTL: 1,
  PRIVCMD: 2,
  /** Slots fetched at read(): one row a slot. */
  IOREQ_READ: 3,
  /** Slots fetched at the NOTIFY ioctl. */
  IOREQ_NOTIFY: 4,
  DM_IOREQ: 5,
  PRINT: 6,
  IRQ_ENTRY: 7,
  /** One row of DOM0_OTHER with the event's name. */
  OTHER: 8,
  /** The kernel's handler of an ioreq port, and the slot of its vCPU if the probe fetches slots. */
  IOEVENTFD: 9,
  IRQFD: 10,
} as const;

/** Columns that a step can fill. */
export const COLUMN = { ADDR: 0, DATA: 1, ARG0: 2, ARG1: 3, ARG2: 4, ARG3: 5, DOMID: 6, PID: 7 } as const;

/** What the decoder does with the records of one event id. */
export interface EventBinding {
  readonly name: string;
  readonly shape: number;
  readonly kind: number;
  /** Of `name` in the string table; only OTHER and PRINT rows that keep it use it. */
  readonly nameId: number;
  readonly pid: FieldRef;
  /** A record shorter than this contradicts its format. */
  readonly minBytes: number;
  /** Rows that one record can become, at most. */
  readonly rows: number;
  /** PLAIN: pairs of column and field ref. */
  readonly steps: Int32Array;
  /** Field refs in the order that the shape's decoder reads them. */
  readonly refs: Int32Array;
  /** Ioreq slots, SLOT_REFS refs each. */
  readonly slots: Int32Array;
  /** The source has no plain probe on the same function, so this event also stands for that one. */
  readonly standsAlone: boolean;
}

type Step = readonly [column: number, ref: FieldRef];

/** Facts about the whole source that decide which of two probes on one function gives the row. */
export interface SourceRoles {
  readonly has: ReadonlySet<Role>;
}

export function sourceRoles(formats: Iterable<EventFormat>, probes: ProbeDefinitions): SourceRoles {
  const has = new Set<Role>();
  for (const format of formats) has.add(roleOf(format, probes, hasSlots));
  return { has };
}

/** Bindings of all formats of a source, by event id. */
export function bindFormats(
  formats: EventFormats,
  probes: ProbeDefinitions,
  strings: StringTable,
): Map<number, EventBinding> {
  const roles = sourceRoles(formats.byId.values(), probes);
  const bindings = new Map<number, EventBinding>();
  for (const [id, format] of formats.byId) bindings.set(id, bindEvent(format, probes, roles, strings));
  return bindings;
}

export function bindEvent(
  format: EventFormat,
  probes: ProbeDefinitions,
  roles: SourceRoles,
  strings: StringTable,
): EventBinding {
  const role = roleOf(format, probes, hasSlots);
  return bindRole(format, role, roles, strings) ?? other(format, strings);
}

function hasSlots(format: EventFormat): boolean {
  return slotRefs(format).length > 0;
}

/** The binding of an event by role; undefined if its fields do not bear that role out. */
function bindRole(
  format: EventFormat,
  role: Role,
  roles: SourceRoles,
  strings: StringTable,
): EventBinding | undefined {
  const ref = (...names: string[]): FieldRef => findRef(format, ...names);
  const plain = (kind: number, needed: readonly Step[], optional: readonly Step[] = []) =>
    needed.some(([, r]) => r === NO_FIELD)
      ? undefined
      : make(format, strings, { shape: SHAPE.PLAIN, kind, steps: [...needed, ...optional] });
  const { ADDR, DATA, ARG0, ARG1, DOMID, PID } = COLUMN;
  const ret: Step = [DATA, ref('ret', 'retval')];
  switch (role) {
    case 'sched_switch':
      return plain(
        K.DOM0_SCHED_SWITCH,
        [[ARG0, ref('next_pid')]],
        [
          [PID, ref('prev_pid')],
          [ARG1, ref('prev_state')],
        ],
      );
    case 'sched_waking':
    case 'sched_wakeup':
      return plain(
        role === 'sched_waking' ? K.DOM0_SCHED_WAKING : K.DOM0_SCHED_WAKEUP,
        [[ARG0, ref('pid')]],
        [[ARG1, ref('target_cpu')]],
      );
    case 'irq_entry': {
      const name = format.fields.find((f) => f.name === 'name' && (f.dataLoc || f.relLoc) && f.size === 4);
      if (ref('irq') === NO_FIELD || name === undefined) return undefined;
      // Third value: what a relative location counts from.
      const nameAt = name.offset * 32 + 4;
      const refs = [ref('irq'), nameAt, name.relLoc ? name.offset + 4 : 0];
      return make(format, strings, { shape: SHAPE.IRQ_ENTRY, kind: K.DOM0_IRQ_ENTRY, refs, ends: [nameAt] });
    }
    case 'irq_exit':
      return plain(K.DOM0_IRQ_EXIT, [[ARG0, ref('irq')]], [[ARG1, ref('ret')]]);
    case 'sys_enter': {
      const args = format.fields.find((f) => f.name === 'args');
      return plain(
        K.DOM0_SYS_ENTER,
        [[ARG0, ref('id')]],
        [
          [ADDR, elementRef(args, 6, 0)],
          [DATA, elementRef(args, 6, 1)],
        ],
      );
    }
    case 'sys_exit':
      return plain(K.DOM0_SYS_EXIT, [[ARG0, ref('id')]], [ret]);
    case 'print': {
      const buf = format.fields.find((f) => f.name === 'buf');
      if (buf?.dataLoc !== false) return undefined;
      return make(format, strings, {
        shape: SHAPE.PRINT,
        kind: K.DOM0_MARKER,
        refs: [buf.offset],
        minBytes: buf.offset,
      });
    }
    case 'evtchn_irq':
      return plain(K.DOM0_EVTCHN_IRQ, [[ARG1, ref('port')]], [[ARG0, ref('irq')]]);
    case 'evtchn_read':
      return plain(K.DOM0_EVTCHN_READ, []);
    case 'evtchn_read_ret':
      return plain(K.DOM0_EVTCHN_READ_RET, [], [ret]);
    case 'evtchn_write':
      return plain(K.DOM0_EVTCHN_WRITE, [[ARG1, ref('port')]]);
    case 'evtchn_ioctl_ret':
      return plain(K.DOM0_EVTCHN_IOCTL_RET, [], [ret]);
    case 'evtchn_bind':
      return plain(K.DOM0_EVTCHN_BIND, [[ARG1, ref('port')]]);
    case 'lateeoi':
      return plain(K.DOM0_LATEEOI, [[ARG0, ref('irq')]], [[ARG1, ref('flags')]]);
    case 'privcmd_ret':
      return plain(K.DOM0_PRIVCMD_RET, [], [ret]);
    case 'evtchn_ioctl': {
      if (ref('cmd') === NO_FIELD) return undefined;
      const refs = [ref('cmd'), ref('port')];
      return make(format, strings, { shape: SHAPE.EVTCHN_IOCTL, kind: K.DOM0_EVTCHN_IOCTL, refs });
    }
    case 'privcmd': {
      if (ref('cmd') === NO_FIELD) return undefined;
      return make(format, strings, { shape: SHAPE.PRIVCMD, kind: K.DOM0_PRIVCMD, refs: dmOpRefs(format) });
    }
    case 'dm_op':
      // Both probes see the ioctl route; the one at the ioctl is kept, so that no call counts twice.
      if (ref('op') === NO_FIELD || roles.has.has('privcmd')) return undefined;
      return make(format, strings, { shape: SHAPE.PRIVCMD, kind: K.DOM0_DM_OP, refs: dmOpRefs(format) });
    case 'ioeventfd': {
      const refs = [ref('vcpu'), ref('port'), ref('irq'), ref('dom', 'domid')];
      if (refs[0] === NO_FIELD || refs[1] === NO_FIELD) return undefined;
      const slots = slotRefs(format);
      return make(format, strings, { shape: SHAPE.IOEVENTFD, kind: K.DOM0_IOEVENTFD, refs, slots });
    }
    case 'ioeventfd_ret':
      return ret[1] === NO_FIELD ? undefined : plain(K.DOM0_IOEVENTFD_RET, [ret]);
    case 'irqfd': {
      const refs = [ref('flags'), ref('dom', 'domid'), ref('op'), ref('irq'), ref('level')];
      return make(format, strings, { shape: SHAPE.IRQFD, kind: K.DOM0_IRQFD, refs, named: true });
    }
    case 'ioreq_read':
      return make(format, strings, {
        shape: SHAPE.IOREQ_READ,
        kind: K.DOM0_IOREQ_DELIVERED,
        slots: slotRefs(format),
        standsAlone: !roles.has.has('evtchn_read'),
      });
    case 'ioreq_notify':
      return make(format, strings, {
        shape: SHAPE.IOREQ_NOTIFY,
        kind: K.DOM0_IOREQ_ANSWERED,
        refs: [ref('cmd'), ref('port')],
        slots: slotRefs(format),
        standsAlone: !roles.has.has('evtchn_ioctl'),
      });
    case 'dm_ioreq': {
      const refs = [ref('addr'), ref('data'), ref('size'), ref('eport', 'port'), ref('bits'), ref('type')];
      if ([refs[0], refs[1], refs[4], refs[5]].includes(NO_FIELD)) return undefined;
      return make(format, strings, { shape: SHAPE.DM_IOREQ, kind: K.DM_IOREQ, slots: Int32Array.from(refs) });
    }
    case 'dm_set_irq':
      return plain(
        K.DM_SET_IRQ,
        [
          [ARG0, ref('irq')],
          [ARG1, ref('level')],
        ],
        [[DOMID, ref('dom', 'domid')]],
      );
    case 'other':
      return undefined;
  }
}

function dmOpRefs(format: EventFormat): FieldRef[] {
  const names = [['cmd'], ['dom', 'domid'], ['num', 'nr'], ['op'], ['a0'], ['a1'], ['a2']];
  return names.map((n) => findRef(format, ...n));
}

function other(format: EventFormat, strings: StringTable): EventBinding {
  return make(format, strings, { shape: SHAPE.OTHER, kind: K.DOM0_OTHER, named: true });
}

/** For records of an id that no format explains. */
export function unknownBinding(name: string, strings: StringTable): EventBinding {
  const format = { system: '', name, id: 0, fields: [], printFmt: '' };
  return make(format, strings, { shape: SHAPE.OTHER, kind: K.DOM0_OTHER, named: true });
}

interface Plan {
  shape: number;
  kind: number;
  steps?: readonly Step[];
  refs?: readonly number[];
  ends?: readonly FieldRef[];
  slots?: Int32Array;
  minBytes?: number;
  standsAlone?: boolean;
  named?: boolean;
}

/** All bindings are made here, so that they share one hidden class in the loop over records. */
function make(format: EventFormat, strings: StringTable, plan: Plan): EventBinding {
  const commonPid = findRef(format, 'common_pid');
  // A format-less record has the header all the same (linux/trace_events.h, struct trace_entry).
  const pid = commonPid === NO_FIELD ? 4 * 32 + 16 + 4 : commonPid;
  const steps = (plan.steps ?? []).filter(([, ref]) => ref !== NO_FIELD);
  const slots = plan.slots ?? new Int32Array(0);
  const usesRefs = plan.shape !== SHAPE.PRINT && plan.shape !== SHAPE.IRQ_ENTRY;
  const refs = plan.refs ?? [];
  const used = [pid, ...steps.map(([, ref]) => ref), ...slots, ...(plan.ends ?? [])];
  if (usesRefs) used.push(...refs);
  else if (plan.shape === SHAPE.IRQ_ENTRY) used.push(refs[0] ?? NO_FIELD);
  return {
    name: format.name,
    shape: plan.shape,
    kind: plan.kind,
    nameId: plan.named === true ? strings.intern(format.name) : 0,
    pid,
    minBytes: Math.max(plan.minBytes ?? 0, ...used.map(refEnd)),
    rows: 1 + slots.length / SLOT_REFS,
    steps: Int32Array.from(steps.flat()),
    refs: Int32Array.from(refs),
    slots,
    standsAlone: plan.standsAlone ?? false,
  };
}
