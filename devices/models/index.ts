import type { ConfigField } from '../device.ts';
import { BLOCK_CONFIG, BLOCK_DEVICE_ID } from './block-format.ts';
import { CONSOLE_CONFIG, CONSOLE_DEVICE_ID } from './console-format.ts';
import { GPU_CONFIG, GPU_DEVICE_ID } from './gpu-format.ts';
import { NET_CONFIG, NET_DEVICE_ID } from './net-format.ts';

/** The configuration space of each device type that has a model here, by virtio device id. */
export const CONFIG_SCHEMAS: ReadonlyMap<number, readonly ConfigField[]> = new Map([
  [NET_DEVICE_ID, NET_CONFIG],
  [BLOCK_DEVICE_ID, BLOCK_CONFIG],
  [CONSOLE_DEVICE_ID, CONSOLE_CONFIG],
  [GPU_DEVICE_ID, GPU_CONFIG],
]);

/** Name of the configuration field that holds the byte at `offset`; undefined where the schema has none. */
export function configFieldName(deviceId: number, offset: number): string | undefined {
  return CONFIG_SCHEMAS.get(deviceId)?.find(
    (field) => offset >= field.offset && offset < field.offset + field.size,
  )?.name;
}

export { BlockDevice, type BlockOptions } from './block.ts';
export { ConsoleDevice, type ConsoleBackend, type ConsoleOptions } from './console.ts';
export { DiskError, MemoryDisk, type Disk } from './disk.ts';
export { GpuDevice, type GpuBackend, type GpuOptions } from './gpu.ts';
export { NetDevice, type NetBackend, type NetOptions } from './net.ts';
export { png } from './png.ts';
