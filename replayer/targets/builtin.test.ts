import { createHash } from 'node:crypto';
import { serialize } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { MockDriver } from '../../devices/driver/mock-driver.ts';
import { F_RING_PACKED, features } from '../../devices/features.ts';
import { Recording } from '../recording/load.ts';
import { ReplayRun } from '../run.ts';
import type { DevicePlan, FinalState, RecordedElement, RecordedUsed } from '../target.ts';
import { batchesOf, shared, sharedPresent } from '../testing/recordings.ts';
import { framesOf } from './builtin-devices.ts';
import { BuiltinTarget, builtinTarget } from './builtin.ts';

const BASE = 0x0a00_0000;
const RAM = { base: 0x4000_0000, length: 1 << 20 };

/** A target whose only device is driven by the mock driver, transport 1. */
function live(plan: Omit<DevicePlan, 'transport' | 'base' | 'spi'>) {
  const lines: (0 | 1)[] = [];
  let answer = 0;
  const target = new BuiltinTarget(
    {},
    { devices: [{ ...plan, transport: 1, base: BASE + 0x200, spi: 49 }], ram: [RAM], timeoutMs: 1000 },
    {
      answer: (_, value) => (answer = value),
      line: (_, transport, level) => {
        expect(transport).toBe(1);
        lines.push(level);
      },
    },
  );
  target.start();
  const bus = {
    read: (offset: number, size: number): number => {
      target.read(0, BASE + 0x200 + offset, size);
      return answer;
    },
    write: (offset: number, size: number, value: number): void => {
      target.write(0, BASE + 0x200 + offset, size, value);
    },
  };
  const driver = new MockDriver({ bus, memory: target.memory, base: RAM.base, length: RAM.length });
  const use = (queue: number, index: number, elements: Partial<RecordedElement>[] = []): boolean =>
    target.used(1, {
      ...{ transport: 1, queue, ring: 0, index, size: 16 },
      elements: elements.map((one) => ({ id: 0, len: 0, buffers: [], racy: false, ...one })),
    });
  return { target, driver, lines, use };
}

const element = (bytes: Uint8Array, id = 0): RecordedElement => ({
  id,
  len: bytes.length,
  buffers: [{ gpa: 0, bytes }],
  racy: false,
});

const net = { kind: 'net', deviceId: 1, version: 2 } as const;
const NET_TX = 1;

describe('what a model has done shows when it had shown in the recording', () => {
  it('one element after the other, with its interrupt', () => {
    const { target, driver, lines, use } = live({ ...net, offered: features(5, 32) });
    expect(driver.setUp({ queues: [16, 16] })).toBe(true);
    const frame = (byte: number) => new Uint8Array(12 + 60).fill(byte);
    driver.offer(NET_TX, [frame(1)], []);
    driver.offer(NET_TX, [frame(2)], []);
    driver.kick(NET_TX);
    expect([driver.queue(NET_TX).used(), lines]).toEqual([[], []]);
    expect(use(NET_TX, 1)).toBe(true);
    expect(driver.queue(NET_TX).used()).toHaveLength(1);
    expect(lines).toEqual([1]);
    // The guest acknowledges before the second one: there is a second interrupt.
    expect([driver.interrupt(), driver.interrupt()]).toEqual([1, 0]);
    expect(use(NET_TX, 2)).toBe(true);
    expect(lines).toEqual([1, 0, 1]);
    expect(use(NET_TX, 3)).toBe(false);
    expect(
      target
        .final()
        .sent.get(1)
        ?.map((one) => one[0]),
    ).toEqual([1, 2]);
  });

  it('and is forgotten by a reset', () => {
    const { driver, use } = live({ ...net, offered: features(5, 32) });
    for (let round = 0; round < 2; round++) {
      driver.setUp({ queues: [16, 16] });
      driver.offer(NET_TX, [new Uint8Array(72)], []);
      driver.kick(NET_TX);
    }
    expect([use(NET_TX, 1), use(NET_TX, 2)]).toEqual([true, false]);
  });

  it('with packed rings, through the wrap of the ring', () => {
    const { target, driver } = live({ ...net, offered: features(5, 32, F_RING_PACKED) });
    expect(driver.setUp({ queues: [8, 8] })).toBe(true);
    const used = (index: number): RecordedUsed => ({
      ...{ transport: 1, queue: NET_TX, ring: 0, size: 8, elements: [], packed: true, index },
    });
    for (let i = 1; i <= 20; i++) {
      const place = (i % 8) | (Math.floor(i / 8) % 2 === 0 ? 0x8000 : 0);
      expect(target.used(0, used(place)), `${i} before`).toBe(false);
      driver.offer(NET_TX, [new Uint8Array(72)], []);
      driver.kick(NET_TX);
      expect(driver.queue(NET_TX).used()).toHaveLength(0);
      expect(target.used(0, used(place)), `${i} after`).toBe(true);
      expect(driver.queue(NET_TX).used()).toHaveLength(1);
    }
  });
});

