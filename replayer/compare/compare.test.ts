import { describe, expect, it } from 'vitest';
import type { RecordedElement, RecordedUsed, ReplayTarget } from '../target.ts';
import { AnswerCheck } from './answers.ts';
import { byteDifference } from './bytes.ts';
import { Divergences } from './divergences.ts';
import { InterruptCheck } from './interrupts.ts';
import { Observed } from './observed.ts';
import { Policies } from './policy.ts';
import { UsedCheck } from './used.ts';

const RAM = 0x4000_0000;
const RING = RAM + 0x1000;
const BUFFER = RAM + 0x2000;

/** Used elements of one queue against a ring that a test fills. */
function usedRig(policies: readonly string[] = []) {
  const memory = new Uint8Array(1 << 20);
  const words = new DataView(memory.buffer);
  const found = new Divergences();
  const check = new UsedCheck(
    {
      ram: [{ base: RAM, length: memory.length }],
      devices: [{ transport: 1, kind: 'net', deviceId: 1, version: 1, base: 0x0200_0200, spi: 34 }],
    },
    new Policies(policies),
    found,
    new Observed(),
    (transport) => `blk ${transport}`,
  );
  const target = {
    view: (gpa: number, length: number) => memory.subarray(gpa - RAM, gpa - RAM + length),
  } as unknown as ReplayTarget;
  return {
    memory,
    words,
    found,
    check,
    compare: (used: RecordedUsed, came = true) => check.compare(7, used, came, target),
    entry: (place: number, id: number, len: number) => {
      words.setUint32(RING - RAM + 4 + 8 * place, id, true);
      words.setUint32(RING - RAM + 8 + 8 * place, len, true);
    },
  };
}

const element = (id: number, len: number, bytes: number[] = [], more: Partial<RecordedElement> = {}) => ({
  id,
  len,
  buffers: bytes.length === 0 ? [] : [{ gpa: BUFFER, bytes: Uint8Array.from(bytes) }],
  racy: false,
  ...more,
});
const split = (index: number, elements: RecordedElement[], size = 8): RecordedUsed => ({
  transport: 0,
  queue: 1,
  ring: RING,
  index,
  size,
  elements,
});

describe('used rings', () => {
  it('are compared around the end of the ring and of the index', async () => {
    const rig = usedRig();
    rig.words.setUint16(RING - RAM + 2, 1, true);
    rig.entry(7, 3, 10);
    rig.entry(0, 4, 20);
    await rig.compare(split(1, [element(3, 10), element(4, 20)]));
    expect(rig.found.list).toEqual([]);
    expect(rig.check.counts.elements).toBe(2);
    await rig.compare(split(1, [element(3, 11), element(5, 20)]));
    expect(rig.found.list).toMatchObject([
      { element: 0xffff, id: 3, field: 'len', expected: '11', got: '10', queue: 1, device: 'blk 0' },
      { element: 0, id: 5, field: 'id', expected: '5', got: '4' },
    ]);
  });

  it('that are ahead are no difference, those behind are, once', async () => {
    const rig = usedRig();
    rig.entry(0, 1, 1);
    rig.words.setUint16(RING - RAM + 2, 4, true);
    await rig.compare(split(1, [element(1, 1)]));
    expect(rig.found.count).toBe(0);
    rig.words.setUint16(RING - RAM + 2, 1, true);
    await rig.compare(split(3, [element(1, 1), element(2, 1), element(3, 1)]), false);
    expect(rig.found.list).toMatchObject([{ kind: 'missing', expected: '3, with head 1, 2, 3', got: '1' }]);
    expect(rig.check.counts.elements).toBe(2);
    expect(rig.check.missing).toBe(1);
  });

  it('may be in another order only where that is ignored', async () => {
    const used = split(2, [element(1, 10), element(2, 20)]);
    for (const policy of [[], ['used-order']]) {
      const rig = usedRig(policy);
      rig.words.setUint16(RING - RAM + 2, 2, true);
      rig.entry(0, 2, 20);
      rig.entry(1, 1, 10);
      await rig.compare(used);
      expect(rig.found.count).toBe(policy.length === 0 ? 4 : 0);
    }
  });

  it('of the packed kind are read at their places, and only if used', async () => {
    const rig = usedRig();
    const descriptor = (at: number, id: number, len: number, flags: number): void => {
      rig.words.setUint32(RING - RAM + 16 * at + 8, len, true);
      rig.words.setUint16(RING - RAM + 16 * at + 12, id, true);
      rig.words.setUint16(RING - RAM + 16 * at + 14, flags, true);
    };
    descriptor(2, 9, 512, 0x8080);
    descriptor(5, 8, 1, 0);
    const used = {
      ...split(6, [element(9, 512, [], { at: 2 }), element(8, 2, [], { at: 5 })]),
      packed: true,
    };
    await rig.compare(used);
    expect(rig.found.list).toMatchObject([{ element: 5, id: 8, field: 'len', expected: '2', got: '1' }]);
    descriptor(5, 8, 2, 0x80);
    await rig.compare(used);
    expect(rig.check.counts.elements).toBe(3);
  });

  it('outside of memory are an error of the recording', async () => {
    const rig = usedRig();
    await expect(rig.compare({ ...split(1, []), ring: RAM + (1 << 20) - 8 })).rejects.toThrow(
      'recording, step 7: a used record names memory that the guest cannot have; got 68 bytes at 0x400ffff8',
    );
    const [far] = [{ gpa: 2 ** 45, bytes: new Uint8Array(4) }];
    rig.words.setUint16(RING - RAM + 2, 1, true);
    await expect(rig.compare(split(1, [{ ...element(0, 0), buffers: [far] }]))).rejects.toThrow(
      '4 bytes at 0x200000000000',
    );
  });

  it('with other bytes show where, and ignored ones are counted', async () => {
    for (const policy of [[], ['memory']]) {
      const rig = usedRig(policy);
      rig.words.setUint16(RING - RAM + 2, 1, true);
      rig.memory.set([1, 2, 9, 4], BUFFER - RAM);
      await rig.compare(split(1, [element(0, 0, [1, 2, 3, 4])]));
      if (policy.length > 0) expect(rig.found.count).toBe(0);
      else
        expect(rig.found.list).toMatchObject([
          {
            kind: 'memory',
            field: 'byte 2 at 0x40002002',
            expected: '0x03',
            got: '0x09',
            memory: { differing: 1 },
          },
        ]);
    }
  });
});

