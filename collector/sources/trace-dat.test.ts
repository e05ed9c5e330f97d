import fc from 'fast-check';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeAll, event, page, payload } from '../../fixtures/ftrace-bytes.ts';
import { sampleParts } from '../../fixtures/ftrace-pages-writer.ts';
import { traceDat6, traceDat7 } from '../../fixtures/trace-dat-writer.ts';
import { MemorySource } from '../input/byte-source.ts';
import { TraceDatDecoder, traceDatFormat } from './trace-dat.ts';

const SAMPLES = new URL('../../fixtures/raw/ftrace/', import.meta.url).pathname;
const sample = (name: string): Buffer => readFileSync(`${SAMPLES}trace-dat/${name}`);
const V6 = sample('v6.dat');
const V7 = sample('v7-none.dat');
const ZSTD = sample('v7-zstd.dat');

function decode(bytes: Uint8Array, capacity?: number) {
  const decoder = new TraceDatDecoder(new MemorySource('trace.dat', bytes));
  const rows = decodeAll(decoder, capacity);
  return { decoder, rows, errors: decoder.report.errors.map(String) };
}

const PARTS = sampleParts(`${SAMPLES}uprobes`);
const SAMPLE_CPUS = [0, 1].map((cpu) => readFileSync(`${SAMPLES}uprobes/cpu${cpu}.raw`));

describe('one recording in every version and compression', () => {
  const { decoder, rows } = decode(V6);
  it('version 6 as it was', async () => {
    expect(decoder.report.errors).toEqual([]);
    const counts = [...decoder.report.byName].sort().map(([name, n]) => `count ${name} ${n}`);
    const guest = rows.filter((row) => !/ dom0\.(sched|irq_e)/.test(row)).slice(0, 40);
    const text = [`epoch ${decoder.clock.epoch}`, ...counts, ...rows.slice(0, 20), '...', ...guest];
    await expect(`${text.join('\n')}\n`).toMatchFileSnapshot(`${SAMPLES}trace-dat/golden.txt`);
    expect(decoder.clock).toMatchObject({ name: 'mono_raw', unit: 'ns' });
    expect(decoder.tasks.get(3442)).toBe('qemu-xen');
    expect(decoder.tasks.size).toBe(735);
  });
  it.each<[string, Buffer]>([
    ['7, none, by trace-cmd', V7],
    ['7, zstd, by trace-cmd', ZSTD],
  ])('%s', (_, bytes) => {
    const other = decode(bytes, 100);
    expect(other.errors).toEqual([]);
    expect(other.rows).toEqual(rows);
    expect(other.decoder.clock).toEqual(decoder.clock);
    expect(other.decoder.tasks).toEqual(decoder.tasks);
    expect(other.decoder.report.byName).toEqual(decoder.report.byName);
  });
  it('the same pages written as 6, 7 none and 7 zlib', () => {
    const six = decode(traceDat6(PARTS, SAMPLE_CPUS));
    expect([six.errors, six.rows.length]).toEqual([[], 869]);
    for (const compression of ['none', 'zlib'] as const) {
      const seven = decode(traceDat7(PARTS, SAMPLE_CPUS, compression));
      expect(seven.errors).toEqual([]);
      expect(seven.rows).toEqual(six.rows);
    }
  });
});

const hasTraceCmd = spawnSync('trace-cmd', ['--version']).error === undefined;
if (!hasTraceCmd) console.warn('SKIPPED: trace-cmd is not installed, the decoder is not compared with it');

describe.skipIf(!hasTraceCmd)('trace-cmd report agrees', () => {
  it.each(['v6.dat', 'v7-none.dat', 'v7-zstd.dat'])('%s: CPU, time to the nanosecond, pid, order', (name) => {
    const { stdout } = spawnSync('trace-cmd', ['report', '-t', '-i', `${SAMPLES}trace-dat/${name}`], {
      encoding: 'utf8',
    });
    // From 3.2 on there is a column of flags between CPU and time.
    const peer = [
      ...stdout.matchAll(/^ *.*-(\d+) +\[0*(\d+)\] +(?:\S{4,8} +)?(\d+)\.(\d{9}): +(\S+): /gm),
    ].map(([, pid, cpu, seconds, ns]) => `${cpu!} ${seconds!}${ns!} ${pid!}`);
    const { decoder, rows } = decode(sample(name));
    const ours = rows.map((row) => {
      const [, ts, cpu, kind] = /^(\d+) cpu(\d+) (\S+)/.exec(row)!;
      const pid = /pid=(-?\d+)/.exec(row)![1]!;
      expect(kind).not.toBe('dom0.lost');
      return `${cpu!} ${decoder.clock.epoch + BigInt(ts!)} ${pid}`;
    });
    expect(ours).toEqual(peer);
  });
});

it('losses that only the statistics tell', () => {
  const cpuStats = [0, 1].map(
    (cpu) => `CPU: ${cpu}\nentries: 0\noverrun: ${cpu * 7}\ncommit overrun: 0\ndropped events: 2\n`,
  );
  const lost = page(10n, [event(0, payload(5000, 1))], { flags: 0xc0000000, stored: 5n });
  const bytes = traceDat6({ ...PARTS, cpuStats }, [lost, lost]);
  expect(decode(bytes).decoder.report.losses).toEqual([
    { cpu: 0, count: 5, ts: 0 },
    { cpu: 1, count: 5, ts: 0 },
    { cpu: 1, count: 4, ts: NaN },
  ]);
});

