import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fileOf, record, window } from '../../fixtures/xentrace-bytes.ts';
import { rowText } from '../../fixtures/xentrace-text.ts';
import { EventBatch } from '../../trace/columns.ts';
import { K, kindName } from '../../trace/events.ts';
import { MemorySource } from '../input/byte-source.ts';
import { XentraceDecoder, xentraceFormat } from './xentrace.ts';
import type { XentraceOptions } from './xentrace.ts';
import type { DecodeReport, SourceClock } from './source.ts';

interface Decoded {
  rows: string[];
  report: DecodeReport;
  clock: SourceClock;
}

function decode(bytes: Uint8Array, options: XentraceOptions = {}, capacity = 100): Decoded {
  const decoder = new XentraceDecoder(new MemorySource('x.bin', bytes), options);
  const batch = new EventBatch(capacity);
  const rows: string[] = [];
  for (let more = true; more;) {
    batch.clear();
    // A batch is used again and again: nothing of its earlier rows may show through.
    for (const column of [batch.addr, batch.data, batch.arg0, batch.arg1, batch.arg2, batch.arg3])
      column.fill(7);
    more = decoder.fill(batch);
    for (let i = 0; i < batch.length; i++) rows.push(rowText(batch, i));
  }
  return { rows, report: decoder.report, clock: decoder.clock };
}

const WHO = (5 << 16) | 3;
const T = 0x16_7ec8_39e6;
/** A record that is as good as any, where only its time matters. */
const wake = (ts?: number, domid = 1): number[] => record(0x28004, [domid, 0], ts);

