import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockDevice } from '../../devices/models/block.ts';
import { MemoryDisk } from '../../devices/models/disk.ts';
import { GpuDevice } from '../../devices/models/gpu.ts';
import { F_EVENT_IDX } from '../../devices/features.ts';
import { replay } from '../../devices/testing/recording.ts';
import { VARIANTS, type Variant } from '../../devices/testing/rig.ts';
import { Bench } from './testing/bench.ts';
import { BASE, recorded, type Recorded } from './testing/recorded.ts';
import { rows, story } from './testing/story.ts';

function request(type: number, sector = 0): Uint8Array {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(sector, 8);
  return bytes;
}

const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const image = (): Uint8Array => Uint8Array.from({ length: 65_536 }, (_, i) => (i >> 9) ^ i);
const disk = (): BlockDevice => new BlockDevice({ disk: new MemoryDisk(image()), hold: true });

/** Rounds of requests of all sizes, several in flight, completed out of order, some without an interrupt. */
function parallel({ driver }: Recorded, model: BlockDevice): void {
  for (let round = 0; round < 14; round++) {
    const indirect = round % 2 === 1;
    driver.queue(0).interrupts(round % 4 === 3 ? 'none' : round % 5 === 4 ? { after: 2 } : 'all');
    driver.offer(0, [request(0, 3 * round)], [512, 1024, 1], indirect);
    driver.offer(0, [request(1, 20 + round), new Uint8Array(512).fill(round + 1)], [1], indirect);
    driver.kick(0);
    driver.request(0, [request(8)], [20, 1]);
    while (model.held.length > 0) model.complete(model.held.length - 1);
    driver.interrupt();
    driver.queue(0).used();
  }
}

describe('what the tracker records', () => {
  for (const variant of ['legacy', 'split'] as const)
    it.each([[[]], [[F_EVENT_IDX]]])(`replays equal: ${variant}, refusing %j`, (refuse) => {
      const model = disk();
      const r = recorded(model, variant);
      r.driver.get('DeviceID');
      r.driver.setUp({ queues: [16], refuse });
      parallel(r, model);
      r.tracker.finish();
      expect(r.tracker.lost).toEqual({
        brokenChains: 0,
        brokenRings: 0,
        unknownElements: 0,
        racyElements: 0,
      });
      const fresh = disk();
      const played = replay(r.text(), variant === 'legacy' ? 1 : 2, BASE, [
        {
          model: fresh,
          outside: (_, elements) => {
            for (const { id } of elements) {
              const at = fresh.held.findIndex((held) => held.id === id);
              if (at >= 0) fresh.complete(at);
            }
          },
        },
      ]);
      expect(played.differences).toEqual([]);
      expect(played.usedElements).toBe(42);
      const edges = played.levels
        .map(([, level]) => level)
        .filter((level, i, all) => level !== (all[i - 1] ?? 0));
      expect(edges).toEqual(played.recordedLevels.map(([, level]) => level));
    });

  it.each(VARIANTS)('is in order: %s', (variant) => {
    const model = disk();
    const r = recorded(model, variant);
    r.driver.get('DeviceID');
    r.driver.setUp({ queues: [8], refuse: [F_EVENT_IDX] });
    r.driver.offer(0, [request(0, 1)], [512, 1]);
    r.driver.offer(0, [request(0, 9)], [512, 1], true);
    r.driver.kick(0);
    model.complete(1);
    r.driver.interrupt();
    model.complete(0);
    r.driver.interrupt();
    expect(story(r.text())).toEqual(ORDER[variant]);
  });

  it('holds lengths and hashes where contents are not wanted', () => {
    const model = disk();
    const r = recorded(model, 'split', false);
    r.driver.get('DeviceID');
    r.driver.setUp({ queues: [8] });
    r.driver.offer(0, [request(0, 1)], [512, 1]);
    r.driver.kick(0);
    model.complete(0);
    const all = rows(r.text());
    expect(r.text()).not.toContain('"bufs"');
    const [hashed] = all.filter(({ t }) => t === 'H');
    expect(hashed).toMatchObject({ n: 16, why: 'out', sha: sha(request(0, 1)), i: all.indexOf(hashed!) });
    const [used] = all.find(({ t }) => t === 'X')!['u'] as { el: { sha: [number, number, string][] }[] }[];
    expect(used!.el[0]!.sha.map(([, length, hash]) => [length, hash])).toEqual([
      [512, sha(image().subarray(512, 1024))],
      [1, sha(new Uint8Array(1))],
    ]);
  });
});

