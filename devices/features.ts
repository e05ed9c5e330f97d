/**
 * Feature bits as two 32-bit halves: what the feature registers carry, and plain data in a saved state.
 * Numbers: VIRTIO 1.2, section 6 (reserved feature bits) and 6.3 (legacy).
 */
export type Features = readonly [low: number, high: number];

export const F_NOTIFY_ON_EMPTY = 24;
export const F_ANY_LAYOUT = 27;
export const F_INDIRECT_DESC = 28;
export const F_EVENT_IDX = 29;
export const F_VERSION_1 = 32;
export const F_RING_PACKED = 34;
export const F_RING_RESET = 40;

export const NO_FEATURES: Features = [0, 0];

export function features(...bits: readonly number[]): Features {
  let low = 0;
  let high = 0;
  for (const bit of bits) {
    if (bit < 32) low |= 1 << bit;
    else high |= 1 << (bit - 32);
  }
  return [low >>> 0, high >>> 0];
}

export function hasFeature([low, high]: Features, bit: number): boolean {
  return bit < 32 ? ((low >>> bit) & 1) === 1 : ((high >>> (bit - 32)) & 1) === 1;
}

export function union(a: Features, b: Features): Features {
  return [(a[0] | b[0]) >>> 0, (a[1] | b[1]) >>> 0];
}

export function without(a: Features, b: Features): Features {
  return [(a[0] & ~b[0]) >>> 0, (a[1] & ~b[1]) >>> 0];
}

export function isEmpty([low, high]: Features): boolean {
  return low === 0 && high === 0;
}
