import { describe, expect, it } from 'vitest';
import { F_EVENT_IDX } from '../features.ts';
import { ready, rig, VARIANTS, type Rig, type Variant } from '../testing/rig.ts';
import {
  BLK_T_DISCARD,
  BLK_T_FLUSH,
  BLK_T_GET_ID,
  BLK_T_IN,
  BLK_T_OUT,
  BLK_T_WRITE_ZEROES,
} from './block-format.ts';
import { BlockDevice, type BlockOptions } from './block.ts';
import { DiskError, MemoryDisk } from './disk.ts';

const SECTORS = 64;
/** Each sector is filled with its own number. */
function numbered(): MemoryDisk {
  return new MemoryDisk(Uint8Array.from({ length: SECTORS * 512 }, (_, i) => i >> 9));
}

export function header(type: number, sector = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(8, sector % 2 ** 32, true);
  view.setUint32(12, Math.floor(sector / 2 ** 32), true);
  return bytes;
}

function segment(sector: number, sectors: number, flags = 0): Uint8Array {
  const bytes = header(0, 0);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, sector, true);
  view.setUint32(4, 0, true);
  view.setUint32(8, sectors, true);
  view.setUint32(12, flags, true);
  return bytes;
}

/** One request: status, the bytes before it, the length in the used element. */
function ask(
  { driver }: Rig,
  out: readonly Uint8Array[],
  into: readonly number[],
  indirect = false,
): { status: number; data: number[]; length: number } {
  const [used] = driver.request(0, out, [...into, 1], indirect);
  if (used === undefined) throw new Error('no answer');
  const bytes = driver.written(used);
  return { status: bytes.at(-1)!, data: [...bytes.subarray(0, -1)], length: used.length };
}

const block = (options: Partial<BlockOptions> = {}): { disk: MemoryDisk; model: BlockDevice } => {
  const disk = numbered();
  return { disk, model: new BlockDevice({ disk, serial: 'IOREQ-1', ...options }) };
};