describe('what came from outside', () => {
  it('is cut into frames by the header of mergeable buffers', () => {
    const first = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 65, 66);
    const alone = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 69);
    const elements = [element(first), element(Uint8Array.of(67, 68)), element(alone)];
    const text = (mergeable: boolean): string[] =>
      framesOf({ transport: 1 }, elements, 12, mergeable).map(({ frame }) => Buffer.from(frame).toString());
    expect(text(true)).toEqual(['ABCD', 'E']);
    expect(text(false)).toEqual(['AB', '', 'E']);
  });

  it('reaches the guest in as many pieces as it did', () => {
    const { driver, use, target } = live({ kind: 'console', deviceId: 3, version: 2, offered: features(32) });
    driver.setUp({ queues: [16, 16] });
    for (let i = 0; i < 4; i++) driver.offer(0, [], [64]);
    driver.kick(0);
    expect(use(0, 2, [element(Uint8Array.of(104)), element(Uint8Array.of(105, 33))])).toBe(true);
    const got = driver.queue(0).used();
    expect(got.map((chain) => Buffer.from(driver.written(chain)).toString())).toEqual(['h', 'i!']);
    driver.offer(1, [Uint8Array.of(111, 107)], []);
    driver.kick(1);
    expect(
      target
        .final()
        .output.get(1)
        ?.map((bytes) => Buffer.from(bytes).toString()),
    ).toEqual(['ok']);
  });

  it('cannot be made up from a hash', () => {
    const { driver, use } = live({ kind: 'console', deviceId: 3, version: 2, offered: features(32) });
    driver.setUp({ queues: [16, 16] });
    driver.offer(0, [], [64]);
    driver.kick(0);
    expect(() => use(0, 1, [{ len: 3, sha: [{ gpa: 0, length: 3, sha256: 'ab' }] }])).toThrow(
      'device 1: what it received was not recorded; expected 3 bytes of element 0, got their hash',
    );
  });
});

