import type { EventField, EventFormat } from './event-format.ts';

/**
 * Where a field lies, packed into one number so that plans are flat integer arrays:
 * offset * 32 + signed * 16 + size (1, 2, 4 or 8 bytes). NO_FIELD = the event has no such field.
 */
export type FieldRef = number;
export const NO_FIELD = -1;

export const refOffset = (ref: FieldRef): number => ref >> 5;
export const refSize = (ref: FieldRef): number => ref & 15;
export const refSigned = (ref: FieldRef): boolean => (ref & 16) !== 0;
/** First byte behind the field; 0 if there is none. */
export const refEnd = (ref: FieldRef): number => (ref < 0 ? 0 : (ref >> 5) + (ref & 15));

export function makeRef(offset: number, size: number, signed: boolean): FieldRef {
  return size === 1 || size === 2 || size === 4 || size === 8
    ? offset * 32 + (signed ? 16 : 0) + size
    : NO_FIELD;
}

/** The first of `names` that the event has as a plain integer. */
export function findRef(format: EventFormat, ...names: string[]): FieldRef {
  for (const name of names) {
    const field = format.fields.find((f) => f.name === name && !f.dataLoc && !f.relLoc);
    const ref = field === undefined ? NO_FIELD : makeRef(field.offset, field.size, field.signed);
    if (ref !== NO_FIELD) return ref;
  }
  return NO_FIELD;
}

/** Element `index` of an array of 64-bit or 32-bit integers such as `unsigned long args[6]`. */
export function elementRef(field: EventField | undefined, count: number, index: number): FieldRef {
  if (field === undefined || field.size % count !== 0) return NO_FIELD;
  const size = field.size / count;
  return makeRef(field.offset + size * index, size, field.signed);
}

/** Low 32 bits of a field, sign-extended if it is signed and shorter. 0 if there is no such field. */
export function readLow(view: DataView, base: number, ref: FieldRef): number {
  if (ref < 0) return 0;
  const at = base + (ref >> 5);
  switch (ref & 31) {
    case 1:
      return view.getUint8(at);
    case 2:
      return view.getUint16(at, true);
    case 17:
      return view.getInt8(at) >>> 0;
    case 18:
      return view.getInt16(at, true) >>> 0;
    default:
      return view.getUint32(at, true);
  }
}

/** High 32 bits of a field: stored, or the extension of its sign. */
export function readHigh(view: DataView, base: number, ref: FieldRef): number {
  if (ref < 0) return 0;
  if ((ref & 15) === 8) return view.getUint32(base + (ref >> 5) + 4, true);
  if ((ref & 16) === 0) return 0;
  return readLow(view, base, ref) >>> 31 === 0 ? 0 : 0xffffffff;
}