describe('received frames', () => {
  it.each([
    [[], 1, 0],
    [['net-header'], 0, 0],
    [['net-header'], 1, 30],
  ])('with policy %j have %i differences if byte %i of the buffer differs', async (policy, count, at) => {
    const rig = usedRig(policy);
    rig.words.setUint16(RING - RAM + 2, 1, true);
    const bytes = Array.from({ length: 40 }, () => 5);
    rig.memory.set(bytes, BUFFER - RAM);
    rig.memory[BUFFER - RAM + at] = 6;
    await rig.compare({ ...split(1, [element(0, 0, bytes)]), transport: 1, queue: 0 });
    expect(rig.found.count).toBe(count);
    if (count > 0) expect(rig.found.list[0]!.field).toContain(`byte ${at} at`);
    // Another device's buffer has no such header.
    const other = usedRig(policy);
    other.words.setUint16(RING - RAM + 2, 1, true);
    other.memory.set(bytes, BUFFER - RAM);
    other.memory[BUFFER - RAM] = 6;
    await other.compare({ ...split(1, [element(0, 0, bytes)]), transport: 0, queue: 0 });
    expect(other.found.count).toBe(1);
  });
});

describe('bytes', () => {
  it('are shown around the first that differs', () => {
    const a = Uint8Array.from({ length: 100 }, (_, i) => i);
    const b = a.slice();
    b[40] = 0;
    b[99] = 0;
    expect(byteDifference(0, a, a.slice())).toBeUndefined();
    expect(byteDifference(64, a, b)).toMatchObject({ gpa: 64, at: 40, differing: 2, length: 100, start: 24 });
    expect(byteDifference(0, a, a.subarray(0, 60))).toMatchObject({ at: 60, differing: 40, length: 100 });
  });
});

