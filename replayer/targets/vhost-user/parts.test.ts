import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { features } from '../../../devices/features.ts';
import type { Chain } from '../../../devices/queue/chain.ts';
import { splitCommand } from './command.ts';
import { shownConfig } from './config.ts';
import { displaySize } from '../display.ts';
import { featureBits } from './model.ts';
import { loadPosix, type Posix } from './posix.ts';
import { memTable, MOST_REGIONS } from './protocol.ts';
import { SHADOW_BYTES, ShadowRing, type Completion } from './shadow-ring.ts';
import { SharedRam } from './shared-ram.ts';

const MIB = 1 << 20;
let posix: Posix;
beforeAll(async () => {
  posix = await loadPosix();
});

describe('a command line', () => {
  it.each([
    ['vhost-device-blk --socket {socket}', ['vhost-device-blk', '--socket', '{socket}']],
    [` a  'b c' "d 'e' \\" f" g\\ h ''`, ['a', 'b c', `d 'e' " f`, 'g h', '']],
  ])('%s', (line, words) => {
    expect(splitCommand(line)).toEqual(words);
  });

  it.each(['', '   ', `a "b`])('%j is none', (line) => {
    expect(() => splitCommand(line)).toThrow('is no command line');
  });
});

describe('the configuration space that the guest reads', () => {
  const config = { bytes: new Uint8Array(0x39).fill(1), seen: new Uint8Array(0x39).fill(1) };
  const theirs = new Uint8Array(0x39).fill(2);

  it('is the back-end’s, but for fields of features that it lacks', () => {
    // SEG_MAX and BLK_SIZE.
    const shown = shownConfig({ kind: 'blk', config }, theirs, features(2, 6));
    const ofBackend = [...shown.entries()].filter(([, byte]) => byte === 2).map(([at]) => at);
    expect(ofBackend).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23]);
  });

  it('of a gpu tells the display’s own numbers as recorded', () => {
    const shown = shownConfig({ kind: 'gpu', config }, theirs, [0, 0]);
    expect([...shown.subarray(0, 16)]).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2]);
  });

  it('is the recorded one if the back-end holds none', () => {
    expect(shownConfig({ kind: 'blk', config }, undefined, features(2))).toEqual(config.bytes);
  });
});

describe('memory that back-ends map', () => {
  it('joins the closest banks when a back-end could not map so many', () => {
    const ram = [0, 8, 10, 30, 50, 70, 73, 90, 110, 130].map((base) => ({ base: base * MIB, length: MIB }));
    const shared = new SharedRam(posix, ram, MIB);
    expect(shared.regions).toHaveLength(MOST_REGIONS);
    expect(shared.banks.map(({ base, bytes }) => [base / MIB, bytes.length / MIB])).toEqual([
      [0, 11],
      [30, 1],
      [50, 1],
      [70, 4],
      [90, 1],
      [110, 1],
      [130, 1],
    ]);
    // The private stretch lies outside of all, and no two places of the file are the same.
    const own = shared.take(4096, 4096);
    expect(own.gpa).toBeGreaterThanOrEqual(131 * MIB);
    for (const [i, { bytes }] of shared.banks.entries()) bytes.fill(i + 1);
    own.bytes.fill(99);
    for (const [i, { bytes }] of shared.banks.entries())
      expect([bytes[0], bytes.at(-1)]).toEqual([i + 1, i + 1]);
    expect(memTable(shared.regions)).toHaveLength(8 + 32 * 8);
    const view = shared.banks[0]!.bytes;
    shared.close();
    // Somebody may still hold a view: it reads zeros.
    expect(view[0]).toBe(0);
  });
});

describe('the ring to a back-end', () => {
  let ram: SharedRam;
  beforeAll(() => {
    ram = new SharedRam(posix, [{ base: MIB, length: MIB }], 8 * SHADOW_BYTES);
  });
  afterAll(() => {
    ram.close();
  });
  const chain = (id: number, out: number, into: number): Chain => ({
    id,
    slots: 1,
    out: Array.from({ length: out }, (_, i) => ({ gpa: MIB + 16 * i, length: 16 })),
    in: Array.from({ length: into }, (_, i) => ({ gpa: 2 * MIB + 16 * i, length: 16 })),
  });
  /** The device side, as a back-end of evil intent may write it. */
  function usedRing(ring: ShadowRing<Chain>): DataView {
    const halves = Reflect.get(ring, 'usedHalves') as Uint16Array;
    return new DataView(halves.buffer, halves.byteOffset, halves.byteLength);
  }

  it('refuses what a back-end gives back that it did not have', () => {
    const ring = new ShadowRing<Chain>(ram, true);
    const used = usedRing(ring);
    ring.offer(chain(3, 1, 2));
    used.setUint16(2, 2, true);
    used.setUint32(4, 0, true);
    used.setUint32(8, 7, true);
    const done: Completion<Chain>[] = [];
    // The second element names the same descriptor again.
    expect(() => ring.harvest(done)).toThrow('gave back descriptor 0, which it did not have');
    expect(done.map((one) => [one.chain.id, one.written])).toEqual([[3, 7]]);
    used.setUint16(2, 1000, true);
    expect(() => ring.harvest(done)).toThrow('ahead in a ring of 128');
  });

  it('survives any used ring', () => {
    const ring = new ShadowRing<Chain>(ram, true);
    const used = usedRing(ring);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(140), fc.nat()), { maxLength: 20 }),
        fc.nat(0xffff),
        (elements, idx) => {
          ring.clear();
          for (let i = 0; i < 10; i++) ring.offer(chain(i, 1, 1));
          for (const [i, [id, length]] of elements.entries()) {
            used.setUint32(4 + 8 * i, id, true);
            used.setUint32(8 + 8 * i, length, true);
          }
          used.setUint16(2, idx, true);
          const done: Completion<Chain>[] = [];
          try {
            ring.harvest(done);
          } catch (error) {
            expect((error as { code: string }).code).toBe('E_TARGET');
          }
          expect(new Set(done.map((one) => one.chain.id)).size).toBe(done.length);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('lays chains in entries of the ring where a back-end knows no indirect tables', () => {
    const ring = new ShadowRing<Chain>(ram, false);
    ring.offer(chain(1, 60, 60));
    ring.offer(chain(2, 4, 5));
    expect(ring.pending).toBe(121);
    const used = usedRing(ring);
    used.setUint16(2, 1, true);
    const done: Completion<Chain>[] = [];
    // Room now for the chain that waited: the back-end must be told.
    expect(ring.harvest(done)).toBe(true);
    expect(ring.pending).toBe(9);
    expect(() => {
      ring.offer(chain(3, 100, 100));
    }).toThrow('knows no indirect descriptors, and a chain has 200 buffers');
  });
});

describe('what an EDID tells', () => {
  it('is the size of its first timing, or QEMU’s', () => {
    const edid = new Uint8Array(128);
    expect(displaySize(edid)).toEqual([1280, 800]);
    edid.set([0x80, 0, 0x70, 0x38, 0, 0x40], 56);
    expect(displaySize(edid)).toEqual([1920, 1080]);
    expect(displaySize(edid.subarray(0, 20))).toEqual([1280, 800]);
    expect(displaySize(undefined)).toEqual([1280, 800]);
  });
});

it('names feature bits by number', () => {
  expect(featureBits(features(1, 31, 32, 63))).toEqual([1, 31, 32, 63]);
});
