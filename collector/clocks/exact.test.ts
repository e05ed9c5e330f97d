import fc from 'fast-check';
import { expect, it } from 'vitest';
import { timekeeperWords } from '../../fixtures/exact-clock.ts';
import type { ClockInput } from './clock-input.ts';
import { exactRelation } from './exact.ts';
import { counterLine } from './timekeeper.ts';

/** Only names and epochs matter: no event is read. */
function input(hz: number, unit: 'ns' | 'us' = 'ns', clockName = 'mono_raw'): ClockInput {
  const batches = (): [] => [];
  return {
    xen: { batches, epoch: 0n, hz, id: 'xen' },
    dom0: { batches, epoch: 0n, clockName, strings: [], id: 'dom0', unit },
    domid: 1,
  };
}

/** Xen tells whole kHz, cut off; the kernel knows the frequency itself. */
const FREQUENCIES = [62_500_000, 24_000_000, 33_333_333, 100_000_000, 1_000_000_000];

it('holds every reading of both clocks within its error, at any frequency', () => {
  const cases = fc.record({
    hz: fc.constantFrom(...FREQUENCIES),
    dom0Offset: fc.integer({ min: 0, max: 2 ** 45 }),
    clockStart: fc.integer({ min: 0, max: 2 ** 34 }),
    seconds: fc.array(fc.double({ min: 20, max: 5000, noNaN: true }), { minLength: 1, maxLength: 20 }),
    unit: fc.constantFrom('ns' as const, 'us' as const),
  });
  fc.assert(
    fc.property(cases, ({ hz, dom0Offset, clockStart, seconds, unit }) => {
      const reported = Math.floor(hz / 1000) * 1000;
      const constants = { counterHz: hz, offsetTicks: dom0Offset, clockStart };
      const timekeeper = [10, 11].map((s) => timekeeperWords(constants, { at: clockStart + s * hz }));
      const line = counterLine(timekeeper, reported);
      if (typeof line === 'string') throw new Error(line);
      const read = (cntvct: bigint): bigint => {
        const ns = (cntvct * line.mult + line.constant) >> line.shift;
        return unit === 'ns' ? ns : ((ns + 500n) / 1000n) * 1000n;
      };
      const counts = seconds
        .map((s) => BigInt(clockStart + Math.round(s * hz)))
        .sort((a, b) => (a < b ? -1 : 1));
      const [first = 0n, last = 0n] = [counts[0], counts.at(-1)];
      const offset = BigInt(dom0Offset);
      const relation = exactRelation(
        input(reported, unit),
        { dom0Offset: offset, timekeeper, pairs: [] },
        { xenTicks: [first + offset, last + offset], dom0Ns: [read(first), read(last)] },
      );
      if (typeof relation === 'string') throw new Error(relation);
      for (const count of counts) {
        // ns beyond the offset at the reference, with the large parts taken off exactly.
        const since = Number(read(count) - BigInt(relation.referenceDom0Ns));
        const whole = BigInt(Math.trunc(relation.offsetNs));
        const milliHz = BigInt(reported * 1000);
        const xen = (count + offset) * 1_000_000_000_000n;
        const rest = Number(xen - (read(count) + whole) * milliHz) / Number(milliHz);
        const error = rest - (relation.offsetNs - Number(whole)) - relation.rate * since;
        expect(Math.abs(error)).toBeLessThanOrEqual(relation.maxErrorNs + 1e-3);
      }
      expect(relation.maxErrorNs).toBeLessThan(unit === 'ns' ? 1 : 501);
    }),
  );
});

it('is not made of what is not of one recording', () => {
  const constants = { counterHz: 62_500_000, offsetTicks: 0, clockStart: 0 };
  const timekeeper = [10, 11].map((s) => timekeeperWords(constants, { at: s * 62_500_000 }));
  const span = { xenTicks: [0n, 62_500_000n], dom0Ns: [900_000_000_000n, 901_000_000_000n] } as const;
  expect(exactRelation(input(62_500_000), { dom0Offset: 0n, timekeeper, pairs: [] }, span)).toBe(
    "it would put Xen's records 899 s from Dom0's",
  );
  const far = { dom0Offset: 2n ** 64n - 1n, timekeeper, pairs: [] };
  expect(exactRelation(input(62_500_000), far, span)).toMatch(
    /^it would put Xen's records \d+ s from Dom0's$/,
  );
});

it('is not made of samples of the counter that contradict each other', () => {
  const span = { xenTicks: [0n, 625_000_000n], dom0Ns: [0n, 10_000_000_000n] } as const;
  const pair = (ns: bigint, off: bigint): { before: bigint; ns: bigint; after: bigint } => ({
    before: ns / 16n + off,
    ns,
    after: ns / 16n + off + 20n,
  });
  const with_ = (...pairs: ReturnType<typeof pair>[]): ReturnType<typeof exactRelation> =>
    exactRelation(input(62_500_000), { dom0Offset: 0n, timekeeper: [], pairs }, span);
  expect(with_(pair(0n, 0n), pair(16_000_000_000n, 100_000n))).toBe(
    "the kernel's timekeeper was not read, and the samples of the counter contradict each other",
  );
  expect(with_(pair(0n, 0n), pair(16_000_000_000n, 5n))).toMatchObject({ exact: true });
  expect(with_()).toBe("the kernel's timekeeper was not read");
});
