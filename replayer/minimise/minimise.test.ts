import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REC_TAG, RecordingBatch } from '../../trace/recording.ts';
import { ddmin, shortestBegin } from './ddmin.ts';
import { minimise } from './minimise.ts';
import { RecordingUnits } from './units.ts';

const range = (n: number): Uint32Array => Uint32Array.from({ length: n }, (_, i) => i);

describe('delta debugging', () => {
  it('finds exactly the units that are needed together', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.nat(199), { maxLength: 12 }),
        fc.integer({ min: 1, max: 200 }),
        async (needed, n) => {
          const inside = needed.filter((unit) => unit < n).sort((a, b) => a - b);
          const shows = (kept: Uint32Array): boolean => inside.every((unit) => kept.includes(unit));
          expect([...(await ddmin(range(n), shows))]).toEqual(inside);
        },
      ),
    );
  });

  it('ends with nothing that can be left out alone, whatever the answers are', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.integer({ min: 1, max: 40 }), async (seed, n) => {
        // An answer that depends on the set alone, and on nothing sensible.
        const shows = (kept: Uint32Array): boolean =>
          kept.length === n || [...kept].reduce((h, unit) => Math.imul(h ^ unit, 0x9e3779b1), seed) % 3 === 0;
        const left = await ddmin(range(n), shows);
        for (const unit of left) expect(left.length < n && shows(left.filter((u) => u !== unit))).toBe(false);
      }),
    );
  });

  it('takes few tries where little is needed', async () => {
    let tries = 0;
    const left = await ddmin(range(10_000), (kept) => {
      tries++;
      return kept.includes(1234) && kept.includes(9000);
    });
    expect([...left]).toEqual([1234, 9000]);
    expect(tries).toBeLessThan(120);
  });

  it('finds the shortest begin', async () => {
    for (const last of [0, 1, 7, 31, 32])
      expect((await shortestBegin(range(32), (kept) => kept.length >= last)).length).toBe(last);
  });
});

/** Rows by one letter each: R and W of device 0 (r and w of device 1), M, N, X at a notify, x elsewhere, I. */
function recording(letters: string): RecordingBatch[] {
  const batches: RecordingBatch[] = [];
  for (let at = 0; at < letters.length; at += 5) {
    const batch = new RecordingBatch(5);
    for (const [i, letter] of Array.from(letters.slice(at, at + 5)).entries()) {
      const used = letter === 'X' ? '"u":[],"at":"notify"' : letter === 'x' ? '"u":[]' : '';
      const tag = letter.toUpperCase().charCodeAt(0);
      const payload = letter === 'M' ? Uint8Array.of(at + i, 1, 2) : undefined;
      const row = batch.push(tag, at + i, used, payload);
      if (letter === 'r' || letter === 'w') batch.addr[2 * row] = 0x200;
    }
    batches.push(batch);
  }
  return batches;
}
const slotOf = (address: number): number => address >>> 9;
const letters = (batches: readonly RecordingBatch[]): string =>
  batches.flatMap((b) => [...b.tag.subarray(0, b.length)].map((tag) => String.fromCharCode(tag))).join('');

describe('minimising a recording', () => {
  it('keeps an access together with its memory, its notify and what came of it', () => {
    const units = new RecordingUnits(recording('RMMNWXIIxRMwMM'), slotOf);
    expect([...units.group]).toEqual([0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4]);
    expect([...units.transport]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0xffff, 0xffff]);
    expect(units.groups).toBe(5);
  });

  it('copies rows whole, over batches', () => {
    const rows = recording('RMMNWXIIxRMwMM');
    const units = new RecordingUnits(rows, slotOf);
    const [some] = units.select([1, 2, 3, 11, 12]);
    expect(letters([some!])).toBe('MMNWM');
    expect([...some!.step.subarray(0, 5)]).toEqual([1, 2, 3, 11, 12]);
    expect([0, 1, 2, 4].map((i) => [...some!.payload(i)])).toEqual([[1, 1, 2], [2, 1, 2], [], [12, 1, 2]]);
    expect(some!.addr[6]).toBe(0x200);
    expect(letters(units.select(range(14)))).toBe('RMMNWXIIXRMWMM');
  });

  it('leaves what is needed, and says how it got there', async () => {
    const text = 'RRWW' + 'rrMMNWXIxR'.repeat(30) + 'WwwRRrr';
    const units = new RecordingUnits(recording(text), slotOf);
    const needed = [3, 106, 107, 109];
    const withNotify = [3, 106, 107, 108, 109];
    const told: string[] = [];
    const found = await minimise(units, {
      limit: 10_000,
      progress: (what) => told.push(what),
      shows: (batches) => {
        const steps = new Set(batches.flatMap((b) => [...b.step.subarray(0, b.length)]));
        return needed.every((step) => steps.has(step));
      },
    });
    expect([...found!.rows]).toEqual(withNotify);
    expect(found!.minimal).toBe(true);
    expect(found!.tried).toBe(told.length);
    expect(found!.tried).toBeLessThan(100);
    expect([...new Set(told)]).toEqual([
      'the whole recording',
      'what comes behind',
      'devices',
      'accesses with their memory',
      'accesses',
      'memory and used records',
    ]);
  });

  it('ends at its limit with something that shows it, and refuses what does not', async () => {
    const units = new RecordingUnits(recording('RW'.repeat(100)), slotOf);
    const shows = (batches: readonly RecordingBatch[]): boolean => letters(batches).includes('W');
    const found = await minimise(units, { limit: 4, shows });
    expect(found!.minimal).toBe(false);
    expect(shows(units.select(found!.rows))).toBe(true);
    expect(await minimise(units, { limit: 9, shows: () => false })).toBeUndefined();
  });

  it('has every tag of the format in one group or another', () => {
    const tags = Object.values(REC_TAG).map((tag) => (tag === 0 ? 'Q' : String.fromCharCode(tag)));
    const units = new RecordingUnits(recording(`${tags.join('')}R`), slotOf);
    expect(units.rows).toBe(tags.length + 1);
  });
});
