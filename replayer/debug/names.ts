import type { Features } from '../../devices/features.ts';
import { hasFeature } from '../../devices/features.ts';
import { featureName } from '../feature-names.ts';
import type { DeviceKind } from '../target.ts';

/** Bits of the status register, lowest first (VIRTIO 1.2, 2.1). */
const STATUS: readonly (readonly [bit: number, name: string])[] = [
  [0x01, 'ACKNOWLEDGE'],
  [0x02, 'DRIVER'],
  [0x08, 'FEATURES_OK'],
  [0x04, 'DRIVER_OK'],
  [0x40, 'DEVICE_NEEDS_RESET'],
  [0x80, 'FAILED'],
];

export function statusText(status: number): string {
  const names = STATUS.filter(([bit]) => (status & bit) !== 0).map(([, name]) => name);
  return `0x${status.toString(16)} ${names.length === 0 ? '(reset)' : names.join(' ')}`;
}

export function interruptText(status: number): string {
  const names = [...((status & 1) !== 0 ? ['used buffers'] : []), ...((status & 2) !== 0 ? ['config'] : [])];
  return `0x${status.toString(16)}${names.length === 0 ? '' : ` ${names.join(', ')}`}`;
}

export function featureNames(kind: DeviceKind, bits: Features): string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 64; bit++) if (hasFeature(bits, bit)) names.push(featureName(kind, bit));
  return names;
}

export function featuresText(kind: DeviceKind, bits: Features): string {
  const hex = bits[1].toString(16) + bits[0].toString(16).padStart(8, '0');
  return `0x${hex.replace(/^0+(?=.)/, '')} ${featureNames(kind, bits).join(' ')}`.trim();
}

export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
