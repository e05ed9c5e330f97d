import type { DeviceFacts } from '../../trace/manifest.ts';
import type { SpanBatch, SpanFamily } from '../../trace/spans.ts';
import { DIR_UNKNOWN, NO_DEVICE, NO_KEY } from '../../trace/spans.ts';
import { REG_QUEUE_NOTIFY, registerName } from '../../trace/virtio-mmio.ts';

export const GROUP_KEYS = ['device', 'register', 'queue', 'vcpu', 'direction'] as const;
export type GroupKey = (typeof GROUP_KEYS)[number];

const NONE = -1;

/**
 * The value of one grouping key for row `i`, as a small number; NONE (-1) if the key does not apply to the
 * family or is unknown. `register` holds the direction too: reads and writes of a register are two things.
 */
export function keyValue(family: SpanFamily, key: GroupKey, batch: SpanBatch, i: number): number {
  switch (key) {
    case 'device':
      return batch.device[i] === NO_DEVICE ? NONE : batch.device[i]!;
    case 'register':
      return family !== 'mmio' || batch.key[i] === NO_KEY
        ? NONE
        : (batch.key[i]! & 0xfffff) * 4 + (batch.dir[i]! & 3);
    case 'queue':
      if (family === 'request') return batch.key[i]!;
      return family === 'mmio' && batch.key[i] === REG_QUEUE_NOTIFY ? batch.value[i]! & 0xffff : NONE;
    case 'vcpu':
      return batch.vcpu[i] === 0xffff ? NONE : batch.vcpu[i]!;
    case 'direction':
      return batch.dir[i] === DIR_UNKNOWN ? NONE : batch.dir[i]!;
  }
}

/** The name shown for a key's value. */
export function keyLabel(
  family: SpanFamily,
  key: GroupKey,
  value: number,
  devices: readonly DeviceFacts[],
): Record<string, string | number> {
  switch (key) {
    case 'device':
      return { device: devices[value]?.name ?? `device ${value}` };
    case 'register':
      return { register: registerName(value >>> 2), direction: directionName('mmio', value & 3) };
    case 'queue':
      return { queue: value };
    case 'vcpu':
      return { vcpu: value };
    case 'direction':
      return { direction: directionName(family, value) };
  }
}

function directionName(family: SpanFamily, dir: number): string {
  if (family === 'request') return dir === 1 ? 'in' : 'out';
  return dir === 1 ? 'read' : dir === 0 ? 'write' : 'unknown';
}

/** One number for the values of several keys, or NONE if one of them does not apply. */
export function compositeKey(
  family: SpanFamily,
  keys: readonly GroupKey[],
  batch: SpanBatch,
  i: number,
): number {
  let composite = 0;
  for (const key of keys) {
    const value = keyValue(family, key, batch, i);
    if (value === NONE) return NONE;
    composite = composite * 2 ** KEY_BITS[key] + value;
  }
  return composite;
}

/** Bits a key's value takes in the composite; all five together stay below 2^53. */
export const KEY_BITS: Readonly<Record<GroupKey, number>> = {
  device: 8,
  register: 22,
  queue: 12,
  vcpu: 8,
  direction: 2,
};

export function compositeLabel(
  family: SpanFamily,
  keys: readonly GroupKey[],
  composite: number,
  devices: readonly DeviceFacts[],
): Record<string, string | number> {
  const labels: Record<string, string | number>[] = [];
  let rest = composite;
  for (const key of [...keys].reverse()) {
    const size = 2 ** KEY_BITS[key];
    const value = rest % size;
    rest = (rest - value) / size;
    labels.unshift(keyLabel(family, key, value, devices));
  }
  return Object.assign({}, ...labels) as Record<string, string | number>;
}
