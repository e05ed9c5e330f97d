import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { forEachChain } from '../device.ts';
import { Arena } from '../driver/arena.ts';
import { PackedDriver } from '../driver/packed-driver.ts';
import { SplitDriver } from '../driver/split-driver.ts';
import { F_EVENT_IDX, NO_FEATURES, features } from '../features.ts';
import { GuestFault, RamBanks } from '../guest-memory.ts';
import { RAM_BASE } from '../testing/rig.ts';
import { gather, part, scatter } from './chain.ts';
import { PackedQueue } from './packed-queue.ts';
import { freshQueue, needsEvent, type VirtQueue } from './queue.ts';
import { SplitQueue } from './split-queue.ts';

const NUM = 8;
const RAM_BYTES = 8 << 20;
type Kind = 'split' | 'packed';

function both(
  kind: Kind,
  event = false,
): { driver: SplitDriver | PackedDriver; queue: VirtQueue; ram: RamBanks; arena: Arena } {
  const ram = new RamBanks([{ base: RAM_BASE, bytes: new Uint8Array(RAM_BYTES) }]);
  const arena = new Arena(ram, RAM_BASE, RAM_BYTES);
  const driver = kind === 'split' ? new SplitDriver(arena, NUM, false, event) : new PackedDriver(arena, NUM);
  const [desc, driverArea, device] = driver.areas;
  const state = { ...freshQueue(NUM), ready: true, desc, driver: driverArea, device };
  const negotiated = event ? features(F_EVENT_IDX) : NO_FEATURES;
  const queue =
    kind === 'split' ? new SplitQueue(state, ram, negotiated) : new PackedQueue(state, ram, negotiated);
  return { driver, queue, ram, arena };
}

/** A descriptor by hand: [gpa, length, flags, next or id]. */
function put(
  ram: RamBanks,
  kind: Kind,
  at: number,
  gpa: number,
  length: number,
  flags: number,
  link = 0,
): void {
  ram.setU32(at, gpa % 2 ** 32);
  ram.setU32(at + 4, Math.floor(gpa / 2 ** 32));
  ram.setU32(at + 8, length);
  ram.setU16(at + 12, kind === 'split' ? flags : link);
  ram.setU16(at + 14, kind === 'split' ? link : flags | 0x80);
}

