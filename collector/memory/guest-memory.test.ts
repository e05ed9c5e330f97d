import { describe, expect, it } from 'vitest';
import { GuestMemory } from './guest-memory.ts';
import type { Mapping } from './libc.ts';
import { MOST_FRAMES, PAGE } from './privcmd.ts';

const CHUNK = MOST_FRAMES * PAGE;
const BASE = 0x4000_0000;

/** A domain with memory in [BASE, BASE + 2 chunks) but for one page, each byte being its page's number. */
class Frames {
  maps = 0;
  released = 0;
  hole = BASE / PAGE + 5;

  mapFrames(
    _domid: number,
    first: number,
    count: number,
  ): { mapping: Mapping; there: Uint8Array } | undefined {
    this.maps++;
    const bytes = new Uint8Array(count * PAGE);
    const there = new Uint8Array(count);
    for (let i = 0; i < count; i++) {
      const frame = first + i;
      bytes.fill(frame & 0xff, i * PAGE, (i + 1) * PAGE);
      if (frame >= BASE / PAGE && frame < (BASE + 2 * CHUNK) / PAGE && frame !== this.hole) there[i] = 1;
    }
    if (!there.includes(1)) return undefined;
    return { mapping: { address: 0x1000, bytes, release: () => (this.released += 1) }, there };
  }
}

describe('memory of a domain', () => {
  it('is mapped once a chunk, read across chunks, and absent where there is none', () => {
    const frames = new Frames();
    const memory = new GuestMemory(frames, 7);
    expect(memory.read(BASE + 10, 4)).toEqual(new Uint8Array(4).fill(0));
    expect(memory.read(BASE + PAGE - 2, 4)).toEqual(new Uint8Array([0, 0, 1, 1]));
    expect(frames.maps).toBe(1);
    // 512 pages a chunk: the last has number 511, the next one 512.
    expect(memory.read(BASE + CHUNK - 2, 4)).toEqual(new Uint8Array([255, 255, 0, 0]));
    expect(frames.maps).toBe(2);
    expect(memory.read(BASE + 4 * PAGE, PAGE)).toHaveLength(PAGE);
    expect(memory.read(BASE + 4 * PAGE, PAGE + 1)).toBeUndefined();
    expect(memory.read(BASE + 5 * PAGE + 8, 1)).toBeUndefined();
    expect(memory.read(BASE + 2 * CHUNK - 1, 2)).toBeUndefined();
    expect(memory.read(0, 1)).toBeUndefined();
  });

  it('takes any address and length that a guest can think of', () => {
    const memory = new GuestMemory(new Frames(), 7);
    for (const gpa of [-1, NaN, Infinity, 2 ** 48, 2 ** 63, 0x8000_0000_4000_0000])
      expect(memory.read(gpa, 16)).toBeUndefined();
    expect(memory.read(BASE, 2 ** 32)).toBeUndefined();
    expect(memory.read(BASE, 0)).toHaveLength(0);
  });

  it('is mapped anew after the domain has changed it', () => {
    const frames = new Frames();
    const memory = new GuestMemory(frames, 7);
    memory.read(BASE, 1);
    frames.hole = BASE / PAGE;
    expect(memory.read(BASE, 1)).toBeDefined();
    memory.drop();
    expect(frames.released).toBe(1);
    expect(memory.read(BASE, 1)).toBeUndefined();
    expect(frames.maps).toBe(2);
  });
});
