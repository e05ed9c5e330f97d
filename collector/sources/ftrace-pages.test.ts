import { describe, expect, it } from 'vitest';
import {
  decodeAll,
  discarded,
  event,
  formatsOf,
  formatText,
  longEvent,
  padding,
  page,
  payload,
  timeExtend,
  timeStamp,
  words,
} from '../../fixtures/ftrace-bytes.ts';
import { MemorySource } from '../input/byte-source.ts';
import { FtracePagesDecoder, ftracePagesFormat, type FtracePagesOptions } from './ftrace-pages.ts';
import { EventFormats } from './ftrace/event-format.ts';

const T = 5_000_000_000_000n;
const FORMATS = formatsOf(
  [formatText('first', 10, []), 'x'],
  [
    formatText('irq_handler_exit', 11, [
      ['int irq', 8, 4, true],
      ['int ret', 12, 4, true],
    ]),
    'irq',
  ],
  [
    formatText('irq_handler_entry', 12, [
      ['int irq', 8, 4, true],
      ['__data_loc char[] name', 12, 4],
    ]),
    'irq',
  ],
);
const A = payload(10, 7);

function decode(cpus: readonly Uint8Array[], options: Partial<FtracePagesOptions> = {}, capacity?: number) {
  const inputs = cpus.map((bytes, cpu) => ({ cpu, input: new MemorySource(`cpu${cpu}.raw`, bytes) }));
  const decoder = new FtracePagesDecoder(inputs, FORMATS, { clockName: 'mono_raw', ...options });
  const rows = decodeAll(decoder, capacity);
  return { rows, report: decoder.report, clock: decoder.clock, errors: decoder.report.errors.map(String) };
}
const times = (rows: string[]): number[] => rows.map((r) => Number(r.split(' ')[0]));
const first = (ts: number, cpu = 0): string => `${ts} cpu${cpu} dom0.other pid=7 "first"`;

describe('a page, record by record', () => {
  it('short and long data events; arg0 of a first event is its name, string 0', () => {
    const { rows, report, clock } = decode([page(T, [event(5, A), longEvent(3, A), event(0, A)])]);
    expect(rows).toEqual([first(5), first(8), first(8)]);
    expect(clock).toEqual({ name: 'mono_raw', unit: 'ns', epoch: T, hz: 1e9 });
    expect(report).toMatchObject({ records: 3, losses: [], errors: [] });
    expect([...report.byName]).toEqual([['first', 3]]);
  });
  it('padding ends the page; a discarded event keeps its time, 1 stands for 0', () => {
    const discards = [discarded(100, 24), discarded(1, 4), event(1, A)];
    const { rows, errors } = decode([page(T, [event(1, A), ...discards, padding(), words(0, 0, 0)])]);
    expect([times(rows), errors]).toEqual([[1, 102], []]);
  });
  it('time extends and absolute stamps', () => {
    const far = 2 ** 40 + 12345;
    const events = [timeExtend(far), event(2, A), timeStamp(T + BigInt(far) + 10n), event(1, A)];
    expect(times(decode([page(T, events)]).rows)).toEqual([far + 2, far + 11]);
  });
  it('an absolute stamp takes the top five bits from the page, with a carry', () => {
    const base = (3n << 59n) - 100n;
    const low59 = (t: bigint): bigint => t & ((1n << 59n) - 1n);
    const events = [timeStamp(low59(base + 50n)), event(1, A), timeStamp(low59(base + 200n)), event(1, A)];
    const { rows, clock } = decode([page(base, events)]);
    expect([times(rows), clock.epoch]).toEqual([[51, 201], base]);
  });
  it('the commit word counts in its low half only', () => {
    const lost = { flags: 0xc0000000, high: 0xffffffff, stored: 36_960n };
    const { rows, report } = decode([
      Buffer.concat([page(T, [event(0, A)]), page(T + 9n, [event(1, A)], lost)]),
    ]);
    expect(rows).toEqual([first(0), '9 cpu0 dom0.lost arg0=9060 pid=-1', first(10)]);
    expect(report.losses).toEqual([{ cpu: 0, count: 36_960, ts: 9 }]);
  });
  it('losses whose number is not stored, or has no room, are an unknown number', () => {
    const full = longEvent(0, Buffer.concat([A, Buffer.alloc(4080 - 16)]));
    const pages = [
      page(T, [event(0, A)], { flags: 0x80000000 }),
      page(T + 1n, [full], { flags: 0xc0000000 }),
    ];
    const { report, errors } = decode([Buffer.concat(pages)]);
    expect(errors).toEqual([]);
    expect(report.losses.map((l) => l.count)).toEqual([0, 0]);
  });
  it('empty pages and sub-buffers of another size', () => {
    const pages = Buffer.concat([page(T, [event(0, A)], { bytes: 8192 }), page(0n, [], { bytes: 8192 })]);
    expect(decode([pages], { pageBytes: 8192 })).toMatchObject({ rows: [first(0)], errors: [] });
  });
  it('text by data location', () => {
    const own = Buffer.concat([words(3, (8 << 16) | 16), Buffer.from('virtio\0\0')]);
    const { rows } = decode([page(T, [event(0, payload(12, 0, own)), event(1, payload(12, 0, own))])]);
    expect(rows.map((r) => r.split(' ').slice(2).join(' '))).toEqual(
      Array(2).fill('dom0.irq_entry arg0=3 arg1=1 pid=0 "virtio"'),
    );
  });
  it('an id without a format is kept under its number', () => {
    const { rows, report } = decode([page(T, [event(0, payload(99, 5))])]);
    expect(rows).toEqual(['0 cpu0 dom0.other arg0=1 pid=5 "event 99 without format"']);
    expect([...report.byName]).toEqual([['event 99 without format', 1]]);
  });
});

