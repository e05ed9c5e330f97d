import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DeviceModel } from './device.ts';
import { BlockDevice } from './models/block.ts';
import { ConsoleDevice } from './models/console.ts';
import { MemoryDisk } from './models/disk.ts';
import { GpuDevice } from './models/gpu.ts';
import { NetDevice } from './models/net.ts';
import { MockDriver } from './driver/mock-driver.ts';
import { RamBanks } from './guest-memory.ts';
import { VirtioMmio } from './transport/virtio-mmio.ts';
import { RAM_BASE, VARIANTS, type Variant } from './testing/rig.ts';

/** Small, so that wild addresses often hit the rings themselves. */
const RAM = 64 << 10;
const CANARY = 4096;
const NUM = 8;

/** A device under attack, and what can happen to it from outside the guest while its memory is wild. */
interface Victim {
  model: DeviceModel;
  poke: () => void;
}

const MODELS: Record<string, { make: () => Victim; queues: number }> = {
  block: {
    make: () => {
      const disk = new MemoryDisk(new Uint8Array(64 << 10).fill(0x5a));
      const model = new BlockDevice({ disk, hold: true });
      const poke = (): void => {
        while (model.held.length > 0) model.complete(model.held.length - 1);
      };
      return { model, poke };
    },
    queues: 1,
  },
  net: {
    make: () => {
      const model = new NetDevice({ mac: new Uint8Array(6), backend: { transmit: () => undefined } });
      const poke = (): void => {
        for (const bytes of [0, 14, 60, 1514, 9000]) model.receive(new Uint8Array(bytes));
      };
      return { model, poke };
    },
    queues: 3,
  },
  console: {
    make: () => {
      const model = new ConsoleDevice({ backend: { output: () => undefined }, maxPorts: 2 });
      const poke = (): void => {
        model.input(0, new Uint8Array(300));
      };
      return { model, poke };
    },
    queues: 6,
  },
  gpu: {
    make: () => {
      const model = new GpuDevice();
      const poke = (): void => {
        model.screen();
      };
      return { model, poke };
    },
    queues: 2,
  },
};

const address = fc.oneof(
  fc.nat(RAM).map((offset) => [RAM_BASE + offset, 0] as const),
  fc.constantFrom(
    [0, 0],
    [RAM_BASE + RAM - 8, 0],
    [RAM_BASE, 0x8000_0000],
    [0xffff_ffff, 0xffff_ffff],
    [RAM_BASE, 1],
  ),
);
const length = fc.oneof(
  fc.constantFrom(0, 1, 8, 16, 24, 32, 48, 56, 128, 512, 0xffff_ffff, 0x8000_0000, RAM, RAM + 1),
  fc.nat(4096),
);
/** The last 4 bytes of a descriptor: flags and next (split), id and flags (packed). */
const tail = fc.tuple(fc.nat(0xffff), fc.oneof(fc.nat(NUM), fc.nat(0xffff)));
const descriptor = fc.record({
  address,
  length,
  tail,
  packedFlags: fc.constantFrom(0x80, 0x8000, 0, 0x8080),
});
const wild = fc.record({
  descriptors: fc.array(descriptor, { minLength: 4, maxLength: 3 * NUM }),
  /** Bytes at the start of the driver's free memory, where many of the addresses point. */
  bytes: fc.uint8Array({ minLength: 0, maxLength: 256 }),
  types: fc.constantFrom(0, 1, 4, 8, 11, 13, 0x101, 0x103, 0x105, 0x106, 0x10a, 0x300),
  heads: fc.array(fc.oneof(fc.nat(NUM), fc.nat(0xffff)), { minLength: NUM, maxLength: NUM }),
  ahead: fc.oneof(fc.integer({ min: 1, max: NUM }), fc.nat(0xffff)),
  polite: fc.boolean(),
});
type Wild = typeof wild extends fc.Arbitrary<infer T> ? T : never;

