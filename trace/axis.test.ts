import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromAxis, toAxis, traceAxis, type AxisManifest } from './axis.ts';
import type { ClockRelation, LogClock, SourceFacts } from './manifest.ts';

function source(id: string, clock: SourceFacts['clock'], firstTs: number, lastTs: number): SourceFacts {
  return {
    id,
    format: 'test',
    files: [],
    clock,
    rows: 2,
    records: 2,
    kinds: {},
    rawNames: {},
    firstTs,
    lastTs,
    lost: 0,
    losses: [],
    strings: [],
    errors: [],
  };
}

function xen(epoch: bigint, firstTs: number, lastTs: number, hz = 62_500_000): SourceFacts {
  return source('xen', { name: 'xen', unit: 'ticks', epoch: epoch.toString(), hz }, firstTs, lastTs);
}

function dom0(epoch: bigint, firstTs: number, lastTs: number, id = 'dom0'): SourceFacts {
  return source(id, { name: 'mono_raw', unit: 'ns', epoch: epoch.toString() }, firstTs, lastTs);
}

function relation(offsetNs: number, rate: number, reference: bigint): ClockRelation {
  return {
    xen: 'xen',
    dom0: 'dom0',
    offsetNs,
    errorNs: 1,
    maxErrorNs: 1,
    rate,
    referenceDom0Ns: reference.toString(),
    methods: [],
  };
}

function logClock(offsetNs: bigint, rate: number, reference: bigint): LogClock {
  return {
    log: 'dm-log',
    dom0: 'dom0',
    offsetNs: offsetNs.toString(),
    errorNs: 1,
    maxErrorNs: 1,
    rate,
    referenceDom0Ns: reference.toString(),
    pairs: 1,
  };
}

