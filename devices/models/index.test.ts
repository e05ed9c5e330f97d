import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { VIRTIO_DEVICE_NAMES } from '../../trace/virtio-mmio.ts';
import type { DeviceModel } from '../device.ts';
import {
  BlockDevice,
  CONFIG_SCHEMAS,
  configFieldName,
  ConsoleDevice,
  GpuDevice,
  MemoryDisk,
  NetDevice,
} from './index.ts';

const MODELS: readonly DeviceModel[] = [
  new BlockDevice({ disk: new MemoryDisk(new Uint8Array(512)) }),
  new NetDevice({ mac: new Uint8Array(6), backend: { transmit: () => undefined } }),
  new ConsoleDevice({ backend: { output: () => undefined } }),
  new GpuDevice(),
];

describe('device models', () => {
  it('are all listed: one format file each, under the name that reports use', () => {
    const formats = readdirSync(import.meta.dirname).filter((file) => file.endsWith('-format.ts'));
    expect(CONFIG_SCHEMAS.size).toBe(formats.length);
    expect(MODELS.map((model) => model.deviceId).sort()).toEqual([...CONFIG_SCHEMAS.keys()].sort());
    for (const model of MODELS) {
      expect(model.name).toBe(VIRTIO_DEVICE_NAMES[model.deviceId]);
      expect(CONFIG_SCHEMAS.get(model.deviceId)).toBe(model.configFields);
    }
  });

  it('have schemas in order, without overlap', () => {
    for (const { configFields, name } of MODELS)
      for (const [i, field] of configFields.entries())
        expect(field.offset, `${name} ${field.name}`).toBeGreaterThanOrEqual(
          i === 0 ? 0 : configFields[i - 1]!.offset + configFields[i - 1]!.size,
        );
  });

  it('name the bytes of their configuration space', () => {
    expect(configFieldName(2, 0x14)).toBe('blk_size');
    expect(configFieldName(1, 5)).toBe('mac');
    expect([configFieldName(2, 0x21), configFieldName(99, 0)]).toEqual([undefined, undefined]);
  });
});