describe('every record becomes its columns', () => {
  const cases: [string, number[], string][] = [
    ['running to offline', record(0x21031, [WHO], T), 'xen.runstate d5 v3 arg1=3'],
    ['offline to runnable', record(0x21311, [WHO], T), 'xen.runstate d5 v3 arg0=3 arg1=1'],
    ['continue_running', record(0x21002, [WHO], T), 'xen.continue_running d5 v3'],
    ['dom_add', record(0x28001, [5], T), 'xen.dom_add d5'],
    ['dom_rem', record(0x28002, [5], T), 'xen.dom_rem d5'],
    ['sleep', record(0x28003, [5, 3], T), 'xen.sleep d5 v3'],
    ['wake', record(0x28004, [5, 3], T), 'xen.wake d5 v3'],
    ['yield', record(0x28005, [5, 3], T), 'xen.yield d5 v3'],
    ['block', record(0x28006, [5, 3], T), 'xen.block d5 v3'],
    ['shutdown', record(0x28007, [5, 3, 2], T), 'xen.shutdown d5 v3 arg0=2'],
    ['shutdown_code', record(0x28010, [5, 3, 4], T), 'xen.shutdown_code d5 v3 arg0=4'],
    ['adjdom', record(0x28009, [5], T), 'xen.adjdom d5'],
    ['switch', record(0x2800a, [0x7fff, 1, 5, 3], T), 'xen.switch d5 v3 arg0=7fff arg1=1'],
    ['infprev', record(0x2800e, [5, 3, 0xfedcba98], T), 'xen.switch_infprev d5 v3 arg0=fedcba98'],
    ['infnext', record(0x2800f, [5, 3, 9, 0xffffffff], T), 'xen.switch_infnext d5 v3 arg0=9 arg1=ffffffff'],
    ['infcont', record(0x28011, [5, 3, 9, 10], T), 'xen.switch_infcont d5 v3 arg0=9 arg1=a'],
    [
      'lost records',
      record(0x1f001, [12, (3 << 16) | 5, 0xdeadbeef, 0x16], T),
      'xen.lost d5 v3 data=16deadbeef arg0=c',
    ],
    [
      's2 abort',
      record(0x88001, [WHO, 0x2000050, 1, 0x93810046, 0x80010000, 0xffff8000], T),
      'arm.s2_abort d5 v3 addr=102000050 data=ffff800080010000 arg0=93810046',
    ],
    [
      's2 resume',
      record(0x88002, [WHO, 0x80010004, 0xffff8000], T),
      'arm.s2_resume d5 v3 data=ffff800080010004',
    ],
    [
      'ioreq send',
      record(0x88003, [WHO, 0x2000050, 0, 0x11, 0x22, 0xff010104, 6], T),
      'arm.ioreq_send d5 v3 addr=2000050 data=2200000011 arg0=ff010104 arg1=6',
    ],
    ['ioreq done', record(0x88004, [WHO, 0x74726976, 0, 6], T), 'arm.ioreq_done d5 v3 data=74726976 arg1=6'],
    [
      'virq inject, of a shared interrupt that is let go',
      record(0x88005, [0x5ffff, 33, 0, 2], T),
      'arm.virq_inject d5 arg0=21 arg2=2',
    ],
    ['virq lr', record(0x88006, [WHO, 33, 0xa001], T), 'arm.virq_lr d5 v3 arg0=21 arg1=a001'],
    ['virq active', record(0x88007, [WHO, 33, 36], T), 'arm.virq_active d5 v3 arg0=21 arg1=24'],
    ['virq merged', record(0x88008, [WHO, 33, 1], T), 'arm.virq_merged d5 v3 arg0=21 arg1=1'],
    ['virq retired', record(0x88009, [WHO, 33, 32], T), 'arm.virq_retired d5 v3 arg0=21 arg1=20'],
    [
      'counter offset of a domain',
      record(0x8800a, [0x5ffff, 0x10000, 0x2], T),
      'arm.cntvoff d5 data=200010000',
    ],
    [
      'any other',
      record(0x2220c, [1, 2, 3, 0x80000004, 5, 6], T),
      'xen.other addr=200000001 data=8000000400000003 arg0=2220c arg1=6 arg2=5 arg3=6',
    ],
    [
      'a seventh word',
      record(0x22216, [0, 0, 0, 0, 0, 0, 0xabcd1234], T),
      `xen.other d4660 v43981 arg0=22216 arg1=7`,
    ],
    ['no words', record(0x22209, [], T), 'xen.other arg0=22209'],
    ['junk tail (Xen 4.17)', record(0x28004, [5, 3, 0x55555555], T), 'xen.wake d5 v3'],
    [
      'a runstate that Xen does not have',
      record(0x21041, [WHO], T),
      'xen.other addr=50003 arg0=21041 arg1=1',
    ],
  ];
  it.each(cases)('%s', (_, words, expected) => {
    const { rows, report } = decode(fileOf(window(2, [words])));
    expect(rows).toEqual([`0 cpu2 ${expected}`]);
    expect(report.errors).toEqual([]);
    expect(report.records).toBe(2);
  });

  it('every known kind that lacks a word is reported, not decoded', () => {
    for (const [, words] of cases.slice(0, 26)) {
      const short = [(words[0]! & 0x8fffffff) >>> 0, ...words.slice(1, 3)];
      const { report } = decode(fileOf(window(0, [short])));
      expect(report.errors.map((e) => e.code)).toEqual(['E_BAD_RECORD']);
    }
  });
});