describe.each(['split', 'packed'] as const)('%s queue', (kind) => {
  it('gives back chains in any order, round and round, as the driver sees them', () => {
    const shape = fc.record({ out: fc.nat(3), into: fc.integer({ min: 0, max: 2 }), indirect: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(shape, { minLength: 1, maxLength: 60 }),
        fc.infiniteStream(fc.nat()),
        (shapes, choice) => {
          const { driver, queue, arena } = both(kind);
          const buffer = arena.take(64);
          const pending: { id: number; slots: number }[] = [];
          let free = NUM;
          for (const { out, into, indirect } of shapes) {
            const count = Math.max(1, out + into);
            const slots = indirect ? 1 : count;
            while (free < slots) {
              const [chain] = pending.splice(choice.next().value % pending.length, 1);
              queue.push([chain!], [7]);
              const used = driver.used();
              expect(used.map((u) => [u.id, u.length])).toEqual([[chain!.id, 7]]);
              free += kind === 'packed' ? chain!.slots : (sizes.get(chain!.id) ?? 1);
            }
            const list = (n: number): { gpa: number; length: number }[] =>
              Array.from({ length: n }, () => buffer);
            const outs = out + into === 0 ? 1 : out;
            const id = driver.offer(list(outs), list(into), { indirect });
            sizes.set(id, slots);
            free -= slots;
            const chain = queue.pop();
            expect([chain?.id, chain?.out.length, chain?.in.length]).toEqual([id, outs, into]);
            pending.push(chain!);
          }
          expect(queue.pop()).toBeUndefined();
        },
      ),
      { numRuns: 100 },
    );
  });

  it('takes a pop back, also over the end of the ring', () => {
    const { driver, queue, arena } = both(kind);
    const buffer = arena.take(8);
    for (let i = 0; i < 30; i++) {
      driver.offer([buffer, buffer, buffer], []);
      const chain = queue.pop()!;
      queue.unpop(chain);
      expect(queue.pop()).toEqual(chain);
      queue.push([chain], [i]);
      expect(driver.used().map((u) => u.length)).toEqual([i]);
    }
  });

  it('is served for no longer than its size, though each answer makes another chain available', () => {
    const { driver, queue, arena } = both(kind);
    const buffer = arena.take(4);
    driver.offer([buffer], []);
    let served = 0;
    forEachChain(queue, (chain) => {
      served++;
      queue.push([chain], [0]);
      driver.used();
      driver.offer([buffer], []);
    });
    expect(served).toBe(NUM);
  });

  it('shows several chains as used in one step', () => {
    const { driver, queue, arena } = both(kind);
    for (let i = 0; i < 6; i++) {
      for (let k = 0; k < 3; k++) driver.offer([arena.take(4)], [arena.take(4)], { indirect: k === 1 });
      const chains = [queue.pop()!, queue.pop()!, queue.pop()!];
      queue.push(chains, [1, 2, 3]);
      expect(driver.used().map((u) => u.length)).toEqual([1, 2, 3]);
    }
  });

  it('tells the driver when it wants no notification', () => {
    for (const event of [false, true]) {
      const { driver, queue, arena } = both(kind, event);
      const offer = (): boolean => {
        driver.offer([arena.take(4)], []);
        const wants = driver.wantsKick();
        driver.kicked();
        queue.push([queue.pop()!], [0]);
        driver.used();
        return wants;
      };
      queue.setNotification(true);
      expect(offer()).toBe(true);
      queue.setNotification(false);
      expect([offer(), offer()]).toEqual([kind === 'split' && event, false]);
      queue.setNotification(true);
      expect(offer()).toBe(true);
    }
  });

  const faults: [
    string,
    RegExp,
    (c: { ram: RamBanks; desc: number; buffer: number; table: number }) => void,
  ][] = [
    [
      'no RAM',
      /no RAM/,
      ({ ram, desc }) => {
        put(ram, kind, desc, 0x1000, 4, 0);
      },
    ],
    [
      'a grant reference',
      /no RAM/,
      ({ ram, desc }) => {
        put(ram, kind, desc, 2 ** 63 + RAM_BASE, 4, 0);
      },
    ],
    [
      'a length beyond RAM',
      /no RAM/,
      ({ ram, desc, buffer }) => {
        put(ram, kind, desc, buffer, 0xffff_ffff, 0);
      },
    ],
    [
      'a length of zero',
      /zero bytes/,
      ({ ram, desc, buffer }) => {
        put(ram, kind, desc, buffer, 0, 0);
      },
    ],
    [
      'readable after writable',
      /readable buffer after/,
      ({ ram, desc, buffer }) => {
        put(ram, kind, desc, buffer, 4, 3, 1);
        put(ram, kind, desc + 16, buffer, 4, 0, 0);
      },
    ],
    [
      'a loop',
      /looped|longer than/,
      ({ ram, desc, buffer }) => {
        for (let i = 0; i < NUM; i++) put(ram, kind, desc + 16 * i, buffer, 4, 1, (i + 1) % NUM);
      },
    ],
    [
      'an empty table',
      /table of 0/,
      ({ ram, desc, table }) => {
        put(ram, kind, desc, table, 0, 4);
      },
    ],
    [
      'a table of odd size',
      /table of 17/,
      ({ ram, desc, table }) => {
        put(ram, kind, desc, table, 17, 4);
      },
    ],
    [
      'a table outside RAM',
      /no RAM/,
      ({ ram, desc }) => {
        put(ram, kind, desc, 0, 16, 4);
      },
    ],
    [
      'a table in a table',
      /inside an indirect/,
      ({ ram, desc, table }) => {
        put(ram, kind, desc, table, 32, 4);
        put(ram, kind, table, table, 32, 4);
      },
    ],
    [
      'a loop in a table',
      /looped|zero bytes/,
      ({ ram, desc, table, buffer }) => {
        put(ram, kind, desc, table, 32, 4);
        put(ram, kind, table, buffer, 4, 1, 0);
      },
    ],
    [
      'too many buffers in a table',
      /more than 1024 buffers/,
      ({ ram, desc, table, buffer }) => {
        put(ram, kind, desc, table, 16 * 1025, 4);
        for (let i = 0; i < 1025; i++) put(ram, kind, table + 16 * i, buffer, 4, 1, i + 1);
      },
    ],
    [
      'more than 2^32 bytes',
      /2\^32 bytes/,
      ({ ram, desc, table }) => {
        put(ram, kind, desc, table, 16 * 513, 4);
        for (let i = 0; i < 513; i++) put(ram, kind, table + 16 * i, RAM_BASE, RAM_BYTES, 1, i + 1);
      },
    ],
  ];
  it.each(faults)('refuses %s', (_, expected, make) => {
    const { driver, queue, ram, arena } = both(kind);
    const [desc, avail] = driver.areas;
    make({ ram, desc, buffer: arena.take(64).gpa, table: arena.take(16 * 1100).gpa });
    if (kind === 'split') ram.setU16(avail + 2, 1);
    let fault: unknown;
    try {
      queue.pop();
    } catch (error) {
      fault = error;
    }
    expect(fault).toBeInstanceOf(GuestFault);
    expect((fault as GuestFault).message).toMatch(expected);
  });
});

const sizes = new Map<number, number>();