describe('register answers', () => {
  const check = (size: number, policies: readonly string[] = []) => {
    const found = new Divergences();
    const answers = new AnswerCheck(new Policies(policies), found, new Observed(), () => ({
      name: 'net 1',
      deviceId: 1,
    }));
    return {
      found,
      ask: (offset: number, low: number, high: number, got: number, top: number) => {
        answers.expect(5, 1, offset, size, low, high);
        answers.answer(5, got, top);
        return answers;
      },
    };
  };

  it('count as many bytes as the access has', () => {
    const byte = check(1);
    byte.ask(0x100, 0xffff_ff12, 7, 0x12, 0);
    expect(byte.found.count).toBe(0);
    byte.ask(0x106, 0x12, 0, 0x13, 0);
    expect(byte.found.list).toMatchObject([
      { register: 'Config+0x6 (status)', expected: '0x12', got: '0x13', device: 'net 1', transport: 1 },
    ]);
    const wide = check(8);
    wide.ask(0x100, 1, 2, 1, 2);
    expect(wide.found.count).toBe(0);
    wide.ask(0x100, 1, 2, 1, 3);
    expect(wide.found.list).toMatchObject([{ expected: '0x0000000200000001', got: '0x0000000300000001' }]);
  });

  it('do not count where a policy says so', () => {
    for (const policy of ['config', 'register:100', 'register:0x100']) {
      const { found, ask } = check(4, [policy]);
      ask(0x100, 1, 0, 2, 0);
      expect(found.count).toBe(0);
    }
    const { found, ask } = check(4, ['register:queuenummax']);
    ask(0x34, 1, 0, 2, 0);
    ask(0x60, 1, 0, 2, 0);
    expect(found.list).toMatchObject([{ register: 'InterruptStatus' }]);
  });

  it('of a network card may lack what a tap had offered, and nothing else', () => {
    const { found, ask } = check(4, ['net-header']);
    ask(0x10, 0x39bf_ffe7, 0, 0x39bf_8064, 0);
    expect(found.count).toBe(0);
    // Mergeable buffers are no offload, nor is another register one of features.
    ask(0x10, 0x39bf_ffe7, 0, 0x39bf_7fe7, 0);
    ask(0x34, 1, 0, 0, 0);
    expect(found.count).toBe(2);
    const strict = check(4);
    strict.ask(0x10, 0x39bf_ffe7, 0, 0x39bf_8064, 0);
    expect(strict.found.count).toBe(1);
  });

  it('that nobody asked for are a fault of the target', () => {
    const answers = check(4).ask(0, 1, 0, 1, 0);
    expect(() => {
      answers.answer(5, 1, 0);
    }).toThrow('which it was not asked now');
  });
});

describe('interrupts', () => {
  const finished = (recorded: [number, number][], got: [number, number][], policies: string[] = []) => {
    const check = new InterruptCheck();
    for (const [step, level] of recorded) check.expect(step, 2, level);
    for (const [step, level] of got) check.got(step, 2, level);
    const found = new Divergences();
    const all = new Policies(policies);
    check.finish([{ transport: 2, name: 'gpu 2' }], (step) => step, all, found, 99);
    return {
      list: found.list,
      ignored: Object.fromEntries(all.ignored.map((item) => [item.policy, item.count])),
    };
  };

  it('are compared as changes: calls that change nothing say nothing', () => {
    const { list } = finished(
      [
        [1, 1],
        [2, 1],
        [3, 0],
      ],
      [
        [0, 0],
        [1, 1],
        [3, 0],
        [4, 0],
      ],
    );
    expect(list).toEqual([]);
  });

  it('may come later, which is counted', () => {
    const { list, ignored } = finished(
      [
        [1, 1],
        [3, 0],
      ],
      [
        [2, 1],
        [3, 0],
      ],
    );
    expect([list, ignored]).toEqual([[], { 'irq-position': 1 }]);
  });

  it('that are too few or too many show where they come apart', () => {
    const few = finished(
      [
        [1, 1],
        [3, 0],
        [5, 1],
        [6, 0],
      ],
      [
        [1, 1],
        [6, 0],
      ],
    );
    expect(few.list).toMatchObject([
      {
        step: 3,
        field: 'change 1 (level 0)',
        expected: '4 changes, this one at step 3',
        got: '2 changes, this one at step 6',
      },
    ]);
    const many = finished(
      [[1, 1]],
      [
        [1, 1],
        [2, 0],
      ],
    );
    expect(many.list).toMatchObject([{ step: 2, expected: '1 changes, not this one' }]);
    expect(
      finished(
        [[1, 1]],
        [
          [1, 1],
          [2, 0],
        ],
        ['irq'],
      ),
    ).toMatchObject({ list: [], ignored: { irq: 1 } });
    expect(finished([], [[1, 1]]).list).toEqual([]);
  });
});
