import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateScenario } from '../../../fixtures/scenario/index.ts';
import { pagesOf } from '../../../fixtures/live-rounds.ts';
import { fileOf, record, window } from '../../../fixtures/xentrace-bytes.ts';
import { readFormatsDirectory } from '../../sources/ftrace/format-directory.ts';
import { EventFormats } from '../../sources/ftrace/event-format.ts';
import { Dom0Latencies } from './dom0-latencies.ts';
import { LiveFeed } from './live-feed.ts';
import { LiveStats } from './live-stats.ts';
import { VcpuWaits } from './vcpu-waits.ts';
import { Watermark } from './watermark.ts';
import { WindowCutter } from './window-cutter.ts';

const TARGET = { domid: 1, devices: [{ name: 'blk0', kind: 'blk', base: 0x2000000, spi: 33 }] };

let dir = '';
let pages: Uint8Array[] = [];
let xen: Uint8Array = new Uint8Array(0);
let formats = new EventFormats();

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'ioreq-trace-live-damage-'));
  generateScenario({ ioreqs: 300, ioreqFetch: true, devices: ['blk'], qemuLog: 'none' }, dir);
  pages = pagesOf(readFileSync(join(dir, 'cpu0.raw')));
  xen = readFileSync(join(dir, 'xentrace.bin'));
  formats = readFormatsDirectory(join(dir, 'tracefs', 'events')).formats;
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

function live(of: EventFormats, maxHeldRows?: number): { feed: LiveFeed; stats: LiveStats } {
  const stats = new LiveStats();
  const dom0 = new Dom0Latencies(TARGET, [stats]);
  const waits = new VcpuWaits(TARGET, 62.5e6, [stats]);
  stats.attach(dom0, waits, 62.5e6);
  const kprobes = readFileSync(join(dir, 'kprobe_events.txt'), 'utf8');
  const options = { formats: of, kprobes, clockName: 'mono_raw', dom0, xen: waits };
  return { feed: new LiveFeed(maxHeldRows === undefined ? options : { ...options, maxHeldRows }), stats };
}

