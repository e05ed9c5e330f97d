import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TraceError } from '../../trace/errors.ts';
import { GuestFault, RamBanks } from '../../devices/guest-memory.ts';
import { freshQueue } from '../../devices/queue/queue.ts';
import { inspect } from './guest-view.ts';
import { peekChains, ringFacts } from './rings.ts';

const BASE = 0x4000_0000;
const BYTES = 4 * 4096;

/** As a target gives it: late, and an error where there is no RAM. */
function fetcher(ram: RamBanks): (gpa: number, length: number) => Promise<Uint8Array> {
  return async (gpa, length) => {
    await Promise.resolve();
    try {
      return ram.view(gpa, length);
    } catch {
      throw new TraceError('E_NOT_REPLAYABLE', 'no RAM');
    }
  };
}

/** Bytes that look like nothing (xorshift32). */
function noise(seed: number): Uint8Array {
  let word = seed;
  return Uint8Array.from({ length: BYTES }, () => {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    return word;
  });
}

describe('looking at guest memory that has to be fetched', () => {
  it('reads over the ends of pages, and finds where there is no RAM', async () => {
    const bytes = Uint8Array.from({ length: BYTES }, (_, i) => i * 7);
    const fetch = fetcher(new RamBanks([{ base: BASE, bytes }]));
    const found = await inspect(fetch, (memory) => [
      memory.u16(BASE + 4095),
      memory.u32(BASE + 4094),
      ...memory.view(BASE + 4000, 9000),
    ]);
    const words = new DataView(bytes.buffer);
    expect(found).toEqual([
      words.getUint16(4095, true),
      words.getUint32(4094, true),
      ...bytes.subarray(4000, 13_000),
    ]);
    await expect(inspect(fetch, (memory) => memory.u16(BASE + BYTES))).rejects.toThrow(GuestFault);
    await expect(inspect(fetch, (memory) => memory.view(BASE, 2 ** 40))).rejects.toThrow(
      'too many to look at',
    );
    const broken = (): never => {
      throw new TraceError('E_TARGET', 'it has ended');
    };
    await expect(inspect(broken, (memory) => memory.u16(BASE))).rejects.toMatchObject({ code: 'E_TARGET' });
  });

  it('walks any ring to an end, and changes nothing', async () => {
    const rings = fc.record({
      seed: fc.integer({ min: 1, max: 0x7fff_ffff }),
      small: fc.boolean(),
      packed: fc.boolean(),
      count: fc.integer({ min: 0, max: 100_000 }),
      kind: fc.constantFrom('blk' as const, 'net' as const, 'console' as const, 'gpu' as const),
      queue: fc.integer({ min: 0, max: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(rings, async ({ seed, small, packed, count, kind, queue }) => {
        const bytes = noise(seed);
        // Small words make addresses and links that lead somewhere.
        const memory = small
          ? bytes.map((byte, i) => ((i & 7) === 3 ? 0x40 : (i & 7) > 3 ? 0 : byte & 3))
          : bytes;
        const before = Uint8Array.from(memory);
        const state = {
          ...freshQueue(16),
          ready: true,
          desc: BASE,
          driver: BASE + 4096,
          device: BASE + 8192,
        };
        const of = { kind, queue, state, negotiated: [0, packed ? 4 : 0] as const };
        const fetch = fetcher(new RamBanks([{ base: BASE, bytes: memory }]));
        const chains = await inspect(fetch, (ram) => peekChains(ram, of, count));
        expect(chains.length).toBeLessThanOrEqual(16);
        for (const { request, fault } of chains) expect(request?.text ?? fault).toBeTypeOf('string');
        expect((await inspect(fetch, (ram) => ringFacts(ram, state))).inFlight).toBeLessThan(65_536);
        expect(memory).toEqual(before);
      }),
      { numRuns: 60 },
    );
  });
});