describe('packed queue alone', () => {
  /** A queue in the middle of a lap, whose driver asks for an interrupt at ring entry `off` of lap `wrap`. */
  const asked = (usedIdx: number, off: number, wrap: boolean): boolean => {
    const { driver, queue, ram } = both('packed', true);
    Object.assign(queue.state, { usedIdx, signalledUsed: usedIdx, signalledUsedValid: true });
    ram.setU16(driver.areas[1], off | (wrap ? 0x8000 : 0));
    ram.setU16(driver.areas[1] + 2, 2);
    queue.push([{ id: 0, slots: 1 }], [0]);
    return queue.wantsInterrupt();
  };

  it('interrupts at the entry of the lap that the driver named', () => {
    expect(asked(6, 6, true)).toBe(true);
    expect(asked(6, 5, true)).toBe(false);
    expect(asked(6, 6, false), 'the same entry, a lap later').toBe(false);
  });

  it('interrupts once when the ring wraps: the index before it says nothing any more', () => {
    expect(asked(7, 3, false)).toBe(true);
  });
});

describe('split queue alone', () => {
  it('takes direct buffers before one indirect table', () => {
    const { driver, queue, ram, arena } = both('split');
    const [desc, avail] = driver.areas;
    const table = arena.take(32).gpa;
    const buffer = arena.take(16).gpa;
    put(ram, 'split', desc, buffer, 3, 1, 5);
    put(ram, 'split', desc + 16 * 5, table, 32, 4, 0);
    put(ram, 'split', table, buffer, 4, 1, 1);
    put(ram, 'split', table + 16, buffer, 5, 2, 0);
    ram.setU16(avail + 2, 1);
    expect(queue.pop()).toEqual({
      id: 0,
      slots: 1,
      out: [
        { gpa: buffer, length: 3 },
        { gpa: buffer, length: 4 },
      ],
      in: [{ gpa: buffer, length: 5 }],
    });
  });

  it('interrupts when the index signalled last is too long ago to compare with', () => {
    const { driver, queue, ram } = both('split', true);
    const push = (): boolean => {
      queue.push([{ id: 0, slots: 1 }], [0]);
      return queue.wantsInterrupt();
    };
    ram.setU16(driver.areas[1] + 4 + 2 * NUM, 0x9000);
    Object.assign(queue.state, { signalledUsed: 5, usedIdx: 5 + 0x7fff, signalledUsedValid: true });
    expect(push()).toBe(true);
    expect(push()).toBe(false);
  });

  it('refuses heads, links and an index that are out of range', () => {
    for (const [what, change] of [
      [
        'head descriptor 8',
        (r: RamBanks, a: number) => {
          r.setU16(a + 4, NUM);
          r.setU16(a + 2, 1);
        },
      ],
      [
        'avail.idx 9 ahead',
        (r: RamBanks, a: number) => {
          r.setU16(a + 2, NUM + 1);
        },
      ],
    ] as const) {
      const { driver, queue, ram } = both('split');
      change(ram, driver.areas[1]);
      expect(() => queue.pop()).toThrow(what);
    }
  });
});

describe('chain bytes', () => {
  it('are gathered and scattered over any pieces as over one', () => {
    const ram = new RamBanks([{ base: 0, bytes: Uint8Array.from({ length: 4096 }, (_, i) => i * 7) }]);
    const pieces = fc.array(fc.record({ gpa: fc.nat(3000), length: fc.integer({ min: 1, max: 90 }) }), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(pieces, fc.nat(300), fc.nat(300), (segments, start, length) => {
        const whole = Buffer.concat(segments.map(({ gpa, length: n }) => Buffer.from(ram.view(gpa, n))));
        const into = new Uint8Array(length);
        const got = gather(ram, segments, start, into);
        expect(Buffer.from(into.subarray(0, got))).toEqual(whole.subarray(start, start + length));
        expect(part(segments, start, length).reduce((sum, s) => sum + s.length, 0)).toBe(got);
      }),
    );
    const done = scatter(
      ram,
      [
        { gpa: 10, length: 3 },
        { gpa: 100, length: 3 },
      ],
      2,
      Uint8Array.of(1, 2, 3, 4, 5, 6),
    );
    expect([done, ram.view(12, 1)[0], ...ram.view(100, 4)]).toEqual([4, 1, 2, 3, 4, (103 * 7) & 255]);
  });

  it('come from banks that do not overlap, within one bank each', () => {
    const bank = (base: number): { base: number; bytes: Uint8Array } => ({ base, bytes: new Uint8Array(16) });
    expect(() => new RamBanks([bank(0), bank(15)])).toThrow('overlap');
    const ram = new RamBanks([bank(0x1_0000_0000), bank(16), bank(0)]);
    ram.setU32(0x1_0000_000c, 0x1234_5678);
    expect([ram.u16(0x1_0000_000e), ram.u32(0x1_0000_000c)]).toEqual([0x1234, 0x1234_5678]);
    for (const gpa of [-1, 14, 30, 33, 0x1_0000_000e, 2 ** 64, NaN])
      expect(() => ram.u32(gpa), String(gpa)).toThrow(GuestFault);
  });

  it('needsEvent over the wrap of the index', () => {
    expect([
      needsEvent(5, 6, 5),
      needsEvent(5, 5, 4),
      needsEvent(0xffff, 0, 0xffff),
      needsEvent(0, 0, 0xffff),
    ]).toEqual([true, false, true, false]);
  });
});
