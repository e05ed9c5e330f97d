import type { EventFormat } from './event-format.ts';
import { findRef, NO_FIELD, type FieldRef } from './field-ref.ts';

/** Refs a slot takes in the flat array: addr, data, size, port, bits, type. */
export const SLOT_REFS = 6;

/** One 4 KiB page of slots of 32 bytes (xen/include/public/hvm/ioreq.h). */
const MAX_SLOTS = 128;

/**
 * Field refs of every ioreq slot that a probe fetches: fields a0, d0, s0, p0, b0, t0 for the slot of vCPU 0
 * and so on (addr, data, size, vp_eport, the bit-field byte at 30, type), or ra, rd, rs, rp, rb, rt where
 * there is one slot only. size and port may be missing; a slot without the others is none.
 */
export function slotRefs(format: EventFormat): Int32Array {
  const refs: FieldRef[] = [];
  if (!pushSlot(refs, format, (field) => `r${field}`)) {
    for (let slot = 0; slot < MAX_SLOTS; slot++) {
      if (!pushSlot(refs, format, (field) => `${field}${slot}`)) break;
    }
  }
  return Int32Array.from(refs);
}

function pushSlot(refs: FieldRef[], format: EventFormat, name: (field: string) => string): boolean {
  const found = ['a', 'd', 's', 'p', 'b', 't'].map((field) => findRef(format, name(field)));
  const [addr, data, , , bits, type] = found;
  if ([addr, data, bits, type].includes(NO_FIELD)) return false;
  refs.push(...found);
  return true;
}
