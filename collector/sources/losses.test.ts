import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MAX_LOSSES, addLoss } from './losses.ts';
import type { Loss } from './source.ts';

const sums = (losses: readonly Loss[]): Map<number | undefined, number> => {
  const byCpu = new Map<number | undefined, number>();
  for (const { cpu, count } of losses) byCpu.set(cpu, (byCpu.get(cpu) ?? 0) + Math.max(1, count));
  return byCpu;
};

it('keeps the first losses, and of all others the counts by CPU', () => {
  const one = fc.record(
    { cpu: fc.nat(5), count: fc.nat(3), ts: fc.nat() },
    { requiredKeys: ['count', 'ts'] },
  );
  fc.assert(
    fc.property(
      fc.array(one, { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 300, max: 900 }),
      (few, times) => {
        const all = Array.from({ length: times }, () => few).flat();
        const kept: Loss[] = [];
        for (const loss of all) addLoss(kept, loss);
        expect(kept.length).toBeLessThanOrEqual(Math.min(all.length, MAX_LOSSES + 7));
        expect(kept.slice(0, MAX_LOSSES)).toEqual(all.slice(0, MAX_LOSSES));
        expect(sums(kept)).toEqual(sums(all));
      },
    ),
    { numRuns: 20 },
  );
});
