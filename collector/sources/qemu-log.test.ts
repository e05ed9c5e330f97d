import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allRows, textSource } from '../../fixtures/dm-rows.ts';
import { MemorySource } from '../input/byte-source.ts';
import { MAX_LOG_LINE, OTHER_TEXT, QemuLogDecoder, qemuLogFormat } from './qemu-log.ts';

const RAW = new URL('../../fixtures/raw/qemu/', import.meta.url);
const CAPTURES = new URL('../../../shared/captures/xen-arm/', import.meta.url);

const sample = (name: string): Uint8Array => readFileSync(new URL(name, RAW));
const log = (text: string, chunkBytes?: number): QemuLogDecoder =>
  new QemuLogDecoder(textSource(text), chunkBytes === undefined ? {} : { chunkBytes });
const messages = (decoder: QemuLogDecoder): string[] =>
  decoder.report.errors.map((e) => `${e.code} ${e.message}`);
const sniff = (bytes: Uint8Array): boolean => qemuLogFormat.sniff(bytes, new MemorySource('', bytes));

describe('real logs', () => {
  it('reads a log with stamps', () => {
    const decoder = new QemuLogDecoder(new MemorySource('s', sample('virt-7.2-stamped.log')));
    const rows = allRows(decoder);
    expect(rows).toHaveLength(78);
    expect(decoder.clock).toEqual({ name: 'realtime', unit: 'us', epoch: 1795351187349831n, hz: 1e6 });
    expect(decoder.report.records).toBe(79);
    expect(decoder.report.byName.get(OTHER_TEXT)).toBe(1);
    expect(decoder.report.errors).toEqual([]);
    // From line 30 of the file on: the guest's first read request.
    expect(rows.slice(29, 41)).toMatchInlineSnapshot(`
      [
        "61468 13021 dm.mmio_write addr=0x50",
        "61480 13021 dm.queue_notify addr=0x55a02c656400 data=0x7fb8683a0010",
        "61497 13021 dm.other arg0=2",
        "61499 13021 dm.virtqueue_pop addr=0x7fb8683a0010 data=0x55a02c052800 arg0=2 arg1=1",
        "61502 13021 dm.blk_read addr=0x55a02c656400 data=0x55a02c052800 arg2=1",
        "61663 13021 dm.blk_rw_done addr=0x55a02c656400 data=0x55a02c052800",
        "61667 13021 dm.blk_done addr=0x55a02c656400 data=0x55a02c052800",
        "61670 13021 dm.virtqueue_fill addr=0x7fb8683a0010 data=0x55a02c052800 arg0=513",
        "61673 13021 dm.virtqueue_flush addr=0x7fb8683a0010 arg0=1",
        "61676 13021 dm.virtio_notify addr=0x55a02c656400 data=0x7fb8683a0010",
        "61680 13021 dm.set_irq arg1=1",
        "63804 13021 dm.mmio_read addr=0x60",
      ]
    `);
  });

  it('reads the same run without stamps, in the order of the file', () => {
    const decoder = new QemuLogDecoder(new MemorySource('s', sample('virt-7.2.log')));
    const rows = allRows(decoder);
    expect(rows).toHaveLength(78);
    expect(decoder.clock).toEqual({ name: 'none', unit: 'none', epoch: 0n });
    expect(new Set(rows.map((r) => r.split(' ', 2).join(' ')))).toEqual(new Set(['NaN -1']));
    const stamped = allRows(new QemuLogDecoder(new MemorySource('s', sample('virt-7.2-stamped.log'))));
    const kinds = (list: string[]): (string | undefined)[] => list.map((r) => r.split(' ')[2]);
    expect(kinds(rows)).toEqual(kinds(stamped));
  });

  it('reads a start-up log', () => {
    const decoder = new QemuLogDecoder(new MemorySource('s', sample('xen-10.0-startup.log')));
    const rows = allRows(decoder);
    expect(rows.filter((r) => r.includes('data=')).at(-1)).toBe(
      'NaN -1 dm.other addr=0x2000000 data=0x20001ff arg0=4',
    );
    expect(decoder.strings.list[4]).toBe('xen_map_mmio_range');
    expect(decoder.report.byName.get(OTHER_TEXT)).toBe(1);
  });

  it.each([
    'virt-7.2-stamped.log',
    'virt-7.2.log',
    'xen-10.0.log',
    'xen-10.0-console.log',
    'xen-10.0-startup.log',
  ])('%s: recognised, and the same by chunks and batches of any size', (name) => {
    const bytes = sample(name);
    expect(sniff(bytes)).toBe(true);
    const whole = allRows(new QemuLogDecoder(new MemorySource('s', bytes)));
    for (const chunkBytes of [1, 7, 64, 1000]) {
      const decoder = new QemuLogDecoder(new MemorySource('s', bytes), { chunkBytes });
      expect(allRows(decoder, chunkBytes)).toEqual(whole);
    }
    const crlf = Buffer.from(bytes).toString('latin1').replaceAll('\n', '\r\n');
    expect(allRows(log(crlf))).toEqual(whole);
  });
});

