import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { EventBatch } from '../../trace/columns.ts';
import { FileSource } from '../input/file-source.ts';
import { FtracePagesDecoder } from '../sources/ftrace-pages.ts';
import { readFormatsDirectory } from '../sources/ftrace/format-directory.ts';
import { parseProbeDefinitions } from '../sources/ftrace/probes.ts';
import { parseTraceClock } from '../sources/ftrace/trace-clock.ts';
import type { EventDecoder } from '../sources/source.ts';
import { XentraceDecoder } from '../sources/xentrace.ts';
import { ALL_METHODS, explainAlignment } from './align.ts';
import type { ClockInput } from './clock-input.ts';
import type { Methods } from './sweep.ts';

/**
 * Real captures of a live host. What is true of them is known from samples of several clocks taken together
 * (clk-start.txt, clk-end.txt) and, on the patched Xen, from the offset that it prints (xl-dmesg.txt).
 */
const PLACES = [
  { dir: new URL('../../fixtures/captures/', import.meta.url).pathname, ending: '.tar.gz' },
  { dir: new URL('../../../shared/captures/xen-arm/', import.meta.url).pathname, ending: '.tar.xz' },
];

function archiveOf(name: string): string | undefined {
  return PLACES.map(({ dir, ending }) => join(dir, name + ending)).find((path) => existsSync(path));
}

const missing = ['A1', 'A2', 'P1', 'P3'].filter((name) => archiveOf(name) === undefined);
if (missing.length > 0) console.warn(`SKIPPED: clocks of real captures ${missing.join(', ')}: not there`);
const present = (...names: string[]): string[] => names.filter((name) => !missing.includes(name));

const HZ = 62_500_000;
const scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-clocks-'));
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

function unpack(name: string): string {
  const dir = join(scratch, name);
  if (!existsSync(dir)) execFileSync('tar', ['xf', archiveOf(name) ?? name, '-C', scratch]);
  return dir;
}

function text(dir: string, file: string): string {
  return readFileSync(join(dir, file), 'utf8');
}

function decodeAll(decoder: EventDecoder): EventBatch[] {
  const batches: EventBatch[] = [];
  for (let more = true; more;) {
    const batch = new EventBatch();
    more = decoder.fill(batch);
    batches.push(batch);
  }
  expect(decoder.report.errors).toEqual([]);
  return batches;
}

const loaded = new Map<string, ClockInput>();

function load(name: string): ClockInput {
  const known = loaded.get(name);
  if (known !== undefined) return known;
  const input = decode(name);
  loaded.set(name, input);
  return input;
}

function decode(name: string): ClockInput {
  const dir = unpack(name);
  const xen = new XentraceDecoder(new FileSource(join(dir, 'xentrace.bin')));
  const inputs = readdirSync(dir)
    .map((file) => ({ file, cpu: Number(/^cpu(\d+)\.raw$/.exec(file)?.[1] ?? -1) }))
    .filter(({ cpu }) => cpu >= 0)
    .map(({ file, cpu }) => ({ cpu, input: new FileSource(join(dir, file)) }));
  const { formats } = readFormatsDirectory(join(dir, 'tracefs/events'));
  const dom0 = new FtracePagesDecoder(inputs, formats, {
    clockName: parseTraceClock(text(dir, 'trace_clock.txt')),
    probes: parseProbeDefinitions(text(dir, 'kprobe_events.txt') + text(dir, 'uprobe_events.txt')),
  });
  const xenBatches = decodeAll(xen);
  const dom0Batches = decodeAll(dom0);
  for (const { input } of inputs) input.close();
  return {
    xen: { batches: () => xenBatches, epoch: xen.clock.epoch, hz: HZ, id: 'xen' },
    dom0: {
      batches: () => dom0Batches,
      epoch: dom0.clock.epoch,
      clockName: dom0.clock.name,
      strings: dom0.strings.list,
      id: 'dom0',
    },
    domid: undefined,
  };
}

/** Limits of CNTVCT - mono_raw in ticks: each sample holds CNTVCT before and after the reading of mono_raw. */
function virtualCounter(dir: string): [number, number] {
  let low = -Infinity;
  let high = Infinity;
  for (const line of (text(dir, 'clk-start.txt') + text(dir, 'clk-end.txt')).trim().split('\n')) {
    const field = (name: string): number => Number(new RegExp(`\\b${name}=(\\d+)`).exec(line)?.[1]);
    const mono = (field('mono_raw') * HZ) / 1e9;
    low = Math.max(low, field('cntvct') - mono);
    high = Math.min(high, field('cntvct2') - mono);
  }
  expect(low).toBeLessThanOrEqual(high);
  return [low, high];
}

/** Interval that was found for CNTPCT - mono_raw at the reference, in ticks. */
function found(
  input: ClockInput,
  methods: Methods = ALL_METHODS,
): { low: number; high: number; width: number } {
  const { relation, refusal } = explainAlignment(input, methods);
  if (relation === undefined) throw new Error(refusal);
  expect(relation.warning).toBeUndefined();
  const [offset, error] = [(relation.offsetNs * HZ) / 1e9, (relation.errorNs * HZ) / 1e9];
  expect(relation.maxErrorNs).toBeLessThanOrEqual(relation.errorNs * 1.01);
  return { low: offset - error, high: offset + error, width: 2 * error };
}

const NONE: Methods = { exclusion: false, timer: false, answers: false, injects: false };

describe('clocks of real captures', () => {
  it.each(present('A1', 'A2'))(
    '%s, unpatched: exclusion alone is no wider than 7000 ticks, all together than 5000',
    (name) => {
      const input = load(name);
      expect(found(input, { ...NONE, exclusion: true }).width).toBeLessThan(7000);
      expect(found(input).width).toBeLessThan(5000);
    },
  );

  it.skipIf(missing.includes('A2'))('A2: agrees with what is known of CNTPCT - CNTVCT', () => {
    const input = load('A2');
    const [low, high] = virtualCounter(unpack('A2'));
    const interval = found(input);
    // Known from elsewhere to lie in this interval; the two must overlap.
    expect(interval.low - high).toBeLessThan(43_215_614);
    expect(interval.high - low).toBeGreaterThan(43_183_971);
  });

  it.each(present('P1', 'P3'))('%s, patched: the printed CNTVOFF lies inside, by each method', (name) => {
    const input = load(name);
    const dir = unpack(name);
    const constant = Number(/d0: CNTVOFF (\d+)/.exec(text(dir, 'xl-dmesg.txt'))?.[1]);
    const [low, high] = virtualCounter(dir);
    const inside = (interval: { low: number; high: number }): void => {
      expect(interval.low).toBeLessThanOrEqual(constant + low);
      expect(interval.high).toBeGreaterThanOrEqual(constant + high);
    };
    const widths: Partial<Record<keyof Methods, number>> = {};
    for (const method of ['exclusion', 'timer', 'answers', 'injects'] as const) {
      const interval = found(input, { ...NONE, [method]: true });
      inside(interval);
      widths[method] = interval.width;
    }
    expect(widths.exclusion).toBeLessThan(7000);
    expect(widths.timer).toBeLessThan(1610);
    const all = found(input);
    inside(all);
    expect(all.width).toBeLessThanOrEqual(Math.min(...Object.values(widths)) + 1);
  });
});
