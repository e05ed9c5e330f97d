import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkAnswers } from '../fixtures/scale/answers.ts';
import type { LargeTrace } from '../fixtures/scale/large-trace.ts';
import { layLargeTrace } from '../fixtures/scale/large-trace.ts';
import type { EventColumns } from '../trace/columns.ts';
import { EventBatch } from '../trace/columns.ts';
import type { Manifest } from '../trace/manifest.ts';
import { copyRows } from '../fixtures/scale/tile.ts';
import { analyzeTrace } from './report/build.ts';
import type { TraceView } from './view.ts';

/** The same events in batches of the sizes that `size` gives; each batch has memory of its own, or all have the same. */
function cut(trace: LargeTrace, size: () => number, reuse = false): TraceView {
  return {
    manifest: trace.manifest,
    source: (id) => ({
      *batches(): Generator<EventColumns> {
        const shared = new EventBatch(70_000);
        for (const batch of trace.batches(id)) {
          for (let from = 0; from < batch.length;) {
            const rows = Math.min(size(), batch.length - from);
            const out = reuse ? shared : new EventBatch(rows);
            out.clear();
            copyRows(batch, from, out, rows, 0);
            out.length = rows;
            yield out;
            from += rows;
          }
        }
      },
    }),
  };
}

const report = (view: TraceView): string =>
  JSON.stringify(analyzeTrace(view, { path: 'trace', by: ['device', 'register'] }));

describe.each([false, true])('a long trace, patched: %s', (patched) => {
  let trace: LargeTrace;
  let whole: string;
  beforeAll(async () => {
    trace = await layLargeTrace({ events: 100_000, patched, tiles: 2, tileIoreqs: 400, vcpus: 3 });
    whole = report(cut(trace, () => 65_536));
  });

  it('has the counts, extremes and percentiles that it was made with', () => {
    expect(
      checkAnswers(
        analyzeTrace(
          cut(trace, () => 65_536),
          { path: 'trace' },
        ),
        trace.truth,
      ),
    ).toEqual([]);
  });

  it.each([1000, 4096, 7777])('gives the same report to the last byte in batches of %i', (rows) => {
    expect(report(cut(trace, () => rows))).toBe(whole);
  });

  it('and however it is cut into pieces, with memory that is used again for each', () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.integer({ min: 1, max: 3000 })), fc.boolean(), (sizes, reuse) => {
        expect(report(cut(trace, () => sizes.next().value as number, reuse)) === whole).toBe(true);
      }),
      { numRuns: 4 },
    );
  });
});

describe('the generator', () => {
  it('makes the same trace of the same seed, whatever its batches', async () => {
    const columns = async (seed: number, batchRows: number): Promise<string> => {
      const trace = await layLargeTrace({ events: 20_000, tiles: 2, tileIoreqs: 200, seed, batchRows });
      const sums = trace.manifest.sources.map(({ id }) => {
        let sum = 0;
        let n = 0;
        for (const { length, ts, kind, arg0 } of trace.batches(id)) {
          for (let i = 0; i < length; i++) sum = (sum * 31 + ts[i]! + kind[i]! * 7 + arg0[i]! + n++) % 1e15;
        }
        return [id, n, sum];
      });
      return JSON.stringify([sums, withoutPaths(trace.manifest)]);
    };
    const first = await columns(3, 500);
    expect(await columns(3, 65_536)).toBe(first);
    expect(await columns(4, 500)).not.toBe(first);
  });

  it('lays out in time order what it says', async () => {
    const trace = await layLargeTrace({ events: 60_000, tiles: 3, tileIoreqs: 200 });
    const { manifest, truth } = trace;
    let rows = 0;
    for (const facts of manifest.sources) {
      let last = -Infinity;
      let ordered = true;
      for (const { ts, length } of trace.batches(facts.id)) {
        for (let i = 0; i < length; i++) {
          ordered &&= ts[i]! >= last;
          last = ts[i]!;
        }
        rows += length;
      }
      expect(ordered).toBe(true);
      expect(last).toBe(facts.lastTs);
    }
    expect(rows).toBe(truth.events);
    expect(rows).toBeGreaterThanOrEqual(60_000);
  });
});

function withoutPaths(manifest: Manifest): unknown {
  return { ...manifest, unknownFiles: [] };
}
