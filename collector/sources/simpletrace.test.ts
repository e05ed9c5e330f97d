import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allRows } from '../../fixtures/dm-rows.ts';
import { event, header, mapping, simpletraceSample } from '../../fixtures/simpletrace-writer.ts';
import { EventBatch } from '../../trace/columns.ts';
import { MemorySource } from '../input/byte-source.ts';
import { SimpletraceDecoder, simpletraceFormat } from './simpletrace.ts';

const decode = (bytes: Uint8Array): SimpletraceDecoder =>
  new SimpletraceDecoder(new MemorySource('test', bytes));
const sniff = (bytes: Uint8Array): boolean => simpletraceFormat.sniff(bytes, new MemorySource('test', bytes));
const messages = (decoder: SimpletraceDecoder): string[] =>
  decoder.report.errors.map((e) => `${e.code} ${e.message}`);
const join = (...parts: Uint8Array[]): Uint8Array => Buffer.concat(parts);

describe('whole files', () => {
  it.each([true, false])('reads every kind of item, little-endian %s', (littleEndian) => {
    const { bytes } = simpletraceSample(littleEndian);
    expect(sniff(bytes)).toBe(true);
    const decoder = decode(bytes);
    expect(allRows(decoder, 2)).toMatchInlineSnapshot(`
      [
        "0 1858 dm.ioreq addr=0x2000070 arg0=65796",
        "1500 1858 dm.blk_write addr=0xaaaa data=0xbbbb arg0=591751049 arg1=1 arg2=8",
        "2000 1858 dm.ioreq addr=0x2000070 data=0xfedcba9876543210 arg0=65540",
        "2500 1858 dm.blk_rw_done addr=0xaaaa data=0xbbbb arg0=4294967291",
        "3000 1858 dm.set_irq arg1=1",
        "3100 1858 dm.other addr=0x2000000 data=0x20001ff",
        "3200 1858 dm.other arg0=1",
        "4000 1858 dm.lost arg0=17",
      ]
    `);
    expect(decoder.clock).toEqual({ name: 'monotonic', unit: 'ns', epoch: 2n ** 53n + 1000n, hz: 1e9 });
    expect(decoder.strings.list).toEqual(['xen_map_mmio_range', 'xen_bus_type_enumerate']);
    expect(decoder.report.losses).toEqual([{ count: 17, ts: 4000 }]);
    expect(decoder.report.records).toBe(8);
    expect([...decoder.report.byName]).toEqual([
      ['dropped', 1],
      ['handle_ioreq', 2],
      ['virtio_blk_handle_write', 1],
      ['virtio_blk_rw_complete', 1],
      ['virtio_mmio_setting_irq', 1],
      ['xen_map_mmio_range', 1],
      ['xen_bus_type_enumerate', 1],
    ]);
    expect(decoder.report.errors).toEqual([]);
  });

  it('reads a header alone', () => {
    const decoder = decode(header(true));
    expect(allRows(decoder)).toEqual([]);
    expect(decoder.report.errors).toEqual([]);
  });

  it('restores time order over many more records than a batch', () => {
    const parts = [header(true), mapping(true, 1n, 'virtio_mmio_read')];
    // Each pair is swapped, as two threads may.
    for (let i = 0; i < 50_000; i++) parts.push(event(true, 1n, BigInt(1_000_000 + (i ^ 1)), 9, [BigInt(i)]));
    const decoder = decode(join(...parts));
    const batch = new EventBatch(1000);
    let last = -Infinity;
    let rows = 0;
    for (let more = true; more;) {
      batch.clear();
      more = decoder.fill(batch);
      for (let i = 0; i < batch.length; i++) {
        expect(batch.ts[i]).toBeGreaterThan(last);
        last = batch.ts[i]!;
      }
      rows += batch.length;
    }
    expect(rows).toBe(50_000);
  });
});

describe('damage', () => {
  it('gives a part of the whole rows for every prefix, then E_TRUNCATED where the record starts', () => {
    const { bytes, records } = simpletraceSample(true);
    const all = new Set(allRows(decode(bytes)));
    for (let n = 0; n < bytes.length; n++) {
      const decoder = decode(bytes.subarray(0, n));
      const rows = allRows(decoder);
      const start = Math.max(...[0, ...records].filter((r) => r <= n));
      expect(rows.length).toBe(decoder.report.records);
      expect(rows.every((r) => all.has(r))).toBe(true);
      expect(decoder.report.errors.map((e) => [e.code, e.detail.offset])).toEqual(
        start === n && n > 0 ? [] : [['E_TRUNCATED', start]],
      );
    }
  });

  it.each([
    [
      'another version',
      header(true, 3n),
      'E_UNSUPPORTED test at byte 16: unknown version of the simple trace format; expected 4, got 3',
    ],
    [
      'no magic',
      new Uint8Array(24),
      'E_BAD_RECORD test at byte 0: not a simple trace; expected the magic number of QEMU simple traces, got another',
    ],
    [
      'an unknown type',
      join(header(true), new Uint8Array([7, 0, 0, 0, 0, 0, 0, 0])),
      'E_BAD_RECORD test at byte 24: unknown type of record; expected 0 (name) or 1 (event), got 0x0000000000000007',
    ],
    [
      'an event that was not named',
      join(header(true), event(true, 3n, 1n, 1, [])),
      'E_BAD_RECORD test at byte 32: event without a name; expected a named event id, got 0x0000000000000003',
    ],
    [
      'a known event of another length',
      join(header(true), mapping(true, 1n, 'virtqueue_flush'), event(true, 1n, 1n, 1, [1n])),
      'E_BAD_RECORD test at byte 83: length of virtqueue_flush; expected 40 bytes, got 32',
    ],
    [
      'a length that is too small',
      join(header(true), mapping(true, 1n, 'a_b'), event(true, 1n, 1n, 1, [], 23)),
      'E_BAD_RECORD test at byte 71: length of an event; expected 24 to 262144, got 23',
    ],
    [
      'a length that is huge',
      join(header(true), mapping(true, 1n, 'a_b'), event(true, 1n, 1n, 1, [], 0xffffffff)),
      'E_BAD_RECORD test at byte 71: length of an event; expected 24 to 262144, got 4294967295',
    ],
    [
      'a time far away',
      join(
        header(true),
        mapping(true, 1n, 'a_b'),
        event(true, 1n, 1n, 1, []),
        event(true, 1n, 1n << 60n, 1, []),
      ),
      'E_BAD_RECORD test at byte 95: time is not plausible; expected within 2^53 ns of the first event, got 0x1000000000000000',
    ],
    [
      'a name that is none',
      join(header(true), mapping(true, 1n, 'a b')),
      'E_BAD_RECORD test at byte 44: not an event name; expected an identifier, got "a b"',
    ],
  ])('%s', (_, bytes, expected) => {
    const decoder = decode(bytes);
    allRows(decoder);
    expect(messages(decoder)).toEqual([expected]);
  });

  it('survives any flipped bit with at most one error', () => {
    const { bytes } = simpletraceSample(true);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
        const damaged = Uint8Array.from(bytes);
        damaged[at]! ^= 1 << bit;
        const decoder = decode(damaged);
        expect(allRows(decoder).length).toBe(decoder.report.records);
        expect(decoder.report.errors.length).toBeLessThanOrEqual(1);
        sniff(damaged);
      }),
    );
  });
});
