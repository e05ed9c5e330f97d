import { afterEach, describe, expect, it } from 'vitest';
import type { DevicePlan, RecordedElement, RecordedUsed } from '../../target.ts';
import { takeFrames } from './frames.ts';
import { deviceProperties } from './properties.ts';
import { RamFile } from './ram-file.ts';
import { appeared } from './ring-watch.ts';
import { readPixmap } from './screen.ts';

const element = (bytes: number[], more: Partial<RecordedElement> = {}): RecordedElement => ({
  id: 0,
  len: bytes.length,
  buffers: [{ gpa: 0, bytes: Uint8Array.from(bytes) }],
  racy: false,
  ...more,
});

describe('frames out of used elements', () => {
  const header = (count: number): number[] => [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, count, 0];

  it('joins as many as the header says, without their header', () => {
    const { frames, rest } = takeFrames(
      [
        element([...header(2), 1, 2]),
        element([3, 4]),
        element([...header(1), 5]),
        element([...header(3), 6]),
      ],
      12,
      true,
    );
    expect(frames.map(({ bytes, elements }) => [[...bytes], elements])).toEqual([
      [[1, 2, 3, 4], 2],
      [[5], 1],
    ]);
    expect(rest).toHaveLength(1);
  });

  it('takes each for itself without mergeable buffers, and no more bytes than were written', () => {
    const long = element([...header(9).slice(0, 10), 7, 8, 9], { len: 12 });
    expect(takeFrames([long], 10, false).frames.map(({ bytes }) => [...bytes])).toEqual([[7, 8]]);
  });
});

describe('properties of a device', () => {
  const blk: DevicePlan = {
    transport: 0,
    kind: 'blk',
    deviceId: 2,
    version: 1,
    base: 0x0200_0000,
    spi: 33,
    offered: [(1 << 28) | (1 << 11), 0],
  };
  const known = new Map<string, unknown>([
    ['indirect_desc', true],
    ['event_idx', true],
    ['config-wce', true],
    ['discard', true],
    ['packed', false],
    ['queue-size', 256],
  ]);

  it('are set where the recording differs from what QEMU does by itself', () => {
    expect(deviceProperties(blk, known)).toEqual(['discard=off', 'event_idx=off']);
  });

  it('of a modern device come from the high word too, and from the configuration space', () => {
    const config = { bytes: new Uint8Array(256), seen: new Uint8Array(256) };
    new DataView(config.bytes.buffer).setUint32(12, 126, true);
    config.seen.fill(1, 12, 16);
    const plan: DevicePlan = { ...blk, version: 2, config, offered: [0x3000_2800, 1 | (1 << 2)] };
    expect(deviceProperties(plan, known)).toEqual(['packed=on', 'queue-size=128']);
  });

  it('are left alone where the recording shows nothing', () => {
    const plan: DevicePlan = { ...blk };
    delete plan.offered;
    expect(deviceProperties(plan, known)).toEqual([]);
  });

  it('of a console say that it has one port, or how many', () => {
    const plan: DevicePlan = { ...blk, kind: 'console', deviceId: 3, offered: [0, 0] };
    const ports = new Map<string, unknown>([['max_ports', 31]]);
    expect(deviceProperties(plan, ports)).toEqual(['max_ports=1']);
    const config = { bytes: Uint8Array.from([0, 0, 0, 0, 4, 0, 0, 0]), seen: new Uint8Array(8).fill(1) };
    expect(deviceProperties({ ...plan, offered: [2, 0], config }, ports)).toEqual(['max_ports=4']);
  });
});

describe('used elements in guest memory', () => {
  const ram = new RamFile(0x4000_0000, 8192);
  afterEach(() => {
    ram.write(0x4000_0000, new Uint8Array(8192));
  });

  it('of a split ring are there when the index is, also around 65536', () => {
    const used: RecordedUsed = {
      transport: 0,
      queue: 0,
      ring: 0x4000_0000,
      index: 1,
      size: 256,
      elements: [element([]), element([]), element([])],
    };
    ram.write(0x4000_0002, Uint8Array.of(0xff, 0xff));
    expect([0, 1, 2, 3].map((count) => appeared(ram, used, count))).toEqual([true, true, false, false]);
    ram.write(0x4000_0002, Uint8Array.of(1, 0));
    expect(appeared(ram, used, 3)).toBe(true);
  });

  it('of a packed ring are there when the flag of their round is', () => {
    const used: RecordedUsed = {
      transport: 0,
      queue: 0,
      ring: 0x4000_0000,
      // Behind position 1, in the round after the one that began with the counter 1.
      index: 2,
      size: 8,
      elements: [element([], { at: 7 }), element([], { at: 1 })],
      packed: true,
    };
    // Round 1 at position 7 wants the bit, round 0 at position 1 wants it cleared.
    ram.write(0x4000_0000 + 16 + 14, Uint8Array.of(0, 0x80));
    expect([appeared(ram, used, 1), appeared(ram, used, 2)]).toEqual([false, false]);
    ram.write(0x4000_0000 + 7 * 16 + 14, Uint8Array.of(0, 0x80));
    ram.write(0x4000_0000 + 16 + 14, Uint8Array.of(0, 0));
    expect([appeared(ram, used, 1), appeared(ram, used, 2)]).toEqual([true, true]);
  });
});

it('reads a pixmap, and none that is cut', () => {
  const pixmap = Buffer.from('P6\n2 1\n255\nabcdef');
  expect(readPixmap(pixmap)).toEqual({ width: 2, height: 1, rgb: new Uint8Array(Buffer.from('abcdef')) });
  expect(() => readPixmap(pixmap.subarray(0, 15))).toThrow(/expected 6 bytes, got 4/);
});