/** Overwrites the rings of one queue. `polite` keeps flags and links such that chains often get through. */
function scribble(ram: RamBanks, areas: readonly number[], variant: Variant, w: Wild): void {
  const [desc, driver] = areas as [number, number];
  for (const [i, d] of w.descriptors.slice(0, NUM).entries())
    writeDescriptor(ram, desc + 16 * i, variant, d, w.polite, i);
  if (variant === 'packed') return;
  for (const [i, head] of w.heads.entries())
    ram.setU16(driver + 4 + 2 * i, w.polite ? 2 * (head % (NUM / 2)) : head);
  ram.setU16(driver + 2, w.polite ? Math.min(w.ahead, NUM) : w.ahead);
}

function writeDescriptor(
  ram: RamBanks,
  at: number,
  variant: Variant,
  d: Wild['descriptors'][number],
  polite: boolean,
  index: number,
): void {
  const small = polite && index % 4 !== 3;
  ram.setU32(at, small ? RAM_BASE + RAM - 8192 + (d.address[0] & 0xfff) : d.address[0]);
  ram.setU32(at + 4, small ? 0 : d.address[1]);
  ram.setU32(at + 8, small ? (d.length % 600) + 1 : d.length);
  const flags = polite ? (index % 2 === 0 ? 1 : 2) : d.tail[0] & 7;
  if (variant === 'packed') {
    ram.setU16(at + 12, d.tail[1]);
    ram.setU16(at + 14, flags | (polite ? 0x80 : d.packedFlags));
  } else {
    ram.setU16(at + 12, flags);
    ram.setU16(at + 14, polite ? (index + 1) % NUM : d.tail[1]);
  }
}

describe.each(Object.entries(MODELS))('%s with hostile guest memory', (_, { make, queues }) => {
  it.each(VARIANTS)('over %s answers or needs a reset: no throw, no hang, nothing outside RAM', (variant) => {
    let completed = 0;
    let faults = 0;
    const property = fc.property(fc.array(wild, { minLength: 1, maxLength: 3 }), (rounds) => {
      const all = new Uint8Array(CANARY + RAM + CANARY).fill(0xc5);
      const bytes = all.subarray(CANARY, CANARY + RAM).fill(0);
      const ram = new RamBanks([{ base: RAM_BASE, bytes }]);
      const { model, poke } = make();
      const device = new VirtioMmio({
        version: variant === 'legacy' ? 1 : 2,
        packed: variant === 'packed',
        model,
        memory: ram,
        line: { set: () => undefined },
      });
      const driver = new MockDriver({ bus: device, memory: ram, base: RAM_BASE, length: RAM });
      driver.setUp({ queues: new Array<number>(queues).fill(NUM) });
      const free = driver.arena.mark();
      for (const w of rounds) {
        for (let queue = 0; queue < queues; queue++) {
          scribble(ram, driver.queue(queue).areas, variant, w);
          // Something that begins like a request, where the small addresses point; an indirect table behind it.
          bytes.set(w.bytes, RAM - 8192);
          ram.setU32(RAM_BASE + RAM - 8192, w.types);
          for (const [i, d] of w.descriptors.entries())
            writeDescriptor(ram, free + 16 * i, variant, d, w.polite, i);
          device.write(0x50, 4, queue);
          poke();
        }
        completed += device.state.queues.reduce((sum, q) => sum + q.usedIdx, 0);
        if (device.state.broken) faults++;
        device.restore(device.save());
      }
      expect(all.subarray(0, CANARY).every((byte) => byte === 0xc5)).toBe(true);
      expect(all.subarray(CANARY + RAM).every((byte) => byte === 0xc5)).toBe(true);
      // Whatever happened, a reset gives a device that works.
      bytes.fill(0);
      driver.arena.rewind(RAM_BASE);
      expect(driver.setUp({ queues: new Array<number>(queues).fill(NUM) })).toBe(true);
      expect(driver.get('Status') & 0x40).toBe(0);
    });
    fc.assert(property, { numRuns: 120 });
    // The generator is worth something only if it both gets through and breaks things.
    expect(completed).toBeGreaterThan(5);
    expect(faults).toBeGreaterThan(5);
  });
});
