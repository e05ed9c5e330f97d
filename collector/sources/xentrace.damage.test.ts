import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fileOf, record, window } from '../../fixtures/xentrace-bytes.ts';
import { rowText } from '../../fixtures/xentrace-text.ts';
import { EventBatch } from '../../trace/columns.ts';
import { TraceError } from '../../trace/errors.ts';
import type { ByteSource } from '../input/byte-source.ts';
import { MemorySource } from '../input/byte-source.ts';
import { XentraceDecoder, xentraceFormat } from './xentrace.ts';
import type { DecodeReport } from './source.ts';

interface Decoded {
  rows: string[];
  ts: number[];
  report: DecodeReport;
  /** What went wrong, as 'E_CODE at OFFSET'. */
  errors: string[];
}

const batch = new EventBatch(4096);

function decodeFrom(input: ByteSource, chunkBytes = 4096): Decoded {
  const decoder = new XentraceDecoder(input, { chunkBytes });
  const rows: string[] = [];
  const ts: number[] = [];
  for (let more = true; more;) {
    batch.clear();
    more = decoder.fill(batch);
    for (let i = 0; i < batch.length; i++) {
      rows.push(rowText(batch, i));
      ts.push(batch.ts[i]!);
    }
  }
  const errors = decoder.report.errors.map((e) => `${e.code} at ${e.detail.offset ?? '?'}`);
  return { rows, ts, report: decoder.report, errors };
}

const decode = (bytes: Uint8Array, chunkBytes?: number): Decoded =>
  decodeFrom(new MemorySource('x.bin', bytes), chunkBytes);

const sample = readFileSync(new URL('../../fixtures/raw/xentrace/arm-points.bin', import.meta.url));
const T = 0x16_7ec8_39e6;
const wake = (ts?: number, domid = 1): number[] => record(0x28004, [domid, 0], ts);

/** Rows of one CPU. */
const ofCpu = (rows: string[], cpu: number): string[] => rows.filter((r) => r.includes(` cpu${cpu} `));

describe('a file that was cut', () => {
  const windows = [
    window(0, [wake(T), record(0x2220c, [1, 2, 3, 4, 5, 6], T + 3), wake(T + 5)]),
    window(1, [wake(T + 1), record(0x1f002, [1]), wake(T + 4)]),
    window(0, [wake(T + 6), wake()]),
  ];
  const bytes = fileOf(...windows);
  const whole = decode(bytes);
  // Where the file may end without anybody being able to tell.
  const ends = new Set([0, 1, 2, 3].map((n) => fileOf(...windows.slice(0, n)).length));

  it('gives every whole record and then says where, for every length', () => {
    for (let size = 1; size < bytes.length; size++) {
      const cut = decode(bytes.subarray(0, size), 64);
      for (const cpu of [0, 1]) {
        const rows = ofCpu(cut.rows, cpu);
        expect(ofCpu(whole.rows, cpu).slice(0, rows.length)).toEqual(rows);
      }
      if (ends.has(size)) {
        expect(cut.errors).toEqual([]);
      } else {
        const [error] = cut.report.errors;
        expect(cut.report.errors).toHaveLength(1);
        expect(error?.code).toBe('E_TRUNCATED');
        // The place is the start of what is not whole, or the end of the file.
        expect(error!.detail.offset).toBeLessThanOrEqual(size);
        expect(error!.detail.offset).toBeGreaterThan(size - 40);
      }
    }
  });

  it('names the place', () => {
    const first = fileOf(windows[0]!).length;
    expect(decode(bytes.subarray(0, 5)).errors).toEqual(['E_TRUNCATED at 0']);
    expect(decode(bytes.subarray(0, 12)).errors).toEqual(['E_TRUNCATED at 12']);
    expect(decode(bytes.subarray(0, 31)).errors).toEqual(['E_TRUNCATED at 12']);
    expect(decode(bytes.subarray(0, 32)).errors).toEqual(['E_TRUNCATED at 32']);
    expect(decode(bytes.subarray(0, first + 11)).errors).toEqual([`E_TRUNCATED at ${first}`]);
    expect(decode(bytes.subarray(0, 31)).report.errors[0]!.message).toBe(
      'x.bin at byte 12: input ends inside a record; expected 20 bytes, got 19',
    );
  });

  it('holds for a real sample', () => {
    const full = decode(sample);
    for (let size = sample.length - 1; size > 0; size -= 499) {
      const cut = decode(sample.subarray(0, size));
      expect(cut.errors.length).toBe(size === 18_404 ? 0 : 1);
      for (const cpu of [0, 1]) {
        // Times count from the first record, which the cut may have taken with its CPU.
        const text = (rows: string[]): string[] => ofCpu(rows, cpu).map((r) => r.replace(/^\d+/, ''));
        expect(text(full.rows).slice(0, text(cut.rows).length)).toEqual(text(cut.rows));
      }
    }
  });

  it('that is empty', () => {
    expect(decode(new Uint8Array(0)).report.errors.map((e) => e.code)).toEqual(['E_EMPTY']);
  });
});

