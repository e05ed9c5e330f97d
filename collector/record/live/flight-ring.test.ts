import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fileOf, record, window } from '../../../fixtures/xentrace-bytes.ts';
import { isTraceError } from '../../../trace/errors.ts';
import { FlightRing, MIN_RING_BYTES } from './flight-ring.ts';

const PAGE = 4096;

/** Pages of a CPU that tell which they are: number `first` and on. */
function pages(cpu: number, first: number, count: number): Uint8Array {
  const bytes = Buffer.alloc(count * PAGE, cpu + 1);
  for (let p = 0; p < count; p++) bytes.writeUInt32LE(first + p, p * PAGE);
  return bytes;
}

interface Drained {
  source: string;
  round: number;
  bytes: Buffer;
}

function drain(ring: FlightRing): Drained[] {
  const out: Drained[] = [];
  ring.drain((source, round, bytes) => out.push({ source, round, bytes: Buffer.from(bytes) }));
  return out;
}

describe('FlightRing', () => {
  it('keeps an unbroken end of each source, oldest chunks going first, in no more than its size', () => {
    const add = fc.record({
      cpu: fc.integer({ min: 0, max: 3 }),
      count: fc.integer({ min: 0, max: 40 }),
    });
    const size = fc.integer({ min: MIN_RING_BYTES, max: 600_000 });
    fc.assert(
      fc.property(size, fc.array(add, { maxLength: 40 }), (bytes, adds) => {
        const ring = new FlightRing(bytes);
        const next = [0, 0, 0, 0];
        let given = 0;
        adds.forEach(({ cpu, count }, round) => {
          ring.addPages(`cpu${cpu}`, round, pages(cpu, next[cpu]!, count), PAGE);
          next[cpu]! += count;
          given += count * PAGE;
          expect(ring.bytes).toBeLessThanOrEqual(bytes);
        });
        const held = ring.bytes;
        expect(held + ring.dropped.bytes).toBe(given);
        // No more is dropped than makes room: one chunk more would not fit.
        if (ring.dropped.bytes > 0) expect(held + 16 * PAGE).toBeGreaterThan(bytes - 16 * PAGE);
        const out = drain(ring);
        expect(out.reduce((sum, c) => sum + c.bytes.length, 0)).toBe(held);
        expect(out.map((c) => c.round)).toEqual(out.map((c) => c.round).sort((a, b) => a - b));
        const seen: (number | undefined)[] = [];
        for (const { source, bytes: chunk } of out) {
          expect(chunk.length % PAGE).toBe(0);
          const cpu = Number(source.slice(3));
          for (let at = 0; at < chunk.length; at += PAGE) {
            const number = chunk.readUInt32LE(at);
            expect(chunk.subarray(at + 4, at + PAGE).every((b) => b === cpu + 1)).toBe(true);
            if (seen[cpu] !== undefined) expect(number).toBe(seen[cpu] + 1);
            seen[cpu] = number;
          }
        }
        seen.forEach((last, cpu) => {
          if (last !== undefined) expect(last).toBe(next[cpu]! - 1);
        });
        expect([ring.bytes, ring.chunks]).toEqual([0, 0]);
      }),
      { numRuns: 40 },
    );
  });

  it('keeps whole windows of xentrace, however its output is cut', () => {
    const windows = Array.from({ length: 200 }, (_, n) =>
      fileOf(
        window(n % 3, [
          record(0x21002, [n], n + 1),
          ...Array.from({ length: 300 }, () => record(0x21002, [n])),
        ]),
      ),
    );
    const stream = Buffer.concat(windows);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1 }), (cuts) => {
        const ring = new FlightRing(MIN_RING_BYTES);
        for (let at = 0, round = 0; at < stream.length; round++) {
          const to = at + cuts[round % cuts.length]!;
          ring.addXentrace('xen', round, stream.subarray(at, to));
          expect(ring.bytes).toBeLessThanOrEqual(MIN_RING_BYTES);
          at = to;
        }
        const kept = Buffer.concat(drain(ring).map((c) => c.bytes));
        expect(kept.length % windows[0]!.length).toBe(0);
        expect(kept.length).toBeGreaterThan(MIN_RING_BYTES / 3);
        expect(kept.equals(stream.subarray(stream.length - kept.length))).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  it('counts what cannot be kept', () => {
    const ring = new FlightRing(MIN_RING_BYTES);
    ring.addChunk('log', 0, [new Uint8Array(MIN_RING_BYTES + 1)]);
    expect(ring.dropped).toEqual({ chunks: 1, bytes: MIN_RING_BYTES + 1 });
    ring.addPages('cpu0', 1, new Uint8Array(PAGE + 5), PAGE);
    ring.addXentrace('xen', 1, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12));
    ring.addXentrace('xen', 1, new Uint8Array(8));
    expect(ring.dropped).toEqual({ chunks: 3, bytes: MIN_RING_BYTES + 1 + 5 + 8 });
    expect(drain(ring).map((c) => [c.source, c.bytes.length])).toEqual([['cpu0', PAGE]]);
  });

  it('does not give a chunk twice if the sink throws', () => {
    const ring = new FlightRing(MIN_RING_BYTES);
    for (let n = 0; n < 3; n++) ring.addPages('cpu0', n, pages(0, n, 1), PAGE);
    const rounds: number[] = [];
    const full = (_source: string, round: number): void => {
      rounds.push(round);
      if (round === 1) throw new Error('disk full');
    };
    expect(() => {
      ring.drain(full);
    }).toThrow('disk full');
    ring.drain(full);
    expect(rounds).toEqual([0, 1, 2]);
  });

  it('refuses sizes that make no sense', () => {
    for (const size of [0, 100, MIN_RING_BYTES - 1, NaN, 2 ** 60]) {
      expect(() => new FlightRing(size)).toThrow(
        expect.toSatisfy((e: unknown) => isTraceError(e) && e.code === 'E_USAGE') as Error,
      );
    }
  });
});
