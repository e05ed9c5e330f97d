import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REG_CONFIG, VIRTIO_MMIO_REGISTERS } from '../../trace/virtio-mmio.ts';
import { F_VERSION_1 } from '../features.ts';
import { BlockDevice } from '../models/block.ts';
import { MemoryDisk } from '../models/disk.ts';
import { RAM_BASE, ready, rig, type Rig } from '../testing/rig.ts';

const model = (): BlockDevice => new BlockDevice({ disk: new MemoryDisk(new Uint8Array(8192)) });
const registers = ({ device }: Rig): Record<string, string> =>
  Object.fromEntries(VIRTIO_MMIO_REGISTERS.map((r) => [r.name, device.read(r.offset, 4).toString(16)]));

describe('virtio-mmio registers', () => {
  it('reads of a fresh legacy and a fresh modern device', () => {
    const legacy = registers(rig(model(), 'legacy'));
    const modern = registers(rig(model(), 'split'));
    expect({ legacy, modern }).toMatchInlineSnapshot(`
      {
        "legacy": {
          "ConfigGeneration": "0",
          "DeviceFeatures": "31006ed4",
          "DeviceFeaturesSel": "0",
          "DeviceID": "2",
          "DriverFeatures": "0",
          "DriverFeaturesSel": "0",
          "GuestPageSize": "0",
          "InterruptACK": "0",
          "InterruptStatus": "0",
          "MagicValue": "74726976",
          "QueueAlign": "0",
          "QueueDescHigh": "0",
          "QueueDescLow": "0",
          "QueueDeviceHigh": "0",
          "QueueDeviceLow": "0",
          "QueueDriverHigh": "0",
          "QueueDriverLow": "0",
          "QueueNotify": "0",
          "QueueNum": "0",
          "QueueNumMax": "400",
          "QueuePFN": "0",
          "QueueReady": "0",
          "QueueReset": "0",
          "QueueSel": "0",
          "SHMBaseHigh": "0",
          "SHMBaseLow": "0",
          "SHMLenHigh": "0",
          "SHMLenLow": "0",
          "SHMSel": "0",
          "Status": "0",
          "VendorID": "554d4551",
          "Version": "1",
        },
        "modern": {
          "ConfigGeneration": "0",
          "DeviceFeatures": "30006e54",
          "DeviceFeaturesSel": "0",
          "DeviceID": "2",
          "DriverFeatures": "0",
          "DriverFeaturesSel": "0",
          "GuestPageSize": "0",
          "InterruptACK": "0",
          "InterruptStatus": "0",
          "MagicValue": "74726976",
          "QueueAlign": "0",
          "QueueDescHigh": "0",
          "QueueDescLow": "0",
          "QueueDeviceHigh": "0",
          "QueueDeviceLow": "0",
          "QueueDriverHigh": "0",
          "QueueDriverLow": "0",
          "QueueNotify": "0",
          "QueueNum": "0",
          "QueueNumMax": "400",
          "QueuePFN": "0",
          "QueueReady": "0",
          "QueueReset": "0",
          "QueueSel": "0",
          "SHMBaseHigh": "ffffffff",
          "SHMBaseLow": "ffffffff",
          "SHMLenHigh": "ffffffff",
          "SHMLenLow": "ffffffff",
          "SHMSel": "0",
          "Status": "0",
          "VendorID": "554d4551",
          "Version": "2",
        },
      }
    `);
  });

  it('reads 0 and ignores writes of odd sizes, unknown offsets and unknown queues', () => {
    const { device } = rig(model(), 'split');
    for (const [offset, size] of [
      [0, 1],
      [0, 2],
      [0, 8],
      [2, 4],
      [0x48, 4],
      [0xfe, 4],
    ] as const) {
      expect(device.read(offset, size)).toBe(0);
      device.write(offset, size, 0xffff_ffff);
    }
    device.write(0x30, 4, 5);
    expect(device.read(0x34, 4)).toBe(0);
    device.write(0x44, 4, 1);
    expect(device.read(0x44, 4)).toBe(0);
    expect(device.read(REG_CONFIG + 0x3b, 4)).toBe(0xffff_ffff);
    expect(device.read(REG_CONFIG + 0xff, 1)).toBe(0xff);
  });

  it('goes through the status machine: features are accepted once, bits stay until a reset', () => {
    const r = rig(model(), 'split');
    const { driver, levels } = r;
    driver.set('Status', 1);
    driver.set('Status', 3);
    driver.accept([1 << 30, 1]);
    driver.set('Status', 0xb);
    expect(driver.get('Status'), 'a feature that was not offered').toBe(3);
    driver.accept([0, 1]);
    driver.set('Status', 0xb);
    expect(driver.get('Status')).toBe(0xb);
    driver.accept([1 << 9, 1]);
    driver.set('Status', 0xf);
    expect(r.device.negotiated).toEqual([0, 1]);
    driver.set('Status', 1);
    expect(driver.get('Status')).toBe(0xf);
    driver.set('Status', 0);
    expect(driver.get('Status')).toBe(0);
    expect(levels).toEqual([0]);
  });

  it('keeps a queue that is enabled as it is, and takes no notification before DRIVER_OK', () => {
    const { driver, device } = rig(model(), 'split');
    driver.set('Status', 3);
    driver.accept([0, 1]);
    driver.set('Status', 0xb);
    const queue = driver.setUpQueue(0, 8, false);
    driver.queues.push(queue);
    driver.set('QueueNum', 4);
    expect(driver.get('QueueReady')).toBe(1);
    expect(device.state.queues[0]?.num).toBe(8);
    driver.offer(0, [new Uint8Array(16).fill(4, 0, 1)], [1]);
    driver.kick(0);
    expect(queue.used()).toEqual([]);
    driver.set('Status', 0xf);
    driver.kick(0);
    expect(queue.used().length).toBe(1);
  });

  it('lays legacy rings out by size and alignment', () => {
    const { driver, device } = rig(model(), 'legacy');
    const [queue] = device.state.queues;
    driver.set('GuestPageSize', 4096);
    driver.set('QueueNum', 32);
    driver.set('QueueAlign', 64);
    driver.set('QueuePFN', RAM_BASE / 4096);
    expect(queue).toMatchObject({
      ready: true,
      desc: RAM_BASE,
      driver: RAM_BASE + 512,
      device: RAM_BASE + 640,
    });
    expect(driver.get('QueuePFN')).toBe(RAM_BASE / 4096);
    driver.set('QueueAlign', 48);
    expect(queue?.align).toBe(64);
    driver.set('QueuePFN', 0);
    expect([driver.get('QueuePFN'), device.state.guestPageShift]).toEqual([0, 12]);
  });

  it('resets one queue (RING_RESET) and serves it again after it is set up anew', () => {
    const { driver, device } = ready(model(), 'split', [8]);
    driver.request(0, [new Uint8Array(16).fill(4, 0, 1)], [1]);
    driver.set('QueueSel', 0);
    driver.set('QueueReset', 1);
    expect(driver.get('QueueReset')).toBe(0);
    expect(driver.get('QueueReady')).toBe(0);
    expect(device.state.queues[0]).toMatchObject({ lastAvail: 0, usedIdx: 0, num: 256 });
    driver.queues[0] = driver.setUpQueue(0, 16, false);
    expect(driver.request(0, [new Uint8Array(16).fill(4, 0, 1)], [1]).length).toBe(1);
  });

  it('counts configuration changes and interrupts with both bits', () => {
    const { driver, device, levels } = ready(model(), 'split', [8]);
    device.configChanged();
    expect([driver.get('ConfigGeneration'), driver.get('InterruptStatus')]).toEqual([1, 3]);
    driver.set('InterruptACK', 1);
    expect(driver.get('InterruptStatus')).toBe(2);
    driver.set('InterruptACK', 2);
    expect(levels.slice(-3)).toEqual([1, 1, 0]);
  });

  it('needs a reset after a driver error, says so to a modern driver, and works after it', () => {
    for (const variant of ['legacy', 'split', 'packed'] as const) {
      const { driver, device } = ready(model(), variant, [8]);
      driver.request(0, [new Uint8Array(3)], [1]);
      expect(device.fault).toBe('a block request header of 3 bytes');
      const told = variant !== 'legacy';
      expect(driver.get('Status') & 0x40).toBe(told ? 0x40 : 0);
      expect(driver.get('InterruptStatus')).toBe(told ? 3 : 0);
      expect(driver.request(0, [new Uint8Array(16).fill(4, 0, 1)], [1])).toEqual([]);
      driver.setUp({ queues: [8] });
      expect(driver.request(0, [new Uint8Array(16).fill(4, 0, 1)], [1]).length).toBe(1);
    }
  });

  it('restores only what fits, and is as before when it does not', () => {
    const made = ready(model(), 'packed', [8]);
    const before = made.device.save();
    const bend = (change: (state: Record<string, never>) => void): unknown => {
      const copy = structuredClone(before) as Record<string, never>;
      change(copy);
      return copy;
    };
    const wrong: [string, (state: never) => void][] = [
      ['$.version', (s: { version: number }) => (s.version = 1)],
      ['$.transport.status', (s: { transport: { status: number } }) => (s.transport.status = 256)],
      ['$.transport.queues', (s: { transport: { queues: unknown[] } }) => (s.transport.queues = [])],
      [
        '$.transport.queues',
        (s: { transport: { queues: { usedIdx: number }[] } }) => (s.transport.queues[0]!.usedIdx = 8),
      ],
      [
        '$.transport.negotiated',
        (s: { transport: { negotiated: number[] } }) => (s.transport.negotiated[0] = 1),
      ],
      [
        '$.model.pending[0].status',
        (s: { model: { pending: unknown[] } }) =>
          s.model.pending.push({ queue: 0, id: 0, slots: 1, written: 1, statusGpa: 0 }),
      ],
    ];
    for (const [path, change] of wrong) {
      expect(() => {
        made.device.restore(bend(change as (state: Record<string, never>) => void));
      }).toThrow(`${path} is not as the format says`);
      expect(made.device.save()).toEqual(before);
    }
    expect(() => {
      made.device.restore(null);
    }).toThrow('$ is not as the format says');
  });

  it('survives any accesses, and saves and restores to the same at any point', () => {
    const access = fc.tuple(
      fc.oneof(fc.constantFrom(...VIRTIO_MMIO_REGISTERS.map((r) => r.offset)), fc.nat(0x1ff)),
      fc.constantFrom(1, 2, 4, 8),
      fc.oneof(
        fc.nat(16),
        fc.integer({ min: 0, max: 0xffff_ffff }),
        fc.constant(RAM_BASE),
        fc.constant(RAM_BASE >>> 12),
      ),
      fc.boolean(),
    );
    fc.assert(
      fc.property(
        fc.constantFrom('legacy', 'split', 'packed'),
        fc.array(access, { maxLength: 60 }),
        (variant, list) => {
          const a = ready(model(), variant, [8]);
          for (const [offset, size, value, write] of list) {
            if (!write) expect(a.device.read(offset, size)).toBeGreaterThanOrEqual(0);
            else a.device.write(offset, size, value);
          }
          const saved = a.device.save();
          const b = rig(model(), variant, { memory: a.ram });
          b.device.restore(JSON.parse(JSON.stringify(saved)));
          expect(registers(b)).toEqual(registers(a));
          expect(b.device.save()).toEqual(saved);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('offers VERSION_1 on the modern transport alone', () => {
    expect(rig(model(), 'legacy').driver.offered()[1]).toBe(0);
    expect((rig(model(), 'split').driver.offered()[1] >>> (F_VERSION_1 - 32)) & 1).toBe(1);
  });
});
