import type { DeviceModel } from '../device.ts';
import { MockDriver } from '../driver/mock-driver.ts';
import { F_EVENT_IDX } from '../features.ts';
import { RamBanks } from '../guest-memory.ts';
import { VirtioMmio, type VirtioMmioOptions } from '../transport/virtio-mmio.ts';

export const RAM_BASE = 0x4000_0000;
export const RAM_BYTES = 1 << 20;

/** A device with a driver and nothing else. */
export interface Rig {
  device: VirtioMmio;
  driver: MockDriver;
  ram: RamBanks;
  /** Each call of the interrupt line. */
  levels: number[];
}

export type Variant = 'legacy' | 'split' | 'packed';
export const VARIANTS: readonly Variant[] = ['legacy', 'split', 'packed'];

export function rig(model: DeviceModel, variant: Variant, more: Partial<VirtioMmioOptions> = {}): Rig {
  const levels: number[] = [];
  const ram = new RamBanks([{ base: RAM_BASE, bytes: new Uint8Array(RAM_BYTES) }]);
  const device = new VirtioMmio({
    version: variant === 'legacy' ? 1 : 2,
    packed: variant === 'packed',
    model,
    memory: ram,
    line: { set: (level) => levels.push(level) },
    ...more,
  });
  const driver = new MockDriver({ bus: device, memory: ram, base: RAM_BASE, length: RAM_BYTES });
  return { device, driver, ram, levels };
}

/** A rig whose driver is through with setting up; without event indices an interrupt comes for each completion. */
export function ready(model: DeviceModel, variant: Variant, queues: readonly number[]): Rig {
  const made = rig(model, variant);
  if (!made.driver.setUp({ queues, refuse: [F_EVENT_IDX] })) throw new Error('features refused');
  return made;
}