describe('a record that contradicts its format', () => {
  const next = window(0, [wake(T + 50)]);
  it.each([
    ['two class bits', record(0x68004, [1, 0], T + 9), 32],
    ['no class bit', [0, 0, 0], 32],
    ['a cpu_change inside a window', record(0x1f003, [1, 0]), 32],
    ['too few words', record(0x2800a, [1, 0], T + 9), 32],
    ['a record longer than its window', record(0x28004, [1, 0], T + 9).slice(0, 4), 32],
  ])('%s: the rest of the window is left out, with a loss', (_, bad, offset) => {
    const tail = bad.length === 4 ? [] : [wake(T + 10)];
    const { rows, errors, report } = decode(fileOf(window(0, [wake(T), bad, ...tail]), next));
    expect(errors).toEqual([`E_BAD_RECORD at ${offset}`]);
    expect(rows).toEqual(['0 cpu0 xen.wake d1 v0', '0 cpu0 xen.lost', '50 cpu0 xen.wake d1 v0']);
    expect(report.losses).toEqual([{ cpu: 0, count: 0, ts: 0 }]);
  });

  it('reports the place that comes first in the file, whichever is met first', () => {
    const bytes = fileOf(window(0, [wake(T), wake(T + 90), [0]]), window(1, [wake(T + 1), [0]]));
    expect(decode(bytes).errors).toEqual(['E_BAD_RECORD at 52']);
  });
});

describe('a bad cpu_change', () => {
  const good = window(0, [wake(T)]);
  const end = good.length * 4;
  it.each([
    ['another record', [0x2001f004, 0, 0], 'E_BAD_RECORD'],
    ['a CPU that cannot be', window(0xffffffff, [wake(T)]), 'E_BAD_RECORD'],
    ['a window of odd length', window(1, [wake(T)], 19), 'E_BAD_RECORD'],
    ['a window beyond the file', window(1, [], 0xfffffffc), 'E_TRUNCATED'],
  ])('%s', (_, bad, code) => {
    const { rows, report } = decode(fileOf(good, bad));
    expect(rows).toEqual(['0 cpu0 xen.wake d1 v0']);
    expect(report.errors.map((e) => e.code)).toEqual([code]);
    expect(report.errors[0]!.detail.offset).toBe(code === 'E_TRUNCATED' ? end + 12 : end);
  });

  it('a window that claims more than the file has gives its whole records', () => {
    const { rows, errors } = decode(fileOf(window(0, [wake(T), wake(T + 1)], 0xfffffffc)));
    expect(rows).toHaveLength(2);
    expect(errors).toEqual(['E_TRUNCATED at 52']);
  });
});

