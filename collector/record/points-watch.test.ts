import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { counterOffsets } from '../../fixtures/exact-clock.ts';
import { fileOf, record, window } from '../../fixtures/xentrace-bytes.ts';
import { PointsWatch } from './points-watch.ts';

const SCHEDULER = fileOf(
  window(0, [record(0x28004, [5, 0], 1000), record(0x21311, [(5 << 16) | 0], 1001)]),
  window(1, [record(0x21002, [0], 1002)]),
);
const OLD = fileOf(window(1, [record(0x88002, [5 << 16, 0x10, 0], 1003)]));
const TOLD = counterOffsets({ 0: 0x1_0000_0007n, 5: 99n }, 1004);

function watched(bytes: Uint8Array, cuts: readonly number[] = []): PointsWatch {
  const watch = new PointsWatch();
  let from = 0;
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    watch.push(bytes.slice(from, cut));
    from = cut;
  }
  watch.push(bytes.slice(from));
  return watch;
}

const all = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

describe('what the first records say of the trace points', () => {
  it.each([
    ['nothing of them', all(SCHEDULER), 'none', undefined],
    ['the nine alone', all(SCHEDULER, OLD), 'some', undefined],
    ['counter offsets', all(SCHEDULER, OLD, TOLD), 'all', 0x1_0000_0007n],
    ['counter offsets without Dom0', all(counterOffsets({ 5: 9n }, 1)), 'all', undefined],
    ['no bytes', all(), 'none', undefined],
  ])('%s', (_, bytes, verdict, offset) => {
    const watch = watched(bytes);
    expect([watch.verdict(), watch.dom0Offset]).toEqual([verdict, offset]);
  });

  it('does not depend on the pieces in which they come', () => {
    const bytes = all(SCHEDULER, OLD, TOLD, SCHEDULER);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 12 }), (cuts) => {
        expect(watched(bytes, cuts).dom0Offset).toBe(0x1_0000_0007n);
      }),
    );
  });

  it('looks no further once it knows, and holds nothing', () => {
    const watch = watched(TOLD);
    expect(watch.settled).toBe(true);
    const { bytes } = watch;
    watch.push(SCHEDULER);
    expect(watch.bytes).toBe(bytes);
  });

  it('survives any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, framed) => {
        const inside = fileOf(window(0, [], bytes.length - (bytes.length % 4)));
        const watch = watched(framed ? all(inside, bytes) : bytes);
        expect(['all', 'some', 'none']).toContain(watch.verdict());
      }),
    );
  });
});