describe('traceAxis', () => {
  it('is empty without a timed source', () => {
    const none = source('rec', { name: 'none', unit: 'none', epoch: '0' }, 0, 0);
    const axis = traceAxis({ sources: [none], host: {} });
    expect(axis.clock).toBeUndefined();
    expect(axis.line('rec')).toBeUndefined();
  });

  it('counts from the first Dom0 event, exactly', () => {
    const axis = traceAxis({
      sources: [dom0(1_795_347_485_112_496_096n, 7, 9_007_199_254_740_000)],
      host: {},
    });
    expect(axis.line('dom0')).toEqual({ scale: 1, shift: -7 });
    expect(axis.originNs).toBe(1_795_347_485_112_496_103n);
    expect(axis.clock).toBe('mono_raw');
  });

  it("runs on Xen's counter where there is nothing else", () => {
    const axis = traceAxis({ sources: [xen(1000n, 5, 25, 1e9)], host: {} });
    expect(axis.line('xen')).toEqual({ scale: 1, shift: -5 });
    expect(axis.lastNs).toBe(20);
    expect(axis.clock).toBe('xen');
  });

  it('takes the frequency from the host where the source does not say it, and has no place for ticks without one', () => {
    const bare = source('xen', { name: 'xen', unit: 'ticks', epoch: '0' }, 0, 100);
    expect(traceAxis({ sources: [bare], host: { counterHz: 25_000_000 } }).line('xen')?.scale).toBe(40);
    expect(traceAxis({ sources: [bare], host: {} }).line('xen')).toBeUndefined();
  });

  it('has no place for ticks that are no time, nor for a damaged relation', () => {
    const jiffies = source('dom0', { name: 'uptime', unit: 'ticks', epoch: '0' }, 0, 100);
    const axis = traceAxis({ sources: [jiffies, xen(0n, 0, 9)], host: { counterHz: 62_500_000 } });
    expect(axis.line('dom0')).toBeUndefined();
    expect(axis.clock).toBe('xen');
    for (const bad of [
      relation(NaN, 0, 0n),
      relation(0, -1, 0n),
      { ...relation(0, 0, 0n), referenceDom0Ns: 'x' },
    ]) {
      const damaged = traceAxis({ sources: [xen(0n, 0, 9), dom0(0n, 0, 9)], host: {}, clock: bad });
      expect(damaged.line('xen')).toBeUndefined();
      expect(damaged.line('dom0')).toBeDefined();
    }
  });

  it('leaves out a source whose clock has no relation to the axis', () => {
    const log = source('dm-log', { name: 'realtime', unit: 'us', epoch: '1795347485112496' }, 0, 10);
    const axis = traceAxis({ sources: [log, xen(5n, 0, 10), dom0(100n, 0, 10)], host: {} });
    expect(axis.line('dom0')).toBeDefined();
    expect(axis.line('xen')).toBeUndefined();
    expect(axis.line('dm-log')).toBeUndefined();
  });

  it('places a second source of the same clock by its own epoch', () => {
    const axis = traceAxis({ sources: [dom0(1000n, 0, 500), dom0(400n, 50, 60, 'late')], host: {} });
    expect(axis.line('dom0')?.shift).toBe(550);
    expect(axis.line('late')?.shift).toBe(-50);
  });

  it('places Xen through the relation: by hand', () => {
    // At Dom0 1000 ns the counter reads 1000 + 600 ns = 100 ticks of 16 ns.
    const manifest: AxisManifest = {
      sources: [xen(90n, 0, 20), dom0(1000n, 0, 50)],
      host: {},
      clock: relation(600, 0, 1000n),
    };
    const axis = traceAxis(manifest);
    // Xen's first event, 90 ticks, is 160 ns before Dom0's first.
    expect(axis.line('xen')).toEqual({ scale: 16, shift: 0 });
    expect(axis.line('dom0')).toEqual({ scale: 1, shift: 160 });
    expect(axis.originNs).toBe(840n);
  });

  it('agrees with exact rational arithmetic for any epochs, and inverts', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 1n << 58n }),
        fc.integer({ min: 0, max: 2 ** 40 }),
        fc.integer({ min: -500, max: 500 }),
        fc.integer({ min: 0, max: 2 ** 36 }),
        (dom0Epoch, offset, ppm, ticks) => {
          // A counter of 62.5 MHz whose epoch lies at Dom0's, but for the offset (made a whole number of ticks).
          const epochTicks = (dom0Epoch + BigInt(offset)) / 16n;
          const exact = Number(epochTicks * 16n - dom0Epoch);
          const rate = ppm * 1e-6;
          const axis = traceAxis({
            sources: [xen(epochTicks, 0, ticks), dom0(dom0Epoch, 0, 1000)],
            host: {},
            clock: relation(exact, rate, dom0Epoch),
          });
          const line = axis.line('xen')!;
          const out = new Float64Array(2);
          toAxis(line, Float64Array.of(0, ticks), 2, out);
          // xenNs - dom0Ns = exact at the reference, so Xen's epoch is Dom0's epoch.
          const zero = axis.line('dom0')!.shift;
          expect(Math.abs(out[0]! - zero)).toBeLessThan(1e-3);
          expect(Math.abs(out[1]! - out[0]! - (ticks * 16) / (1 + rate))).toBeLessThan(1e-2);
          expect(Math.abs(fromAxis(line, out[1]!) - ticks)).toBeLessThan(1e-2);
        },
      ),
    );
  });

  it('places a log through its relation, exactly at wall-clock size, and inverts', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 1_600_000_000_000_000n, max: 2_000_000_000_000_000n }),
        fc.bigInt({ min: 0n, max: 1n << 50n }),
        fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
        fc.integer({ min: -1000, max: 1000 }),
        fc.integer({ min: 0, max: 2 ** 36 }),
        (logEpochUs, dom0Epoch, apart, ppm, us) => {
          // The log's epoch is `apart` ns after Dom0's, by the relation.
          const log = source('dm-log', { name: 'realtime', unit: 'us', epoch: String(logEpochUs) }, 0, us);
          const rate = ppm * 1e-6;
          const axis = traceAxis({
            sources: [log, dom0(dom0Epoch, 0, 1000)],
            host: {},
            logClock: logClock(
              logEpochUs * 1000n - dom0Epoch - BigInt(apart),
              rate,
              dom0Epoch + BigInt(apart),
            ),
          });
          expect(axis.clock).toBe('mono_raw');
          const line = axis.line('dm-log')!;
          const zero = axis.line('dom0')!.shift;
          // Whole nanoseconds at the reference; some 1e-16 of the distance from it.
          expect(line.shift - zero).toBe(apart);
          expect(Math.abs(line.scale * us - (us * 1000) / (1 + rate))).toBeLessThan(1e-1);
          expect(Math.abs(fromAxis(line, us * line.scale + line.shift) - us)).toBeLessThan(1e-4);
        },
      ),
    );
  });

  it('has no place for a log whose relation is damaged or to another source', () => {
    const log = source('dm-log', { name: 'realtime', unit: 'us', epoch: '1795347485112496' }, 0, 10);
    const good = logClock(1_795_347_485_112_496_000n, 0, 0n);
    for (const bad of [
      { ...good, offsetNs: 'x' },
      { ...good, referenceDom0Ns: '' },
      { ...good, rate: -1 },
      { ...good, dom0: 'other' },
      { ...good, log: 'other' },
    ]) {
      expect(
        traceAxis({ sources: [log, dom0(0n, 0, 9)], host: {}, logClock: bad }).line('dm-log'),
      ).toBeUndefined();
    }
    const axis = traceAxis({ sources: [log, dom0(0n, 0, 9)], host: {}, logClock: good });
    expect(axis.line('dm-log')).toEqual({ scale: 1000, shift: 0 });
  });
});