describe('time', () => {
  it('counts ticks since the smallest first timestamp, exactly', () => {
    const late = 0x1f_ffff_ffff_ffffn;
    const { rows, clock } = decode(
      fileOf(window(1, [wake(5000)]), window(0, [wake(4096), record(0x28004, [1, 0], 4096n + late)])),
    );
    expect(clock).toEqual({ name: 'xen', unit: 'ticks', epoch: 4096n });
    expect(rows.map((r) => r.split(' ').slice(0, 2))).toEqual([
      ['0', 'cpu0'],
      ['904', 'cpu1'],
      [`${late}`, 'cpu0'],
    ]);
  });

  it('gives a record without timestamp the time of its CPU, the first one included', () => {
    const { rows } = decode(
      fileOf(window(0, [wake(undefined, 1), wake(T, 2), wake(undefined, 3)]), window(1, [wake(T - 10, 4)])),
    );
    expect(rows.map((r) => r.split(' ')).map(([ts, , , who]) => `${ts} ${who}`)).toEqual([
      '0 d4',
      '10 d1',
      '10 d2',
      '10 d3',
    ]);
  });

  it('merges the CPUs by time; equal times by CPU, lowest first', () => {
    const at = (cpu: number, ...times: number[]): number[] =>
      window(
        cpu,
        times.map((t) => wake(T + t)),
      );
    const { rows } = decode(fileOf(at(7, 0, 3, 3), at(2, 0, 3, 4), at(5, 1, 2), at(2, 4, 9), at(7, 4)));
    expect(rows.map((r) => r.split(' ').slice(0, 2).join(' '))).toEqual([
      '0 cpu2',
      '0 cpu7',
      '1 cpu5',
      '2 cpu5',
      '3 cpu2',
      '3 cpu7',
      '3 cpu7',
      '4 cpu2',
      '4 cpu2',
      '4 cpu7',
      '9 cpu2',
    ]);
  });

  it('takes the previous time for one that goes back or leaps ahead, and says so once', () => {
    const far = T + 2 ** 40;
    const other = window(1, [wake(T + 1), wake(T + 5)]);
    for (const [odd, what] of [
      [far, 'leaps ahead'],
      [T - 100, 'goes back'],
      [T - 2 ** 35, 'goes back'],
    ] as const) {
      const damaged = window(0, [wake(T), wake(T + 2), wake(odd), wake(T + 4), wake(T + 6)]);
      const { rows, report } = decode(fileOf(damaged, other));
      expect(rows.map((r) => Number(r.split(' ')[0]))).toEqual([0, 1, 2, 2, 4, 5, 6]);
      expect(report.errors.map((e) => [e.code, e.detail.offset])).toEqual([['E_BAD_RECORD', 12 + 2 * 20]]);
      expect(report.errors[0]!.message).toContain(what);
    }
  });

  it('does not take its epoch from a first timestamp that the second contradicts', () => {
    const { rows, report, clock } = decode(fileOf(window(0, [wake(T + 2 ** 40), wake(T), wake(T + 2)])));
    expect(rows.map((r) => Number(r.split(' ')[0]))).toEqual([0, 0, 2]);
    expect(clock.epoch).toBe(BigInt(T));
    expect(report.errors.map((e) => [e.code, e.detail.offset])).toEqual([['E_BAD_RECORD', 12]]);
  });

  it('believes a long idle time', () => {
    const { rows, report } = decode(fileOf(window(0, [wake(T), wake(T + 2 ** 40), wake(T + 2 ** 41)])));
    expect(rows.map((r) => Number(r.split(' ')[0]))).toEqual([0, 2 ** 40, 2 ** 41]);
    expect(report.errors).toEqual([]);
  });

  it('ends a CPU whose clock starts again', () => {
    const { rows, report } = decode(
      fileOf(window(0, [wake(T), wake(T + 1)]), window(0, [wake(100), wake(101), wake(102)])),
    );
    expect(rows.map((r) => r.split(' ')[2])).toEqual(['xen.wake', 'xen.wake', 'xen.lost']);
    expect(report.errors.map((e) => e.message)).toEqual([
      `x.bin at byte 64: the clock starts again; records from here on are left out; expected about ${T + 1}, got 100`,
    ]);
  });
});

