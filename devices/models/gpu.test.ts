import { inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { RAM_BASE, ready, rig, type Rig } from '../testing/rig.ts';
import { simpleEdid } from './edid.ts';
import { GpuDevice, type GpuOptions } from './gpu.ts';
import { GPU_CONTROL, GPU_CURSOR } from './gpu-format.ts';
import type { Rect } from './gpu-resource.ts';
import { png } from './png.ts';

/** A command from its type and the words after the header. */
export function command(type: number, ...words: number[]): Uint8Array {
  const bytes = Buffer.alloc(24 + 4 * words.length);
  bytes.writeUInt32LE(type, 0);
  for (const [i, word] of words.entries()) bytes.writeUInt32LE(word, 24 + 4 * i);
  return bytes;
}

function ask({ driver }: Rig, bytes: Uint8Array, room = 24): Buffer {
  const [used] = driver.request(GPU_CONTROL, [bytes], [room]);
  return Buffer.from(driver.written(used!));
}

const code = (r: Rig, type: number, ...words: number[]): number =>
  ask(r, command(type, ...words)).readUInt32LE(0);

function gpu(options: GpuOptions = {}): Rig & { model: GpuDevice } {
  const model = new GpuDevice(options);
  return { ...ready(model, 'split', [16, 16]), model };
}

/** A resource of 20 x 20 pixels with a backing of two pieces; pixel n has the bytes n, n>>8, 7, 0 (BGRX). */
function painted(r: Rig, id = 1): void {
  const pixels = Buffer.alloc(1600);
  for (let n = 0; n < 400; n++) pixels.writeUInt32LE(n | (7 << 16), 4 * n);
  const first = r.driver.arena.put(pixels.subarray(0, 700));
  r.driver.arena.take(64);
  const second = r.driver.arena.put(pixels.subarray(700));
  expect(code(r, 0x101, id, 2, 20, 20)).toBe(0x1100);
  expect(code(r, 0x106, id, 2, first.gpa, 0, 700, 0, second.gpa, 0, 900, 0)).toBe(0x1100);
}

describe('gpu', () => {
  it('tells its display and EDID', () => {
    const r = gpu({ width: 1024, height: 768 });
    const info = ask(r, command(0x100), 408);
    expect([info.length, info.readUInt32LE(0)]).toEqual([408, 0x1101]);
    expect([0, 4, 8, 12, 16, 40].map((at) => info.readUInt32LE(24 + at))).toEqual([0, 0, 1024, 768, 1, 0]);
    const edid = ask(r, command(0x10a, 0, 0), 1056);
    expect([edid.readUInt32LE(0), edid.readUInt32LE(24)]).toEqual([0x1104, 128]);
    expect(edid.subarray(32, 160)).toEqual(Buffer.from(simpleEdid(1024, 768)));
    expect(edid.subarray(32, 160).reduce((sum, byte) => sum + byte) % 256).toBe(0);
    expect(code(r, 0x10a, 1, 0)).toBe(0x1205);
    r.model.resize(800, 600);
    expect([r.driver.config(0, 4), r.driver.get('InterruptStatus') & 2]).toEqual([1, 2]);
    r.device.write(0x104, 4, 1);
    expect(r.driver.config(0, 4)).toBe(0);
    expect(ask(r, command(0x100), 408).readUInt32LE(32)).toBe(800);
  });

  it('shows what was transferred, whole rows and parts, and tells what was flushed', () => {
    const flushed: [number, Rect][] = [];
    const r = gpu({ backend: { flushed: (scanout, part) => flushed.push([scanout, part]) } });
    painted(r);
    expect(code(r, 0x103, 2, 3, 16, 16, 0, 1)).toBe(0x1100);
    expect(code(r, 0x105, 0, 0, 20, 20, 0, 0, 1, 0)).toBe(0x1100);
    const screen = r.model.screen()!;
    expect([screen.width, screen.height]).toEqual([16, 16]);
    const at = (x: number, y: number): number[] => [
      ...screen.rgb.subarray(3 * (16 * y + x), 3 * (16 * y + x) + 3),
    ];
    for (const [x, y] of [
      [0, 0],
      [15, 0],
      [3, 11],
    ] as const) {
      const n = 20 * (y + 3) + x + 2;
      expect(at(x, y)).toEqual([7, n >> 8, n & 255]);
    }
    // A part: the source starts at the given offset, row by row.
    expect(code(r, 0x105, 5, 6, 2, 2, 0, 0, 1, 0)).toBe(0x1100);
    const after = r.model.screen()!.rgb;
    expect([...after.subarray(3 * (16 * 4 + 3), 3 * (16 * 4 + 3) + 3)]).toEqual([7, 0, 20]);
    expect(code(r, 0x104, 0, 0, 10, 10, 1, 0)).toBe(0x1100);
    expect(flushed).toEqual([[0, { x: 0, y: 0, width: 8, height: 7 }]]);
    expect(code(r, 0x103, 0, 0, 0, 0, 0, 0)).toBe(0x1100);
    expect(r.model.screen()).toBeUndefined();
  });

  it('answers every mistake with its code', () => {
    const r = gpu();
    painted(r);
    const table: [string, number, number[], number][] = [
      ['resource 0', 0x101, [0, 2, 4, 4], 0x1203],
      ['the same id again', 0x101, [1, 2, 4, 4], 0x1203],
      ['an unknown format', 0x101, [2, 99, 4, 4], 0x1205],
      ['no pixels', 0x101, [2, 2, 0, 4], 0x1205],
      ['too large', 0x101, [2, 2, 0xffff_ffff, 0xffff_ffff], 0x1201],
      ['unref of nothing', 0x102, [9, 0], 0x1203],
      ['an unknown scanout', 0x103, [0, 0, 16, 16, 1, 1], 0x1202],
      ['a scanout of nothing', 0x103, [0, 0, 16, 16, 0, 9], 0x1203],
      ['a scanout that is too small', 0x103, [0, 0, 15, 16, 0, 1], 0x1205],
      ['a scanout outside', 0x103, [5, 0, 16, 16, 0, 1], 0x1205],
      ['a flush outside', 0x104, [0, 0, 21, 1, 1, 0], 0x1205],
      ['a transfer outside', 0x105, [0xffff_ffff, 0, 2, 1, 0, 0, 1, 0], 0x1205],
      ['backing twice', 0x106, [1, 1, RAM_BASE, 0, 16, 0], 0x1200],
      ['fewer entries than said', 0x106, [1, 5, RAM_BASE, 0, 16, 0], 0x1200],
      ['an unknown command', 0x1ff, [], 0x1200],
      ['a short command', 0x101, [1], 0x1200],
    ];
    for (const [what, type, words, expected] of table) expect(code(r, type, ...words), what).toBe(expected);
    expect(code(r, 0x107, 1, 0)).toBe(0x1100);
    expect(code(r, 0x107, 1, 0), 'no backing any more').toBe(0x1200);
    expect(code(r, 0x106, 1, 1, 0x10, 0, 16, 0), 'backing that is no RAM').toBe(0x1200);
    expect(r.device.fault).toBeUndefined();
  });

  it('gives fences back, and as much of a response as there is room for', () => {
    const r = gpu();
    const fenced = command(0x100);
    new DataView(fenced.buffer, fenced.byteOffset).setUint32(4, 1, true);
    fenced.set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], 8);
    const answer = ask(r, fenced, 30);
    expect(answer.length).toBe(30);
    expect([...answer.subarray(4, 24)]).toEqual([
      1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 0,
    ]);
  });

  it('moves a cursor, and goes on from a saved state', () => {
    const r = gpu();
    painted(r);
    code(r, 0x101, 5, 1, 64, 64);
    code(r, 0x103, 0, 0, 20, 20, 0, 1);
    code(r, 0x105, 0, 0, 20, 20, 0, 0, 1, 0);
    r.driver.request(GPU_CURSOR, [command(0x300, 0, 10, 11, 0, 5, 1, 2, 0)], []);
    r.driver.request(GPU_CURSOR, [command(0x301, 0, 12, 13, 0, 0, 9, 9, 0)], []);
    expect(r.model.cursor()).toMatchObject({ x: 12, y: 13, hotX: 1, hotY: 2, resource: 5 });
    expect(r.model.cursor()?.pixels?.length).toBe(64 * 64 * 4);
    const saved = r.device.save();
    const model = new GpuDevice();
    const s = rig(model, 'split', { memory: r.ram });
    s.device.restore(saved);
    expect(s.device.save()).toEqual(saved);
    expect(model.screen()).toEqual(r.model.screen());
    // Backing and scanouts live on: the other device can transfer and unref.
    s.driver.queues.push(r.driver.queue(0));
    const t = { ...s, driver: Object.assign(s.driver, { arena: r.driver.arena }) };
    expect(code(t, 0x105, 0, 0, 20, 20, 4, 0, 1, 0)).toBe(0x1100);
    expect(model.screen()?.rgb[2]).toBe(1);
    expect(code(t, 0x102, 1, 0)).toBe(0x1100);
    expect(model.screen()).toBeUndefined();
    (saved as { model: { scanouts: { width: number }[] } }).model.scanouts[0]!.width = 21;
    expect(() => {
      s.device.restore(saved);
    }).toThrow('$.model.scanouts[0]');
  });
});

describe('png', () => {
  it('holds the rows, stored or deflated by the host', () => {
    const rgb = Uint8Array.from({ length: 3 * 200 * 120 }, (_, i) => i % 251);
    const file = Buffer.from(png(200, 120, rgb));
    expect(file.toString('latin1', 1, 4)).toBe('PNG');
    const length = file.readUInt32BE(33);
    expect(file.toString('latin1', 37, 41)).toBe('IDAT');
    const rows = inflateSync(file.subarray(41, 41 + length));
    expect(rows.length).toBe(601 * 120);
    expect(rows.subarray(601 * 7 + 1, 601 * 8)).toEqual(Buffer.from(rgb.subarray(600 * 7, 600 * 8)));
    expect(Buffer.from(png(1, 1, Uint8Array.of(255, 0, 0))).toString('hex')).toMatchInlineSnapshot(
      `"89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000f494441547801010400fbff00ff0000030101008d1de5820000000049454e44ae426082"`,
    );
  });
});