const captures = existsSync(CAPTURES);
if (!captures) console.warn(`SKIPPED: ${CAPTURES.pathname} is not there`);

describe.skipIf(!captures)('captures', () => {
  it.each([
    ['A1', 15126],
    ['A2', 4026],
    ['P1', 2811],
    ['P3', 7861],
  ])('%s: every line of %i is an event, counts as counted by name', (name, lines) => {
    const archive = new URL(`${name}.tar.xz`, CAPTURES).pathname;
    const bytes = execFileSync('tar', ['xOf', archive, `${name}/qemu-trace.log`], { maxBuffer: 1 << 26 });
    const decoder = new QemuLogDecoder(new MemorySource(name, bytes));
    const rows = allRows(decoder, 4096);
    expect(rows).toHaveLength(lines);
    expect(decoder.report.records).toBe(lines);
    expect(decoder.report.errors).toEqual([]);
    const counts = new Map<string, number>();
    for (const line of bytes.toString().trimEnd().split('\n')) {
      const event = line.split(' ', 1)[0] ?? '';
      counts.set(event, (counts.get(event) ?? 0) + 1);
    }
    expect(new Map([...decoder.report.byName].sort())).toEqual(new Map([...counts].sort()));
    if (name !== 'A1') return;
    expect(counts.get('handle_ioreq')).toBe(1272);
    expect(counts.get('handle_ioreq_read')).toBe(454);
    // One INVALIDATE (type 8 in bits 16-23 of arg0), all others COPY.
    const types = rows
      .filter((r) => r.includes(' dm.ioreq '))
      .map((r) => Number(/arg0=(\d+)/.exec(r)?.[1]) >>> 16);
    expect(types.filter((t) => t === 8)).toHaveLength(1);
    expect(types.filter((t) => t === 1)).toHaveLength(1271);
  });
});

const LINE = 'virtio_mmio_read virtio_mmio_read offset 0x60';

describe('stamps and order', () => {
  it('puts stamped lines in time order and leaves others behind the line before them', () => {
    const text = [`7@10.000005:${LINE}`, `8@10.000003:${LINE}`, LINE, `7@10.000004:${LINE}`, ''].join('\n');
    const decoder = log(text);
    expect(allRows(decoder)).toEqual([
      '-2 8 dm.mmio_read addr=0x60',
      'NaN -1 dm.mmio_read addr=0x60',
      '-1 7 dm.mmio_read addr=0x60',
      '0 7 dm.mmio_read addr=0x60',
    ]);
    expect(decoder.clock.epoch).toBe(10_000_005n);
  });

  it('starts the clock at the first stamp, wherever it is', () => {
    const decoder = log(`${LINE}\n7@99.000001:${LINE}\n7@100.000000:${LINE}\n`);
    expect(allRows(decoder).map((r) => r.split(' ', 1)[0])).toEqual(['NaN', '0', '999999']);
  });

  it('reads the stamps of later versions', () => {
    const decoder = log(`2026-11-22T12:39:17.597272Z ${LINE}\n2026-11-22T12:39:18Z ${LINE}\n`);
    expect(allRows(decoder)).toEqual(['0 -1 dm.mmio_read addr=0x60', '402728 -1 dm.mmio_read addr=0x60']);
    expect(decoder.clock.epoch).toBe(1795351157597272n);
  });

  it.each([
    'x@1.000000:',
    '1@1.00000:',
    '1@1.0000000:',
    '99999999999@1.000000:',
    '1@99999999999999.000000:',
    '1@1.000000',
  ])('takes a line with a bad stamp for other text: %s', (stamp) => {
    const decoder = log(`${stamp}${LINE}\n`);
    expect(allRows(decoder)).toEqual([]);
    expect(decoder.report.byName.get(OTHER_TEXT)).toBe(1);
  });
});