describe('hostile files', () => {
  it('timestamps further away than a float64 can count', () => {
    // Every bit of the high word of early timestamps, on chunks that hold no more than a record or two.
    for (let at = 12; at < 120; at += 4) {
      for (const bit of [7, 6, 5]) {
        const bytes = Uint8Array.from(sample);
        bytes[at + 3]! ^= 1 << bit;
        const { rows, errors } = decode(bytes, 64);
        expect(rows.length).toBeLessThan(5000);
        expect(errors.length).toBeLessThanOrEqual(1);
      }
    }
  });

  it('thousands of CPUs, each with one record, in time order', () => {
    const cpus = Array.from({ length: 5000 }, (_, i) => i);
    const { ts, errors } = decode(
      fileOf(...cpus.map((cpu) => window(cpu, [wake(T + ((cpu * 7919) % 5000))]))),
    );
    expect(errors).toEqual([]);
    expect(ts).toEqual(cpus);
  });

  it('windows of no bytes, and windows of one word', () => {
    const empty = Array.from({ length: 100_000 }, () => window(1, []));
    expect(decode(fileOf(...empty, window(0, [wake(T)]))).rows).toEqual(['0 cpu0 xen.wake d1 v0']);
    const tiny = Array.from({ length: 20_000 }, () => window(1, [[0x00022209]]));
    const { rows, errors } = decode(fileOf(...tiny));
    expect(errors).toEqual([]);
    expect(rows).toHaveLength(20_000);
  });

  it('an input that cannot be read any more', () => {
    const memory = new MemorySource('x.bin', sample);
    const input: ByteSource = {
      name: 'x.bin',
      size: sample.length,
      read(offset, into) {
        if (offset >= 8000 && into.length !== 4096)
          throw new TraceError('E_UNREADABLE', 'cannot be read (EIO)');
        return memory.read(offset, into);
      },
      close() {
        memory.close();
      },
    };
    expect(decodeFrom(input, 1000).report.errors.map((e) => e.code)).toEqual(['E_UNREADABLE']);
  });

  it('an input that shrinks while it is read', () => {
    const full = decode(sample).rows.map((row) => row.replace(/^\d+/, ''));
    for (let size = 24_900; size < 25_100; size++) {
      const memory = new MemorySource('x.bin', sample.subarray(0, size));
      const input: ByteSource = {
        name: 'x.bin',
        size: sample.length,
        read: (offset, into) => memory.read(offset, into),
        close() {
          memory.close();
        },
      };
      const { report, rows } = decodeFrom(input, size % 2 === 0 ? 4096 : 100);
      expect(report.errors.map((e) => e.code)).toEqual(['E_TRUNCATED']);
      const offset = report.errors[0]!.detail.offset!;
      expect(offset).toBeLessThanOrEqual(size);
      expect(offset).toBeGreaterThan(size - 40);
      for (const cpu of [0, 1]) {
        const whole = ofCpu(rows, cpu).map((row) => row.replace(/^\d+/, ''));
        expect(whole).toEqual(ofCpu(full, cpu).slice(0, whole.length));
      }
    }
  });

  const inOrder = (ts: number[]): boolean => ts.every((t, i) => i === 0 || t >= ts[i - 1]!);

  it('any flipped bits: ends, in order, with at most one error', () => {
    const flips = fc.array(fc.tuple(fc.nat(sample.length - 1), fc.nat(7)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(flips, fc.constantFrom(64, 1000, 4096), (places, chunkBytes) => {
        const bytes = Uint8Array.from(sample);
        for (const [at, bit] of places) bytes[at]! ^= 1 << bit;
        xentraceFormat.sniff(bytes, new MemorySource('x.bin', bytes));
        const { ts, rows, errors } = decode(bytes, chunkBytes);
        expect(errors.length).toBeLessThanOrEqual(1);
        expect(rows.length).toBeLessThan(1357 + 400);
        expect(inOrder(ts)).toBe(true);
      }),
      { numRuns: 400 },
    );
  });

  it('any bytes at all', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(0xffffffff), { maxLength: 300 }), fc.boolean(), (words, headed) => {
        const bytes = fileOf(headed ? window(0, [words]) : words);
        xentraceFormat.sniff(bytes, new MemorySource('x.bin', bytes));
        const { errors } = decode(bytes, 64);
        expect(errors.length).toBeLessThanOrEqual(1);
      }),
      { numRuns: 500 },
    );
  });
});