describe('CPUs are merged by time', () => {
  it('equal times: lowest CPU first, whatever the order of the inputs', () => {
    const cpu0 = Buffer.concat([page(T + 10n, [event(0, A), event(5, A)]), page(T + 20n, [event(0, A)])]);
    const cpu1 = page(T, [event(0, A), event(10, A), event(5, A), event(5, A), event(1, A)]);
    const order = [
      [0, 1],
      [10, 0],
      [10, 1],
      [15, 0],
      [15, 1],
      [20, 0],
      [20, 1],
      [21, 1],
    ] as const;
    const expected = order.map(([ts, cpu]) => first(ts, cpu));
    expect(decode([cpu0, cpu1]).rows).toEqual(expected);
    const inputs = [
      { cpu: 1, input: new MemorySource('b', cpu1) },
      { cpu: 0, input: new MemorySource('a', cpu0) },
    ];
    expect(decodeAll(new FtracePagesDecoder(inputs, FORMATS, { clockName: 'local' }), 1)).toEqual(expected);
  });
  it('damage on one CPU leaves the others whole', () => {
    const bad = page(T + 1n, [event(0, A), event(0, payload(11, 0))]);
    const { rows, errors } = decode([bad, page(T, [event(0, A), event(5, A)])]);
    expect(rows).toEqual([first(0, 1), first(1), first(5, 1)]);
    expect(errors).toEqual([
      'TraceError: cpu0.raw at byte 32: record of irq_handler_exit does not hold its fields; expected at least 16 bytes with every part inside, got 8 bytes',
    ]);
  });
});