describe('damage', () => {
  it('gives all whole lines of every prefix, then E_TRUNCATED at the line that is cut', () => {
    const bytes = sample('virt-7.2-stamped.log').subarray(0, 700);
    const whole = allRows(new QemuLogDecoder(new MemorySource('s', bytes)));
    for (let n = 0; n <= bytes.length; n++) {
      const part = bytes.subarray(0, n);
      const decoder = new QemuLogDecoder(new MemorySource('s', part));
      const lineStart = part.lastIndexOf(10) + 1;
      const lines = part.filter((b) => b === 10).length;
      expect(allRows(decoder)).toEqual(whole.slice(0, lines));
      expect(decoder.report.errors.map((e) => [e.code, e.detail.offset])).toEqual(
        lineStart === n ? [] : [['E_TRUNCATED', lineStart]],
      );
    }
  });

  it('leaves damaged events out, goes on, and reports them once', () => {
    const decoder = log(`${LINE}\nvirtqueue_flush vq 0x1 count x\n${LINE}\nvirtqueue_flush\n${LINE}\ncut`);
    expect(allRows(decoder)).toHaveLength(3);
    expect(decoder.report.byName.get('(damaged) virtqueue_flush')).toBe(2);
    expect(messages(decoder)).toEqual([
      'E_BAD_RECORD test at byte 46: 2 trace events are damaged and left out, the first one here; ' +
        'expected the event\'s own format, got "virtqueue_flush vq 0x1 count x"',
    ]);
  });

  it('stops at binary content, with the place of the byte', () => {
    const decoder = log(`${LINE}\nabc\0def\n${LINE}\n`);
    expect(allRows(decoder)).toHaveLength(1);
    expect(messages(decoder)).toEqual([
      'E_BAD_RECORD test at byte 49: binary content in a text log; expected text, got byte 0x00',
    ]);
  });

  it.each([
    ['with an end', '\n'],
    ['without an end', ''],
  ])('stops at a line that is too long, %s', (_, end) => {
    const decoder = log(`${LINE}\n${'x'.repeat(MAX_LOG_LINE + 1)}${end}`, 1000);
    expect(allRows(decoder)).toHaveLength(1);
    expect(messages(decoder)).toEqual([
      'E_BAD_RECORD test at byte 46: a line is too long for a log; expected a line end within 65536 bytes, got none',
    ]);
  });

  it('keeps every row before a flipped bit, never throws, and reports at most one error', () => {
    const bytes = sample('xen-10.0.log').subarray(0, 4000);
    const whole = allRows(new QemuLogDecoder(new MemorySource('s', bytes)));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
        const damaged = Uint8Array.from(bytes);
        damaged[at]! ^= 1 << bit;
        const decoder = new QemuLogDecoder(new MemorySource('s', damaged));
        const rows = allRows(decoder);
        const before = bytes.subarray(0, at).filter((b) => b === 10).length;
        expect(rows.slice(0, before)).toEqual(whole.slice(0, before));
        expect(decoder.report.errors.length).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('survives any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const decoder = new QemuLogDecoder(new MemorySource('s', bytes), { chunkBytes: 16 });
        allRows(decoder);
        expect(decoder.report.errors.length).toBeLessThanOrEqual(1);
        sniff(bytes);
      }),
    );
  });

  it('is done after an empty input', () => {
    const decoder = log('');
    expect(allRows(decoder)).toEqual([]);
    expect(decoder.report.errors).toEqual([]);
  });
});

describe('recognition', () => {
  const is = (text: string): boolean => sniff(new TextEncoder().encode(text));

  it('knows a log by its lines', () => {
    expect(is(`a warning\n${LINE}\n`)).toBe(true);
    expect(is(LINE)).toBe(true);
    expect(is('1@1.000001:usb_some_event x\n')).toBe(true);
    expect(is('virtio_gpu_cmd_res_flush res 0x1, w 1\n')).toBe(true);
    expect(is('2026-11-22T12:39:17.597272Z virtio_gpu_fence_resp fence 0x1\n')).toBe(true);
  });

  it('leaves other content alone', () => {
    expect(is('')).toBe(false);
    expect(is('# tracer: nop\n#\n  qemu-1  [000] d..1. 1.0: tracing_mark_write: handle_ioreq x\n')).toBe(
      false,
    );
    expect(is('{"t":"R","a":1}\n')).toBe(false);
    expect(is('hello\nworld\n')).toBe(false);
    expect(is('some_event of something\n')).toBe(false);
    expect(is('a\nb\nc\nd\nvirtio_thing x\n')).toBe(false);
    expect(is(`\0\0\0\n${LINE}\n`)).toBe(false);
  });
});