const ORDER: Record<Variant, string[]> = {
  legacy: splitOrder(),
  split: splitOrder(),
  packed: [
    'M out 16',
    'M out 16',
    'M desc 64',
    'M desc 48',
    'M avail 4',
    'N q0 adv 2 late []',
    'W 0x50 0',
    'X irq q0@32769: 1/513@0 sector 9',
    'I 1',
    'R 0x60 1',
    'W 0x64 1',
    'I 0',
    'X irq q0@32772: 0/513@1 sector 1',
    'I 1',
    'R 0x60 1',
    'W 0x64 1',
    'I 0',
  ],
};

function splitOrder(): string[] {
  return [
    'M out 16',
    'M out 16',
    'M desc 64',
    'M desc 48',
    'M avail 22',
    'N q0 adv 2 late []',
    'W 0x50 0',
    'X irq q0@1: 3/513 sector 9',
    'I 1',
    'R 0x60 1',
    'W 0x64 1',
    'I 0',
    'X irq q0@2: 0/513 sector 1',
    'I 1',
    'R 0x60 1',
    'W 0x64 1',
    'I 0',
  ];
}

describe('buffers that the device was not notified of', () => {
  it('are late when the device does not want to be notified', () => {
    const b = new Bench(2);
    b.usedFlags(1, 1);
    b.desc(0, 0, 0x8000, 8);
    b.desc(1, 2, 0x9000, 8, 2);
    b.avail(0, 0, 0);
    b.avail(1, 0, 2);
    b.write(0x50, 0);
    expect(b.story()).toContain('N q0 adv 1 late [[1,1]]');
  });

  it('are not late when the guest is still about to notify', () => {
    const b = new Bench(2);
    b.desc(1, 2, 0x9000, 8, 2);
    b.avail(1, 0, 2);
    b.write(0x50, 0);
    b.readStatus();
    b.write(0x50, 1);
    const story = b.story();
    expect(story.filter((line) => /^[NU]/.test(line))).toEqual(['N q0 adv 0 late []', 'N q1 adv 1 late []']);
    // Its memory is there from the first look on.
    expect(story.indexOf('M desc 16')).toBeLessThan(story.indexOf('N q0 adv 0 late []'));
    expect(story).toContain('M desc 16');
  });

  it('follow avail_event where it was negotiated', () => {
    for (const [event, expected] of [
      [0, []],
      [7, ['U q0 adv 1']],
    ] as const) {
      const b = new Bench(1, 2 ** 29);
      b.ram.setUint16(0x200 + 4 + 8 * 4, event, true);
      b.desc(0, 0, 0x8000, 8, 2);
      b.avail(0, 0, 0);
      b.readStatus();
      expect(b.story().filter((line) => line.startsWith('U'))).toEqual(expected);
    }
  });

  it('are told of before the elements that show their use', () => {
    const b = new Bench();
    b.desc(0, 1, 0x8000, 8, 2);
    b.avail(0, 0, 1);
    b.used(0, 0, [1, 8]);
    b.tracker.line(0, 33, 1);
    expect(b.story()).toEqual(['M desc 16', 'M avail 14', 'U q0 adv 1', 'X irq q0@1: 1/8', 'I 1']);
  });
});

describe('a buffer that the guest has taken back', () => {
  it('is racy when it is made available again before the look', () => {
    const b = new Bench();
    b.desc(0, 1, 0x8000, 8, 2);
    b.avail(0, 0, 1);
    b.write(0x50, 0);
    b.used(0, 0, [1, 8]);
    b.avail(0, 1, 1);
    b.write(0x50, 0);
    expect(b.story().slice(4)).toEqual([
      'X notify q0@1: 1/8 racy',
      'M desc 16',
      'M avail 14',
      'N q0 adv 1 late []',
      'W 0x50 0',
    ]);
    expect(b.tracker.lost.racyElements).toBe(1);
  });

  it('is racy when it stands in another chain by then', () => {
    const b = new Bench();
    b.desc(0, 1, 0x8000, 8, 2);
    b.avail(0, 0, 1);
    b.write(0x50, 0);
    b.used(0, 0, [1, 8]);
    b.desc(0, 2, 0x8000, 8, 2);
    b.avail(0, 1, 2);
    b.write(0x50, 0);
    expect(b.story()).toContain('X notify q0@1: 1/8 racy');
  });

  it('is racy when used_event has passed it, but not at the moment of use', () => {
    for (const prompt of [true, false]) {
      const b = new Bench(1, 2 ** 29);
      b.desc(0, 1, 0x8000, 8, 2);
      b.avail(0, 0, 1);
      b.write(0x50, 0);
      b.ram.setUint16(0x100 + 4 + 2 * 4, 1, true);
      b.used(0, 0, ...(prompt ? [] : [[1, 8] as [number, number]]));
      b.ram.setUint32(0x204, 1, true);
      b.ram.setUint32(0x208, 8, true);
      if (prompt) b.tracker.using(0, 0, 1);
      else b.readStatus();
      expect(b.story().find((line) => line.startsWith('X'))).toBe(
        prompt ? 'X used q0@1: 1/8' : 'X status q0@1: 1/8 racy',
      );
    }
  });
});