describe.each(VARIANTS)('block over %s', (variant: Variant) => {
  it.each([false, true])('reads and writes, indirect %s', (indirect) => {
    const { disk, model } = block();
    const r = ready(model, variant, [16]);
    const read = ask(r, [header(BLK_T_IN, 3)], [256, 768], indirect);
    expect(read).toMatchObject({ status: 0, length: 1025 });
    expect(new Set(read.data.slice(0, 512))).toEqual(new Set([3]));
    expect(new Set(read.data.slice(512))).toEqual(new Set([4]));
    // Header and data in one buffer: any cut is allowed.
    const both = new Uint8Array(16 + 512).fill(0xab);
    both.set(header(BLK_T_OUT, 5));
    expect(ask(r, [both], [], indirect)).toEqual({ status: 0, data: [], length: 1 });
    expect(new Set(disk.bytes.subarray(5 * 512, 6 * 512))).toEqual(new Set([0xab]));
    expect(disk.bytes[6 * 512]).toBe(6);
    expect(r.driver.interrupt()).toBe(1);
    expect(r.levels.at(-1)).toBe(0);
  });

  it('answers flush, get-id, discard, write zeroes and what it does not know', () => {
    const { disk, model } = block();
    const r = ready(model, variant, [16]);
    expect(ask(r, [header(BLK_T_FLUSH)], []).status).toBe(0);
    expect(disk.flushes).toBe(1);
    const id = ask(r, [header(BLK_T_GET_ID)], [20]);
    expect(String.fromCharCode(...id.data).replace(/\0+$/, '')).toBe('IOREQ-1');
    expect(ask(r, [header(BLK_T_WRITE_ZEROES), segment(7, 2, 1)], []).status).toBe(0);
    expect(disk.bytes[7 * 512]).toBe(0);
    expect(disk.bytes[9 * 512]).toBe(9);
    expect(ask(r, [header(BLK_T_DISCARD), segment(1, 2)], []).status).toBe(0);
    expect(ask(r, [header(BLK_T_DISCARD), segment(1, 2, 1)], []).status, 'unmap in a discard').toBe(2);
    expect(ask(r, [header(BLK_T_DISCARD), segment(1, 1), segment(4, 1)], []).status, 'two segments').toBe(2);
    expect(ask(r, [header(BLK_T_DISCARD), segment(60, 5)], []).status, 'beyond the end').toBe(1);
    expect(ask(r, [header(99)], []).status).toBe(2);
  });

  it('refuses what lies outside the disk, odd lengths and writes to a read-only disk', () => {
    const r = ready(block().model, variant, [16]);
    expect(ask(r, [header(BLK_T_IN, SECTORS - 1)], [1024]).status).toBe(1);
    expect(ask(r, [header(BLK_T_IN, SECTORS)], [512]).status).toBe(1);
    expect(ask(r, [header(BLK_T_IN, 2 ** 60)], [512]).status).toBe(1);
    expect(ask(r, [header(BLK_T_IN, 0)], [511]).status).toBe(1);
    const readOnly = new MemoryDisk(new Uint8Array(4096), true);
    const s = ready(new BlockDevice({ disk: readOnly }), variant, [16]);
    expect(ask(s, [header(BLK_T_OUT, 0), new Uint8Array(512)], []).status).toBe(1);
    const broken = new MemoryDisk(new Uint8Array(4096));
    broken.read = () => {
      throw new DiskError('bad sector');
    };
    const t = ready(new BlockDevice({ disk: broken }), variant, [16]);
    expect(ask(t, [header(BLK_T_IN, 0)], [512]).status).toBe(1);
  });

  it('goes through the ring many times', () => {
    const { model } = block();
    const r = ready(model, variant, [4]);
    const mark = r.driver.arena.mark();
    for (let i = 0; i < 100; i++) {
      r.driver.arena.rewind(mark);
      const { status, data } = ask(r, [header(BLK_T_IN, i % SECTORS)], [512], i % 3 === 0);
      expect([status, data[511]]).toEqual([0, i % SECTORS]);
    }
  });

  it('gives held requests back in the order it is told, across a save and restore', () => {
    const make = (): { disk: MemoryDisk; model: BlockDevice } => block({ hold: true });
    const first = make();
    const r = ready(first.model, variant, [16]);
    const ids = [1, 2, 3].map((sector) => r.driver.offer(0, [header(BLK_T_IN, sector)], [512, 1]));
    r.driver.kick(0);
    expect(first.model.held.map((h) => h.id)).toEqual(ids);
    expect(r.driver.queue(0).used()).toEqual([]);
    const saved: unknown = JSON.parse(JSON.stringify(r.device.save()));

    // The same guest goes on with a second device that starts from the saved state.
    const second = make();
    const s = rig(second.model, variant, { memory: r.ram });
    s.device.restore(saved);
    expect(s.device.save()).toEqual(saved);
    for (const position of [2, 0, 0]) second.model.complete(position);
    expect(
      r.driver
        .queue(0)
        .used()
        .map((u) => u.id),
    ).toEqual([ids[2], ids[0], ids[1]]);
    // And the first one, had it gone on, would be in the same state.
    for (const position of [2, 0, 0]) first.model.complete(position);
    expect(s.device.save()).toEqual(r.device.save());
  });

  it('interrupts only when the event index asks for it', () => {
    const { model } = block();
    const { driver, levels } = rig(model, variant);
    driver.setUp({ queues: [16], refuse: variant === 'legacy' ? [24] : [] });
    const queue = driver.queue(0);
    expect(F_EVENT_IDX).toBe(29);
    queue.interrupts('all');
    driver.request(0, [header(BLK_T_FLUSH)], [1]);
    expect(driver.interrupt()).toBe(1);
    queue.interrupts({ after: variant === 'packed' ? 6 : 3 });
    levels.length = 0;
    for (let i = 0; i < 3; i++) {
      expect(levels).toEqual([]);
      driver.request(0, [header(BLK_T_FLUSH)], [1]);
    }
    expect(levels).toEqual([1]);
    queue.interrupts('none');
    driver.interrupt();
    levels.length = 0;
    driver.request(0, [header(BLK_T_FLUSH)], [1]);
    expect(levels).toEqual([]);
  });
});

describe('block configuration', () => {
  it('is what QEMU shows for an 8 MiB disk', () => {
    const model = new BlockDevice({ disk: new MemoryDisk(new Uint8Array(8 << 20)) });
    expect(Buffer.from(model.config()).toString('hex')).toMatchInlineSnapshot(
      `"004000000000000000000000fe0000001000103f00020000000000000000000001000100ffff3f000100000001000000ffff3f000100000001"`,
    );
  });

  it('takes the cache mode from the driver, and from the features without CONFIG_WCE', () => {
    const { model } = block();
    const { driver, device } = ready(model, 'split', [16]);
    expect(driver.config(0x20, 1)).toBe(1);
    device.write(0x120, 1, 0);
    expect(driver.config(0x20, 1)).toBe(0);
    device.write(0x100, 4, 0);
    expect(driver.config(0, 4)).toBe(SECTORS);
    driver.setUp({ queues: [16], refuse: [9, 11] });
    expect(driver.config(0x20, 1)).toBe(0);
  });
});
