import { createHash } from 'node:crypto';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { startImage } from '../../fixtures/qemu-virt/disk.ts';
import { Recording } from '../recording/load.ts';
import { ReplayRun } from '../run.ts';
import { BuiltinTarget, builtinTarget } from '../targets/builtin.ts';
import { batchesOf, unxz } from '../testing/recordings.ts';
import { memoryWrites } from './memory-writes.ts';
import type { Steps } from './steps.ts';
import { diffStates } from './state-diff.ts';
import { DebugSession } from './session.ts';

const FOLDER = join(import.meta.dirname, '../../fixtures/recordings');

interface Play {
  recording: Recording;
  open: (every: number) => Promise<DebugSession>;
}

/** A recording, with a read of every `spoil`-th made wrong so that there are divergences to be had back. */
function play(name: string, spoil: number): Play {
  let reads = 0;
  const text = unxz(join(FOLDER, `${name}.jsonl.xz`))
    .toString()
    .replace(/^(\{"t":"R".*?"v":)(\d+)/gm, (whole, before: string, value: string) =>
      ++reads % spoil === 0 ? `${before}${Number(value) + (Number(value) % 2 === 0 ? 1 : -1)}` : whole,
    );
  const recording = new Recording(batchesOf(text));
  const disks = new Map(
    name.startsWith('net') || name.startsWith('con') || name.startsWith('gpu') ? [] : [[0, startImage()]],
  );
  const newRun = (): ReplayRun => new ReplayRun(recording, builtinTarget(), { disks, checkpoints: true });
  return { recording, open: (every) => DebugSession.open(recording, newRun, every) };
}

const pages = new WeakMap<Steps['recording'], number[]>();
/** All guest memory that the recording ever writes to. */
function pagesOf(steps: Steps): number[] {
  const known = pages.get(steps.recording);
  if (known !== undefined) return known;
  const found = new Set<number>();
  for (const { gpa, length } of memoryWrites(steps, 0, steps.count))
    for (let page = Math.floor(gpa / 4096); page * 4096 < gpa + length; page++) found.add(page);
  pages.set(steps.recording, [...found]);
  return [...found];
}

/** Bytes by their hash. */
function plain(_: string, value: unknown): unknown {
  return value instanceof Uint8Array ? createHash('sha256').update(value).digest('hex') : value;
}

/** All that can be known of a position: devices, guest RAM, disks and output, divergences, the driver's view. */
function stateOf(session: DebugSession): string {
  const { target } = session;
  if (!(target instanceof BuiltinTarget)) throw new Error('the built-in target is needed');
  const hash = createHash('sha256').update(JSON.stringify(target.save(), plain));
  for (const page of pagesOf(session.steps)) hash.update(target.view(page * 4096, 4096));
  hash.update(JSON.stringify(session.divergences));
  for (const transport of session.view.transports())
    hash.update(JSON.stringify([session.view.state(transport), [...session.view.seenOf(transport)!.config]]));
  return hash.digest('hex');
}

/** Of the result, all but how long it took. */
async function endOf(session: DebugSession): Promise<unknown> {
  const result = (await session.finish()) as unknown as { runs: { hash: string }[] };
  return { ...result, runs: result.runs.map(({ hash }) => hash) };
}

describe.each([
  ['all-modern', 97],
  ['blk-packed', 23],
  ['gpu-modern', 11],
  ['net-legacy', 13],
  ['console-packed', 301],
])('going back and forth in %s', (name, spoil) => {
  it('gives what a straight replay gives, everywhere and in the end', async () => {
    const { open } = play(name, spoil);
    const straight = await open(1e9);
    const { count } = straight.steps;
    // Some places, among them the last ones: what each holds when come to straight on.
    const places = Array.from({ length: 9 }, (_, i) => Math.floor((count * i) / 8));
    const known = new Map<number, string>();
    for (const place of places) {
      await straight.goTo(place);
      known.set(place, stateOf(straight));
    }
    expect(new Set(known.values()).size).toBeGreaterThan(4);
    expect(straight.divergences.length).toBeGreaterThan(1);
    // Where a wrong feature read leads to frames that never come, it gives up.
    const furthest = straight.position;
    const end = await endOf(straight);
    await straight.close();
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: Math.ceil(count / 2) }),
        fc.array(fc.oneof(fc.constantFrom(...places), fc.nat(count)), { minLength: 3, maxLength: 10 }),
        async (every, walk) => {
          const session = await open(every);
          for (const place of walk) {
            await session.goTo(place);
            expect(session.position).toBe(Math.min(place, furthest));
            const expected = known.get(place);
            if (expected !== undefined) expect(stateOf(session)).toBe(expected);
          }
          expect(await endOf(session)).toEqual(end);
          // From behind the end, too.
          const place = places[walk.length % 8]!;
          await session.goTo(place);
          expect(stateOf(session)).toBe(known.get(place));
          expect(await endOf(session)).toEqual(end);
          await session.close();
        },
      ),
      { numRuns: 4 },
    );
  });
});

describe('what is kept to go back to', () => {
  it('is bounded: moments become fewer, and still give the same', async () => {
    const { open } = play('console-packed', 301);
    const session = await open(4);
    await session.goTo(session.steps.count);
    const kept = session.kept!;
    expect(kept.moments).toBeLessThanOrEqual(128);
    expect(kept.every).toBe(64);
    expect(kept.bytes).toBeLessThan(16 << 20);
    const before = stateOf(session);
    for (let i = 0; i < 40; i++) await session.stepBack(37);
    await session.goTo(session.steps.count);
    expect(stateOf(session)).toBe(before);
    await session.close();
  });

  it('serves comparisons of two positions, and runs back over conditions on requests', async () => {
    const { open } = play('all-modern', 1e9);
    const [one, other] = [await open(16), await open(1e9)];
    const both = async <T>(what: (session: DebugSession) => Promise<T>): Promise<T> => {
      const [a, b] = [await what(one), await what(other)];
      expect(a).toEqual(b);
      expect(one.position).toBe(other.position);
      return a;
    };
    await both((session) => session.goTo(session.steps.count));
    let met = 0;
    for (;;) {
      const why = await both(async (session) => {
        const place = session.parse('blk0 queue 0 if type == write && sector >= 100');
        return (await session.backward({ id: 0, ...place })).why;
      });
      if (why !== 'breakpoint') break;
      met++;
    }
    expect(met).toBeGreaterThan(3);
    const { fields, memory } = await both((session) => diffStates(session, 900, 1800));
    expect(fields.length + memory.length).toBeGreaterThan(4);
    await one.close();
    await other.close();
  });
});
