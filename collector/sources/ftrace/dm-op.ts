import type { EventBatch } from '../../../trace/columns.ts';
import { K } from '../../../trace/events.ts';
import { NO_DOMID, NO_VCPU } from '../../../trace/ids.ts';
import type { EventBinding } from './binding.ts';
import { readLow } from './field-ref.ts';

/** IOCTL_PRIVCMD_DM_OP: linux include/uapi/xen/privcmd.h. */
const PRIVCMD_DM_OP = 0x105005;
/** xen/include/public/hvm/dm_op.h: the one that moves an interrupt line, and the last one. */
const DM_OP_SET_IRQ_LEVEL = 19;
const DM_OP_LAST = 20;
/** linux drivers/xen/privcmd.c, dm_op_max_nr_bufs. */
const DM_OP_MAX_BUFS = 16;
/** xen/include/public/xen.h, DOMID_FIRST_RESERVED. */
export const DOMID_FIRST_RESERVED = 0x7ff0;
/** GIC architecture: SPIs are 32 to 1019. */
const SPI_FIRST = 32;
const SPI_LAST = 1019;
/** linux include/uapi/linux/eventpoll.h. */
const EPOLLIN = 1;

/**
 * A privcmd ioctl or the dm_op hypercall itself. A fetch that faults leaves what was in the buffer before,
 * so a dm_op is believed only if buffer count, op, domain and, for an interrupt line, its number and level
 * can be what the hypercall takes.
 */
export function privcmd(
  binding: EventBinding,
  view: DataView,
  base: number,
  ts: number,
  cpu: number,
  pid: number,
  out: EventBatch,
): void {
  const refs = binding.refs;
  const domRef = refs[1]!;
  // What the probe does not fetch is taken as right; the hypercall's own probe has no command.
  const cmd = refs[0]! < 0 ? PRIVCMD_DM_OP : readLow(view, base, refs[0]!);
  const domid = domRef < 0 ? NO_DOMID : readLow(view, base, domRef);
  const num = refs[2]! < 0 ? 1 : readLow(view, base, refs[2]!);
  const op = readLow(view, base, refs[3]!);
  const a0 = readLow(view, base, refs[4]!);
  const a1 = readLow(view, base, refs[5]!);
  const believable =
    cmd === PRIVCMD_DM_OP &&
    op >= 1 &&
    op <= DM_OP_LAST &&
    num >= 1 &&
    num <= DM_OP_MAX_BUFS &&
    (domRef < 0 || domid < DOMID_FIRST_RESERVED);
  const isLine = believable && op === DM_OP_SET_IRQ_LEVEL && refs[4]! >= 0 && refs[5]! >= 0;
  if (!believable || (isLine && (a0 < SPI_FIRST || a0 > SPI_LAST || (a1 & 0xff) > 1))) {
    const row = out.push(ts, K.DOM0_PRIVCMD, cpu, NO_DOMID, NO_VCPU, pid);
    out.arg0[row] = cmd;
  } else if (isLine) {
    const row = out.push(ts, K.DOM0_SET_IRQ_LEVEL, cpu, domid, NO_VCPU, pid);
    out.arg0[row] = a0;
    out.arg1[row] = a1 & 0xff;
  } else {
    const row = out.push(ts, K.DOM0_DM_OP, cpu, domid, NO_VCPU, pid);
    out.arg0[row] = op;
    out.arg1[row] = a0;
    out.arg2[row] = a1;
    out.arg3[row] = readLow(view, base, refs[6]!);
  }
}

/**
 * A wake-up of an irqfd. It injects only if the eventfd has become readable; and what was prepared for it is
 * believed only if it can be a line that goes up or down.
 */
export function irqfd(
  binding: EventBinding,
  view: DataView,
  base: number,
  ts: number,
  cpu: number,
  pid: number,
  out: EventBatch,
): void {
  const refs = binding.refs;
  if (refs[0]! >= 0 && (readLow(view, base, refs[0]!) & EPOLLIN) === 0) {
    const row = out.push(ts, K.DOM0_OTHER, cpu, NO_DOMID, NO_VCPU, pid);
    out.arg0[row] = binding.nameId;
    return;
  }
  const domid = refs[1]! < 0 ? NO_DOMID : readLow(view, base, refs[1]!);
  const op = refs[2]! < 0 ? DM_OP_SET_IRQ_LEVEL : readLow(view, base, refs[2]!);
  const irq = readLow(view, base, refs[3]!);
  const level = refs[4]! < 0 ? 1 : readLow(view, base, refs[4]!);
  const believable =
    op === DM_OP_SET_IRQ_LEVEL &&
    irq >= SPI_FIRST &&
    irq <= SPI_LAST &&
    level <= 1 &&
    (refs[1]! < 0 || domid < DOMID_FIRST_RESERVED);
  const row = out.push(ts, binding.kind, cpu, believable ? domid : NO_DOMID, NO_VCPU, pid);
  out.arg0[row] = believable ? irq : 0;
  out.arg1[row] = believable ? level : 0;
}