describe('buffers', () => {
  it('counts a wrap buffer and gives no row for it', () => {
    const { rows, report } = decode(
      fileOf(
        window(0, [wake(T), record(0x1f002, [0xffffffff, 1, 2]), record(0x1f002, [], T + 1), wake(T + 2)]),
      ),
    );
    expect(rows).toHaveLength(2);
    expect([...report.byName]).toEqual([
      ['wrap_buffer', 2],
      ['cpu_change', 1],
      ['domain_wake', 2],
    ]);
    expect(report.records).toBe(5);
  });

  it('counts others by id', () => {
    const { report } = decode(
      fileOf(window(0, [record(0x2220c, [], T), record(0x10f001, [1], T), record(0x2220c, [], T)])),
    );
    expect(Object.fromEntries(report.byName)).toEqual({ cpu_change: 1, '0x2220c': 2, '0x10f001': 1 });
  });

  it('tells losses: where, how many', () => {
    const { report } = decode(fileOf(window(3, [wake(T), record(0x1f001, [17, 0, 1, 0], T + 8)])));
    expect(report.losses).toEqual([{ cpu: 3, count: 17, ts: 8 }]);
  });

  it('bounds the list of losses', () => {
    const lost = record(0x1f001, [2, 0, 1, 0], T);
    const { report } = decode(
      fileOf(
        window(
          0,
          Array.from({ length: 10_005 }, () => lost),
        ),
      ),
      {},
      1000,
    );
    expect(report.losses).toHaveLength(10_001);
    expect(report.losses.at(-1)).toEqual({ cpu: 0, count: 10, ts: NaN });
  });
});

const SAMPLES = ['unpatched', 'arm-points'] as const;
const sample = (name: string): Uint8Array =>
  readFileSync(new URL(`../../fixtures/raw/xentrace/${name}.bin`, import.meta.url));

describe('real samples', () => {
  it.each(SAMPLES)('%s gives its golden text', async (name) => {
    const { rows, report, clock } = decode(sample(name));
    const kept = rows.filter((row, i) => i < 20 || / d[15] |arg0=21 |xen\.lost/.test(row));
    const text = [
      `epoch ${clock.epoch}, ${report.records} records, ${rows.length} rows, ${report.errors.length} errors`,
      ...[...report.byName].map(([record, count]) => `${record} ${count}`),
      'the first 20 rows, and then those of SPI 33 and of the guest:',
      ...kept,
    ].join('\n');
    await expect(`${text}\n`).toMatchFileSnapshot(`../../fixtures/raw/xentrace/${name}.golden.txt`);
  });

  it.each(SAMPLES)('%s is the same however it is read', (name) => {
    const bytes = sample(name);
    const whole = decode(bytes);
    for (const [chunkBytes, capacity] of [
      [1, 3],
      [64, 1024],
      [68, 1],
      [100, 1500],
      [1000, 5000],
      [20_000, 7],
    ] as const) {
      const { rows, report } = decode(bytes, { chunkBytes }, capacity);
      expect(report).toEqual(whole.report);
      expect(rows).toEqual(whole.rows);
    }
  });

  it('arm-points holds all nine Arm kinds', () => {
    const { rows } = decode(sample('arm-points'));
    const kinds = new Set(rows.map((r) => r.split(' ')[2]));
    for (let kind = K.ARM_S2_ABORT; kind <= K.ARM_VIRQ_RETIRED; kind++)
      expect(kinds).toContain(kindName(kind));
  });
});

describe('recognised by content', () => {
  const sniff = (bytes: Uint8Array): boolean =>
    xentraceFormat.sniff(bytes.subarray(0, 65_536), new MemorySource('x', bytes));

  it.each(SAMPLES)('%s', (name) => {
    expect(sniff(sample(name))).toBe(true);
  });

  it('a cut or an odd beginning', () => {
    expect(sniff(fileOf(window(0, [wake(T)])).subarray(0, 13))).toBe(true);
    expect(sniff(fileOf(window(0, [])))).toBe(true);
  });

  it.each([
    ['nothing', new Uint8Array(0)],
    ['half a header', fileOf(window(0, [wake(T)])).subarray(0, 11)],
    ['text', new TextEncoder().encode('# tracer: nop\n#\n# entries-in-buffer\n')],
    ['zeros', new Uint8Array(4096)],
    ['a CPU beyond any host', fileOf(window(70_000, [wake(T)]))],
    ['an odd window', fileOf(window(0, [wake(T)], 21))],
    ['a window of no records of Xen', fileOf(window(0, [[0x41414141, 0x41414141]]))],
  ])('not %s', (_, bytes) => {
    expect(sniff(bytes)).toBe(false);
  });
});
