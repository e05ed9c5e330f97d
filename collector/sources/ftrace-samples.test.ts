import fc from 'fast-check';
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeAll } from '../../fixtures/ftrace-bytes.ts';
import { MemorySource } from '../input/byte-source.ts';
import { FtracePagesDecoder, ftracePagesFormat } from './ftrace-pages.ts';
import { readFormatsDirectory } from './ftrace/format-directory.ts';
import { parseProbeDefinitions, type ProbeDefinition } from './ftrace/probes.ts';

/** Pages of live captures (fixtures/raw/ftrace/README.md). */
const SAMPLES = new URL('../../fixtures/raw/ftrace/', import.meta.url).pathname;

interface Sample {
  cpus: Buffer[];
  probes: ProbeDefinition[];
  formats: ReturnType<typeof readFormatsDirectory>['formats'];
}

function load(name: string): Sample {
  const path = (file: string): string => `${SAMPLES}${name}/${file}`;
  const probes = ['kprobe_events.txt', 'uprobe_events.txt']
    .map(path)
    .filter((file) => existsSync(file))
    .flatMap((file) => parseProbeDefinitions(readFileSync(file, 'utf8')));
  const { formats } = readFormatsDirectory(path('tracefs/events'));
  return { cpus: [0, 1].map((cpu) => readFileSync(path(`cpu${cpu}.raw`))), probes, formats };
}

function open({ cpus, probes, formats }: Sample, chunkBytes?: number): FtracePagesDecoder {
  const inputs = cpus.map((bytes, cpu) => ({ cpu, input: new MemorySource(`cpu${cpu}.raw`, bytes) }));
  const chunk = chunkBytes === undefined ? {} : { chunkBytes };
  return new FtracePagesDecoder(inputs, formats, { clockName: 'mono_raw', probes, ...chunk });
}

const inOrder = (rows: string[]): boolean => {
  const ts = rows.map((row) => Number(row.split(' ', 1)[0]));
  return ts.every((t, i) => i === 0 || ts[i - 1]! <= t);
};

describe.each(['log-backend', 'uprobes', 'ioreq-fetch'])('%s', (name) => {
  const sample = load(name);
  it('counts and first rows are as they were', async () => {
    const decoder = open(sample);
    const rows = decodeAll(decoder);
    expect(decoder.report.errors).toEqual([]);
    expect(inOrder(rows)).toBe(true);
    expect([...decoder.report.byName.values()].reduce((a, b) => a + b)).toBe(decoder.report.records);
    const counts = [...decoder.report.byName].sort().map(([event, n]) => `count ${event} ${n}`);
    const guest = rows.filter((row) => !/ dom0\.(sched|irq_e|sys)/.test(row)).slice(0, 60);
    const text = [`epoch ${decoder.clock.epoch}`, ...counts, ...rows.slice(0, 20), '...', ...guest];
    await expect(`${text.join('\n')}\n`).toMatchFileSnapshot(`${SAMPLES}${name}/golden.txt`);
  });
  it('the same rows whatever the batch and the chunk', () => {
    const rows = decodeAll(open(sample));
    for (const [batch, chunk] of [
      [1, 4096],
      [2, 5000],
      [65_536, 8192],
    ] as const) {
      expect(decodeAll(open(sample, chunk), batch)).toEqual(rows);
    }
  });
  it('is recognised', () => {
    for (const bytes of sample.cpus) {
      expect(ftracePagesFormat.sniff(bytes.subarray(0, 65_536), new MemorySource('x', bytes))).toBe(true);
    }
  });
  it('every cut gives the rows before it and one error, unless it is between pages', () => {
    const whole = decodeAll(open({ ...sample, cpus: [sample.cpus[0]!.subarray(0, 8192)] }));
    for (let length = 0; length <= 8192; length += length % 4096 < 64 ? 1 : 13) {
      const decoder = open({ ...sample, cpus: [sample.cpus[0]!.subarray(0, length)] });
      const rows = decodeAll(decoder);
      expect(rows).toEqual(whole.slice(0, rows.length));
      const codes = decoder.report.errors.map((e) => e.code);
      expect([length, codes]).toEqual([length, length % 4096 === 0 ? [] : ['E_TRUNCATED']]);
      const offset = decoder.report.errors[0]?.detail.offset ?? 0;
      expect(offset).toBeLessThanOrEqual(length);
    }
  });
  it('any damage: rows in order, at most one error a CPU, never a throw', () => {
    const bytes = sample.cpus[0]!.subarray(0, 12_288);
    const flips = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(flips, (list) => {
        const damaged = Buffer.from(bytes);
        for (const [at, mask] of list) damaged[at]! ^= mask;
        const decoder = open({ ...sample, cpus: [damaged] });
        const rows = decodeAll(decoder);
        // Fewer records than the smallest one would allow, and all accounted for.
        return (
          inOrder(rows) &&
          rows.length < 12_288 / 4 &&
          decoder.report.errors.length <= 1 &&
          decoder.report.errors.every(
            (e) => e.detail.source === 'cpu0.raw' && e.detail.offset! <= bytes.length,
          )
        );
      }),
      { numRuns: 300 },
    );
  });
});
