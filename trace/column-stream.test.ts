import fc from 'fast-check';
import { mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeSmallTrace } from '../fixtures/small-trace.ts';
import { EVENT_COLUMNS } from './arrow/event-schema.ts';
import { MemoryInput } from './bytes/input.ts';
import { timeAt } from './column-stream.ts';
import type { EventColumns } from './columns.ts';
import { isTraceError } from './errors.ts';
import { openTrace } from './open.ts';
import { readEvents, streamEvents } from './reader.ts';

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-stream-'));
});
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

/** Every column of every batch as plain numbers, asked for in the order of `names`. */
function gathered(
  batches: Iterable<EventColumns>,
  names: readonly (typeof EVENT_COLUMNS)[number][],
): string[] {
  const all: string[] = [];
  for (const batch of batches) {
    for (const { name, type } of names) {
      const values = batch[name].subarray(0, batch.length * (type === 'u64' ? 2 : 1));
      all.push(`${name} ${values.join(' ')}`);
    }
  }
  return all;
}

describe('streamed columns', () => {
  it('hold what the batches hold, whichever columns are asked for, and in whichever order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 }),
        fc.shuffledSubarray([...EVENT_COLUMNS], { minLength: 1 }),
        (sizes, names) => {
          const dir = mkdtempSync(join(scratch, 't-'));
          rmSync(dir, { recursive: true });
          writeSmallTrace(dir, sizes);
          const source = openTrace(dir).source('xen');
          expect(gathered(source.stream(), names)).toEqual(gathered(source.batches(), names));
          rmSync(dir, { recursive: true });
        },
      ),
      { numRuns: 40 },
    );
  });

  it('tell a row of the time without the rest', () => {
    const dir = join(scratch, 'times');
    writeSmallTrace(dir, [5, 3]);
    const source = openTrace(dir).source('xen');
    const streamed = [...map(source.stream(), (b) => [timeAt(b, 0), timeAt(b, b.length - 1)])];
    expect(streamed).toEqual([
      [0.5, 4.5],
      [5.5, 7.5],
    ]);
    expect([...map(source.batches(), (b) => timeAt(b, b.length - 1))]).toEqual([4.5, 7.5]);
  });

  it('end with the same whole batch as the other reader, wherever the file is cut off', () => {
    const dir = join(scratch, 'cut');
    writeSmallTrace(dir, [4, 4, 4]);
    const bytes = readFileSync(join(dir, 'events-xen.arrows'));
    for (let length = 0; length <= bytes.length; length += 13) {
      const input = (): MemoryInput => new MemoryInput('cut', bytes.subarray(0, length));
      expect(gathered(streamEvents(input()), EVENT_COLUMNS)).toEqual(
        gathered(readEvents(input()), EVENT_COLUMNS),
      );
    }
  });

  it('say so if the file gets shorter while it is read', () => {
    const dir = join(scratch, 'shrinks');
    writeSmallTrace(dir, [1000]);
    const read = (): number => {
      let sum = 0;
      for (const batch of openTrace(dir).source('xen').stream()) {
        truncateSync(join(dir, 'events-xen.arrows'), 5000);
        sum += batch.arg3[999]!;
      }
      return sum;
    };
    let code: unknown;
    try {
      read();
    } catch (error) {
      code = isTraceError(error) ? error.code : error;
    }
    expect(code).toBe('E_TRACE_DAMAGED');
  });
});

function* map<A, B>(items: Iterable<A>, to: (item: A) => B): Generator<B> {
  for (const item of items) yield to(item);
}
