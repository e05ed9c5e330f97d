import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { DevicePlan } from '../../target.ts';

/** Recordings of real device models that lie beside the project; the format is told in the README there. */
const SHARED = new URL('../../../../shared/captures/', import.meta.url).pathname;

export const LEGACY = 'xen-arm-replay/blk-legacy.jsonl';
export const MODERN = 'qemu-virt/modern-blk-net-serial-gpu.jsonl';

export function recordingPresent(name: string): boolean {
  const present = existsSync(`${SHARED}${name}.xz`);
  if (!present) console.warn(`SKIPPED: replay of ${name}, because it is not on this machine`);
  return present;
}

export function unpacked(name: string): Buffer {
  return execFileSync('xz', ['-dc', `${SHARED}${name}.xz`], { maxBuffer: 1 << 28 });
}

const plan = (
  transport: number,
  kind: DevicePlan['kind'],
  version: 1 | 2,
  base: number,
  more: Partial<DevicePlan>,
): DevicePlan => ({
  transport,
  kind,
  deviceId: { blk: 2, net: 1, console: 3, gpu: 16 }[kind],
  version,
  base: base + 0x200 * transport,
  spi: 33 + transport,
  ...more,
});

/** The devices of LEGACY and MODERN, each with a fresh copy of its disk. */
export function legacyDevices(disk: Buffer): DevicePlan[] {
  const bytes = Uint8Array.from(disk);
  return [plan(0, 'blk', 1, 0x0200_0000, { disk: { bytes, readOnly: false, serial: '' } })];
}

export function modernDevices(disk: Buffer): DevicePlan[] {
  const bytes = Uint8Array.from(disk);
  return [
    plan(0, 'blk', 2, 0x0a00_0000, { disk: { bytes, readOnly: false, serial: '' } }),
    plan(1, 'net', 2, 0x0a00_0000, { mac: Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56) }),
    plan(2, 'console', 2, 0x0a00_0000, {}),
    plan(3, 'gpu', 2, 0x0a00_0000, {}),
  ];
}