describe('damage: all whole records, then one precise error', () => {
  const bad = (events: Uint8Array[], options = {}): string[] => {
    const { rows, errors } = decode([
      Buffer.concat([page(T, [event(1, A)]), page(T + 2n, [event(0, A), ...events], options)]),
    ]);
    expect(rows).toEqual([first(1), first(2)]);
    return errors;
  };
  it.each<[string, Uint8Array[], object, string]>([
    [
      'an event beyond its page',
      [words(28)],
      {},
      "byte 4124: an event goes beyond its page's data; expected 116 bytes, got 4",
    ],
    [
      'a length that does not count itself',
      [words(0, 3)],
      {},
      'byte 4124: event length is not plausible; got 3',
    ],
    [
      'a length that is no multiple of 4',
      [words(0, 13, 0, 0, 0)],
      {},
      'event length is not plausible; got 13',
    ],
    [
      'half an event header',
      [words(30)],
      {},
      "byte 4124: an event header goes beyond its page's data; expected 8 bytes, got 4",
    ],
    ['a time out of range', [words(30 + 32, 0xffffffff)], {}, 'byte 4124: time is not plausible'],
    ['an absolute stamp in the past', [timeStamp(T)], {}, 'byte 4124: time runs backwards'],
    [
      'a record shorter than its header',
      [event(0, words(10))],
      {},
      'byte 4128: record is shorter than its header; expected 8 bytes, got 4',
    ],
    [
      'text outside its record',
      [event(0, payload(12, 0, words(3, (9 << 16) | 16)))],
      {},
      'record of irq_handler_entry does not hold its fields',
    ],
  ])('%s', (_, events, options, message) => {
    const errors = bad(events, options);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain(message);
  });
  it.each<[string, Buffer, string]>([
    [
      'more data than a page holds',
      page(T + 2n, [], { commit: 4084 }),
      'byte 4104: page states more data than it can hold; expected at most 4080, got 4084',
    ],
    ['a page from before', page(T, [event(0, A)]), 'byte 4096: time runs backwards'],
    [
      'a time stamp out of range',
      page(T << 18n, [event(0, A)]),
      'byte 4096: page time stamp is not plausible',
    ],
    [
      'a cut page',
      page(T + 2n, [event(0, A)]).subarray(0, 26),
      'byte 4112: input ends inside an event; expected 12 bytes, got 10',
    ],
    [
      'a cut page header',
      page(T + 2n, []).subarray(0, 15),
      'byte 4096: input ends inside a page header; expected 16 bytes, got 15',
    ],
  ])('%s', (_, second, message) => {
    const { rows, errors } = decode([Buffer.concat([page(T, [event(1, A)]), second])]);
    expect(rows[0]).toEqual(first(1));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain(message);
  });
  it('no formats at all', () => {
    const inputs = [{ cpu: 0, input: new MemorySource('cpu0.raw', page(T, [event(0, A)])) }];
    const decoder = new FtracePagesDecoder(inputs, new EventFormats(), { clockName: 'local' });
    expect(decodeAll(decoder)).toEqual([]);
    expect(decoder.report.errors.map((e) => e.code)).toEqual(['E_NO_FORMATS']);
  });
  it('an empty input is a CPU that saw nothing', () => {
    expect(decode([Buffer.alloc(0), page(T, [event(1, A)])])).toMatchObject({
      rows: [first(1, 1)],
      errors: [],
    });
  });
});

describe('sniffing', () => {
  const sniff = (bytes: Buffer): boolean =>
    ftracePagesFormat.sniff(bytes.subarray(0, 65_536), new MemorySource('x', bytes));
  it.each<[string, boolean, Buffer]>([
    ['pages', true, Buffer.concat([page(T, [event(0, A)]), page(T, [event(0, A), padding()])])],
    ['larger sub-buffers', true, page(T, [longEvent(0, Buffer.alloc(5000, A))], { bytes: 8192 })],
    ['less than a page', false, page(T, [event(0, A)]).subarray(0, 4000)],
    ['zeros', false, Buffer.alloc(8192)],
    ['text', false, Buffer.from('# tracer: nop\n'.repeat(1000))],
    ['nothing', false, Buffer.alloc(0)],
  ])('%s: %s', (_, expected, bytes) => {
    expect(sniff(bytes)).toBe(expected);
  });
});