describe('LiveFeed on damaged input', () => {
  it('never throws, whatever bytes change', () => {
    const change = fc.record({ at: fc.nat(), value: fc.nat({ max: 255 }), inXen: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(change, { minLength: 1, maxLength: 12 }),
        fc.nat({ max: 5000 }),
        (changes, cut) => {
          const dom0 = Buffer.concat(pages);
          const hyper = Buffer.from(xen);
          for (const { at, value, inXen } of changes) {
            const into = inXen ? hyper : dom0;
            into[at % into.length] = value;
          }
          const { feed, stats } = live(formats);
          const half = Math.floor(pages.length / 2) * 4096;
          feed.pages(0, dom0.subarray(0, half));
          feed.xentrace(hyper.subarray(0, cut));
          feed.endRound(100);
          feed.pages(0, dom0.subarray(half, dom0.length - (cut % 4096)));
          feed.xentrace(hyper.subarray(cut));
          feed.endRound(101);
          feed.finish();
          const { measures } = stats.snapshot();
          for (const { total } of measures) expect(total.count === 0 || total.p50 >= 0).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('counts damage, tells the first, and goes on with the next round', () => {
    const { feed, stats } = live(formats);
    const bad = Buffer.from(pages[0]!);
    bad.writeUInt32LE(5000, 8);
    feed.pages(0, bad);
    feed.endRound();
    expect(feed.dom0.damaged).toBe(1);
    expect(feed.dom0.damage?.message).toBe(
      'cpu0 at byte 8: page states more data than it can hold; expected at most 4080, got 5000',
    );
    feed.pages(0, Buffer.concat(pages.slice(1)));
    feed.pages(1, new Uint8Array(100));
    feed.endRound();
    feed.finish();
    expect(feed.dom0.damaged).toBe(2);
    expect(stats.snapshot().events).toBeGreaterThan(1000);
  });

  it('says that pages without formats cannot be read', () => {
    const { feed } = live(new EventFormats());
    feed.pages(0, pages[0]!);
    feed.endRound();
    expect(feed.dom0.damage?.code).toBe('E_NO_FORMATS');
  });

  it('gives rows before their turn rather than hold more than it may', () => {
    const { feed, stats } = live(formats, 1000);
    for (const page of pages) {
      feed.pages(0, page);
      feed.endRound();
    }
    feed.finish();
    const { feed: free, stats: all } = live(formats);
    free.pages(0, Buffer.concat(pages));
    free.finish();
    const count = stats.snapshot().events;
    expect(count).toBeGreaterThan(1000);
    expect(count).toBe(all.snapshot().events);
  });
});

describe('WindowCutter', () => {
  it('cuts at cpu_change records wherever the bytes were cut', () => {
    const windows = [
      fileOf(window(0, [record(0x21002, [1], 10)])),
      fileOf(window(1, [record(0x21002, [2], 11), record(0x21002, [2], 12)])),
      fileOf(window(0, [record(0x21002, [3], 13)])),
    ];
    const stream = Buffer.concat([windows[0]!, fileOf(window(3, [])), windows[1]!, windows[2]!]);
    for (let step = 1; step <= stream.length; step++) {
      const cutter = new WindowCutter();
      const got: [number, Buffer][] = [];
      for (let at = 0; at < stream.length; at += step) {
        cutter.push(stream.subarray(at, at + step), (cpu, bytes) => got.push([cpu, Buffer.from(bytes)]));
      }
      expect(got.map(([cpu]) => cpu)).toEqual([0, 1, 0]);
      expect(got.map(([, bytes]) => bytes.equals(windows[got.findIndex((g) => g[1] === bytes)]!))).toEqual([
        true,
        true,
        true,
      ]);
      expect([cutter.waiting, cutter.error]).toEqual([0, undefined]);
    }
  });

  it('stops at what is no window, and says where', () => {
    const good = fileOf(window(0, [record(0x21002, [1], 10)]));
    const errors = [
      Buffer.alloc(12, 0xff),
      fileOf(window(20_000, [])),
      fileOf(window(0, [], 6)),
      fileOf(window(0, [], 0xfffffffc)),
    ].map((bad) => {
      const cutter = new WindowCutter();
      let windows = 0;
      cutter.push(Buffer.concat([good, bad, good]), () => windows++);
      expect(windows).toBe(1);
      return cutter.error?.message;
    });
    expect(errors.join('\n')).toMatchInlineSnapshot(`
      "xentrace at byte 28: no cpu_change record where a window ends; expected 0x2001f003, got 0xffffffff
      xentrace at byte 28: cpu_change of an impossible CPU; expected below 16384, got 20000
      xentrace at byte 28: window of an impossible length; expected a multiple of 4 up to 268435456 bytes, got 6
      xentrace at byte 28: window of an impossible length; expected a multiple of 4 up to 268435456 bytes, got 4294967292"
    `);
  });
});

describe('Watermark', () => {
  it('is what the round before brought, and goes on with the host’s time where nothing comes', () => {
    const mark = new Watermark();
    const uptime = (ns: number): number => Math.floor((ns + 5e12) / 1e7) * 1e7;
    expect(mark.round(0.99e9, uptime(0))).toBe(-Infinity);
    expect(mark.round(1.98e9, uptime(1e9))).toBeGreaterThanOrEqual(0.99e9);
    let last = 0;
    for (let second = 2; second < 60; second++) {
      last = mark.round(-Infinity, uptime(second * 1e9));
      // Never later than the round's begin, and not far behind it.
      expect(last).toBeLessThanOrEqual(second * 1e9);
      expect(last).toBeGreaterThan(second * 1e9 - 0.15e9);
    }
    expect(mark.round(59.5e9, NaN)).toBe(last);
    expect(mark.round(-Infinity, NaN)).toBe(59.5e9);
  });

  it('does not overtake a trace clock that runs slow', () => {
    const mark = new Watermark();
    const slow = (second: number): number => second * 1e9 * (1 - 400e-6);
    for (let second = 0; second < 20; second++) mark.round(slow(second + 0.999), second * 1e9);
    for (let second = 20; second < 3000; second++) {
      expect(mark.round(-Infinity, second * 1e9)).toBeLessThanOrEqual(slow(second));
    }
  });
});