describe('what decides on an interrupt', () => {
  it('is written before the use when that is now', () => {
    const b = new Bench(1, 2 ** 29);
    b.desc(0, 1, 0x8000, 8, 2);
    b.avail(0, 0, 1);
    b.write(0x50, 0);
    b.ram.setUint16(0x100 + 4 + 2 * 4, 9, true);
    b.used(0, 0, [1, 8]);
    b.tracker.line(0, 33, 1);
    expect(b.story().slice(4)).toEqual(['M avail 2', 'X irq q0@1: 1/8', 'I 1']);
  });
});

describe('a device that is in use when the recording begins', () => {
  it('is moved to the beginning of its rings', () => {
    const b = new Bench();
    b.avail(0, 0, 0, 0, 0, 0, 0, 0, 3);
    b.used(0, 6);
    expect(b.tracker.position(0, 0, 7, 6)).toBe(true);
    b.desc(0, 2, 0x8000, 8, 2);
    b.avail(0, 7, 2);
    b.write(0x50, 0);
    // Head 3 was in flight before.
    b.used(0, 6, [3, 1], [2, 8]);
    b.readStatus();
    const avail = b.rows().find(({ why }) => why === 'avail')!;
    expect(Buffer.from(String(avail['b']), 'base64').subarray(0, 6).toString('hex')).toBe('000001000200');
    expect(b.story().at(-2)).toBe('X status q0@1: 2/8');
    expect(b.tracker.lost.unknownElements).toBe(1);
    expect(b.tracker.position(0, 5, 0, 0)).toBe(false);
  });
});

describe('virtio-gpu', () => {
  it('is given the backing that a transfer reads, and no more', () => {
    const model = new GpuDevice({});
    const r = recorded(model, 'split');
    r.driver.get('DeviceID');
    r.driver.setUp({ queues: [16, 16] });
    const memory = r.driver.arena.put(new Uint8Array(8 * 8 * 4).fill(7));
    const command = (type: number, ...words: number[]): void => {
      const bytes = Buffer.alloc(24 + 4 * words.length);
      bytes.writeUInt32LE(type, 0);
      for (const [i, word] of words.entries()) bytes.writeUInt32LE(word, 24 + 4 * i);
      r.driver.request(0, [bytes], [24]);
      r.driver.interrupt();
    };
    command(0x101, 5, 2, 8, 8);
    // Two pieces that adjoin become one.
    command(0x106, 5, 2, memory.gpa, 0, 128, 0, memory.gpa + 128, 0, 128, 0);
    command(0x105, 0, 2, 8, 4, 64, 0, 5, 0);
    command(0x105, 3, 5, 2, 2, 172, 0, 5, 0);
    const backing = rows(r.text()).filter(({ why }) => why === 'gpuback');
    expect(backing.map(({ a, n }) => [Number(a) - memory.gpa, n])).toEqual([
      [64, 128],
      [172, 8],
      [204, 8],
    ]);
    command(0x107, 5, 0);
    command(0x105, 0, 0, 8, 8, 0, 0, 5, 0);
    expect(rows(r.text()).filter(({ why }) => why === 'gpuback')).toHaveLength(3);
  });
});

describe('whatever the guest does', () => {
  it('no access and no memory makes it fail, and each record can be read', () => {
    const access = fc.record({
      offset: fc.oneof(
        fc.constantFrom(0x20, 0x24, 0x28, 0x30, 0x38, 0x3c, 0x40, 0x44, 0x50, 0x60, 0x70, 0x80, 0x90, 0xa0),
        fc.nat(0x3ff),
      ),
      value: fc.oneof(fc.nat(8), fc.constantFrom(0x100, 0x200, 0x1000, 0xffff_ffff), fc.nat(0xffff)),
      what: fc.constantFrom('read', 'write', 'line', 'using'),
      memory: fc.uint8Array({ maxLength: 24 }),
      at: fc.nat(0x400),
    });
    fc.assert(
      fc.property(fc.array(access, { maxLength: 60 }), fc.constantFrom(0, 2 ** 29), (accesses, features) => {
        const b = new Bench(2, features);
        for (const { offset, value, what, memory, at } of accesses) {
          new Uint8Array(b.ram.buffer).set(memory, at);
          if (what === 'read') b.tracker.read(0, BASE + offset, 4, value);
          else if (what === 'write') b.write(offset, value);
          else if (what === 'line') b.tracker.line(0, 33, 1);
          else b.tracker.using(0, 1, value & 3);
        }
        b.tracker.finish();
        expect(b.rows().map(({ i }) => i)).toEqual([...Array(b.tracker.steps).keys()]);
      }),
      { numRuns: 150 },
    );
  });
});