describe('devices as they were', () => {
  const config = (bytes: Record<number, number>) => {
    const plan = { bytes: new Uint8Array(256), seen: new Uint8Array(256) };
    for (const [at, byte] of Object.entries(bytes)) {
      plan.bytes[Number(at)] = byte;
      plan.seen[Number(at)] = 1;
    }
    return plan;
  };

  it('a disk with its geometry and segments', () => {
    const { driver } = live({
      ...{ kind: 'blk', deviceId: 2, version: 2, queueNumMax: 512 },
      disk: { bytes: new Uint8Array(4096), readOnly: false, serial: 'x' },
      config: config({ 12: 126, 13: 0, 14: 0, 15: 0, 16: 7, 17: 1, 18: 3, 19: 5 }),
    });
    expect([
      driver.config(12, 4),
      driver.config(0x10, 2),
      driver.config(0x12, 1),
      driver.config(0x13, 1),
    ]).toEqual([126, 263, 3, 5]);
    expect(driver.get('QueueNumMax')).toBe(512);
  });

  it('not without the disk', () => {
    expect(() => live({ kind: 'blk', deviceId: 2, version: 1 })).toThrow(
      'block device 1 needs its disk as it was at the start; expected --disk 1=IMAGE',
    );
  });

  it('a console of several ports, one of them left out and one without another end', () => {
    const portList = [
      { id: 1, console: false, name: 'agent', connected: true },
      { id: 2, console: false, name: '', connected: false },
    ];
    const { driver, use } = live({ kind: 'console', deviceId: 3, version: 2, ports: 4, portList });
    expect(driver.config(4, 4)).toBe(4);
    driver.setUp({ queues: [16, 16, 16, 16], refuse: [29] });
    const message = (port: number, event: number, value: number): Uint8Array =>
      Uint8Array.of(port, 0, 0, 0, event, 0, value, 0);
    for (let i = 0; i < 10; i++) driver.offer(2, [], [64]);
    const told = (index: number): string[] => {
      expect(use(2, index)).toBe(true);
      return driver
        .queue(2)
        .used()
        .map((chain) => Buffer.from(driver.written(chain)).toString('hex'));
    };
    driver.request(3, [message(0, 0, 1)], []);
    expect(told(2)).toEqual(['0100000001000100', '0200000001000100']);
    for (const port of [0, 1, 2]) driver.request(3, [message(port, 3, 1)], []);
    expect(told(4)).toEqual([
      `0100000007000100${Buffer.from('agent\0').toString('hex')}`,
      '0100000006000100',
    ]);
    // The other end of port 2 comes later.
    expect(use(2, 5, [element(message(2, 6, 1))])).toBe(true);
    const [opened] = driver.queue(2).used();
    expect(Buffer.from(driver.written(opened!)).toString('hex')).toBe('0200000006000100');
  });

  it('no memory but RAM', () => {
    const { target } = live({ ...net });
    expect(() => {
      target.setMemory(0x1000, new Uint8Array(4));
    }).toThrow('the recording names memory that is not RAM; got 4 bytes at 0x1000');
  });
});

function builtin({ target }: ReplayRun): BuiltinTarget {
  if (target instanceof BuiltinTarget) return target;
  throw new Error('not the built-in target');
}

const MODERN = 'qemu-virt/modern-blk-net-serial-gpu.jsonl';
describe.skipIf(!sharedPresent(MODERN))('save and restore', () => {
  it('give the same end as an undisturbed replay', async () => {
    const recording = new Recording(batchesOf(shared(MODERN)));
    const options = { disks: new Map([[0, shared('qemu-virt/disk-start.img')]]) };
    const run = new ReplayRun(recording, builtinTarget(), options);
    await run.start();
    await run.run(Math.floor(recording.rows / 2));
    const target = builtin(run);
    const saved = target.save();
    const memory = target.memory.banks.map(({ bytes }) => bytes.slice());
    await run.run();
    const end = target.final();

    const again = new ReplayRun(recording, builtinTarget(), options);
    await again.start();
    await again.run(Math.floor(recording.rows / 4));
    const other = builtin(again);
    other.restore(saved);
    for (const [i, { bytes }] of other.memory.banks.entries()) bytes.set(memory[i]!);
    again.next = Math.floor(recording.rows / 2);
    await again.run();
    expect(again.divergences).toEqual([]);
    const result = other.final();
    for (const key of ['disks', 'sent', 'output', 'screens'] as const) {
      expect(result[key].size).toBeGreaterThan(0);
      const digest = (facts: FinalState): string =>
        createHash('sha256')
          .update(serialize([...facts[key]]))
          .digest('hex');
      expect(digest(result)).toBe(digest(end));
    }
    await run.stop();
    await again.stop();
  });
});