describe('damage', () => {
  it('sniffing', () => {
    for (const bytes of [V6, V7, ZSTD])
      expect(traceDatFormat.sniff(bytes, new MemorySource('x', bytes))).toBe(true);
    for (const bytes of [Buffer.alloc(0), V6.subarray(1), V6.subarray(0, 9)]) {
      expect(traceDatFormat.sniff(bytes, new MemorySource('x', bytes))).toBe(false);
    }
  });
  const patched = (bytes: Buffer, at: number, ...values: number[]): Buffer => {
    const copy = Buffer.from(bytes);
    copy.set(values, at);
    return copy;
  };
  it.each<[string, Buffer, string]>([
    ['empty', Buffer.alloc(0), 'trace.dat: the file is empty'],
    ['foreign', Buffer.from('hello, hello'), 'not a trace.dat file'],
    [
      'another version',
      patched(V6, 10, 0x38),
      'at byte 10: trace.dat version is not known; expected 6 or 7, got "8"',
    ],
    ['big endian', patched(V6, 12, 1), 'at byte 12: recorded on a big-endian machine'],
    [
      'another compression',
      patched(ZSTD, 18, 0x78),
      'compression is not known; expected none, zlib or zstd, got "xstd"',
    ],
    ['options beyond the file', patched(V7, 28, 255), 'input ends inside a section header'],
  ])('%s', (_, bytes, message) => {
    const { rows, errors } = decode(bytes);
    expect(rows).toEqual([]);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain(message);
  });
  it('version 6 cut in its pages: what is there, then one error', () => {
    const whole = decode(V6).rows;
    const { rows, errors } = decode(V6.subarray(0, 0xd000 + 4096 * 3 + 100));
    expect(rows.length).toBeGreaterThan(1000);
    expect(rows.filter((row) => row.includes(' cpu0 '))).toEqual(
      whole.filter((row) => row.includes(' cpu0 ')),
    );
    expect(errors).toEqual([expect.stringContaining('at byte 65636: input ends before its stated size')]);
  });
  it('a format that is damaged costs its own event only', () => {
    const systems = PARTS.systems.map((s) =>
      s.name === 'irq' ? { ...s, formats: s.formats.map((f) => f.replace('ID: 100', 'ID: x')) } : s,
    );
    const { rows, errors } = decode(traceDat6({ ...PARTS, systems }, SAMPLE_CPUS));
    expect(rows).toHaveLength(869);
    expect(rows.filter((row) => row.includes('event 100 without format'))).toHaveLength(102);
    expect(errors).toEqual([
      expect.stringMatching(/format at byte \d+.*event format is damaged; expected ID/),
    ]);
  });
  it('a chunk that cannot be unpacked: the rows before it, then one error', () => {
    const bytes = traceDat7(PARTS, SAMPLE_CPUS, 'zlib');
    const whole = decode(bytes).rows;
    // The last chunk of CPU 1 ends in front of the options; its last bytes are the checksum.
    const cut = decode(bytes.subarray(0, bytes.length - 1));
    expect(cut.errors).toHaveLength(1);
    const at = bytes.lastIndexOf(Buffer.from([0x78, 0x9c]));
    expect(at).toBeGreaterThan(0);
    let hits = 0;
    for (let i = 4000; i < bytes.length; i += 997) {
      const { rows, errors } = decode(patched(bytes, i, bytes[i]! ^ 0x55));
      if (errors.length === 0) continue;
      hits++;
      expect(errors).toHaveLength(1);
      expect(rows.length).toBeLessThanOrEqual(whole.length);
    }
    expect(hits).toBeGreaterThan(3);
  });
  it('every cut of the head, and many of the rest: one error, never a throw', () => {
    for (const bytes of [V6, V7, ZSTD]) {
      for (let length = 1; length < bytes.length; length += length < 700 ? 1 : 1511) {
        const { errors } = decode(bytes.subarray(0, length));
        expect([length, errors.length]).toEqual([length, 1]);
      }
    }
  });
  it('any damage: rows in order, at most one error', () => {
    for (const [bytes, runs] of [
      [traceDat6(PARTS, SAMPLE_CPUS), 150],
      [traceDat7(PARTS, SAMPLE_CPUS, 'zlib'), 150],
      [ZSTD, 150],
    ] as const) {
      fc.assert(
        fc.property(
          fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 })), {
            minLength: 1,
            maxLength: 4,
          }),
          (list) => {
            const damaged = Buffer.from(bytes);
            for (const [at, mask] of list) damaged[at]! ^= mask;
            const { rows, decoder } = decode(damaged);
            const ts = rows.map((row) => Number(row.split(' ', 1)[0]));
            return decoder.report.errors.length <= 1 && ts.every((t, i) => i === 0 || ts[i - 1]! <= t);
          },
        ),
        { numRuns: runs },
      );
    }
  });
  it('options that point at themselves', () => {
    const bytes = traceDat7(PARTS, SAMPLE_CPUS, 'none');
    // The last option of the last section: DONE, whose 8 bytes are the next section's offset.
    const first = bytes.readBigUInt64LE(25);
    bytes.writeBigUInt64LE(first, bytes.length - 8);
    const { errors } = decode(bytes);
    expect(errors).toEqual([expect.stringContaining('option sections form a loop')]);
  });
});
