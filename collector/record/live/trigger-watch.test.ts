import { describe, expect, it } from 'vitest';
import { captureArchive, withCapture } from '../../../fixtures/captures.ts';
import { runLive } from '../../../fixtures/live-run.ts';
import { NO_VCPU } from '../../../trace/ids.ts';
import { isTraceError } from '../../../trace/errors.ts';
import { NO_DEVICE } from '../../../trace/spans.ts';
import type { LiveDevice, OpenVisitor } from './latency.ts';
import { CLOCK, MEASURE } from './latency.ts';
import { parseTrigger } from './trigger.ts';
import { TriggerWatch } from './trigger-watch.ts';

const DEVICES: LiveDevice[] = [
  { name: 'blk0', kind: 'blk', base: 0x2000000, spi: 33 },
  { name: 'net0', kind: 'net', base: 0x2000200, spi: 34 },
];

function watch(text: string): TriggerWatch {
  return new TriggerWatch(parseTrigger(text), DEVICES);
}

describe('TriggerWatch', () => {
  it('tells the first crossing, of the subject and the device that were asked for', () => {
    const w = watch('mmio(net0) > 2ms, irq >= 1ms');
    w.latency(MEASURE.DOM0, 0, 9e6, 9e6, 0, 0);
    w.latency(MEASURE.DOM0, 0, 9e6, 9e6, NO_DEVICE, 0);
    w.latency(MEASURE.REQUEST, 0, 9e6, 9e6, 1, 0);
    w.latency(MEASURE.DOM0, 1e6, 3e6, 2e6, 1, 0);
    expect(w.hit).toBeUndefined();
    w.latency(MEASURE.IRQ, 5e6, 6e6, 1e6, 0, NO_VCPU);
    w.latency(MEASURE.DOM0, 5e6, 9e6, 4e6, 1, 1);
    expect(w.crossings).toBe(2);
    expect(w.hit).toMatchObject({
      measure: MEASURE.IRQ,
      start: 5e6,
      at: 6e6,
      ns: 1e6,
      deviceName: 'blk0',
      open: false,
    });
    w.rearm();
    w.latency(MEASURE.DOM0, 15e6, 19e6, 4e6, 1, 1);
    expect(w.hit).toMatchObject({ start: 15e6, vcpu: 1, deviceName: 'net0', clock: 'dom0' });
  });

  it('takes the vCPU’s wait on Xen’s clock for an mmio latency too', () => {
    const w = watch('mmio > 1us');
    w.latency(MEASURE.WAIT, 100, 200, 1600, NO_DEVICE, 3);
    expect(w.hit).toMatchObject({
      clock: 'xen',
      start: 100,
      at: 200,
      ns: 1600,
      vcpu: 3,
      deviceName: undefined,
    });
  });

  it('tells what is open for longer than the limit, the longest first, but not at the end of the recording', () => {
    const w = watch('mmio > 2ms');
    const open = (visit: OpenVisitor): void => {
      visit(MEASURE.IRQ, 0, 9e6, 0, NO_VCPU, 33);
      visit(MEASURE.DOM0, 7e6, 2e6, 0, 0, 8);
      visit(MEASURE.DOM0, 6e6, 3e6, 0, 1, 9);
      visit(MEASURE.DOM0, 5e6, 4e6, 1, 2, 10);
    };
    w.until(CLOCK.DOM0, Infinity, open);
    expect(w.hit).toBeUndefined();
    w.until(CLOCK.DOM0, 9e6, open);
    expect(w.hit).toMatchObject({ open: true, start: 5e6, at: 9e6, ns: 4e6, vcpu: 2, deviceName: 'net0' });
    expect(w.crossings).toBe(0);
  });

  it('refuses devices that are not there', () => {
    expect(() => watch('mmio(blk7) > 1ms')).toThrow(
      expect.toSatisfy((e: unknown) => isTraceError(e) && e.code === 'E_USAGE') as Error,
    );
  });

  it.skipIf(captureArchive('P1') === undefined)(
    'finds the crossing of each subject in a real recording',
    async () => {
      await withCapture('P1', (dir) => {
        for (const [text, measure] of [
          ['mmio(blk0) > 30ms', MEASURE.DOM0],
          ['irq > 4ms', MEASURE.IRQ],
          ['request(blk0) >= 5ms', MEASURE.REQUEST],
        ] as const) {
          const triggers = parseTrigger(text);
          const w = new TriggerWatch(triggers, DEVICES.slice(0, 1));
          const run = runLive(
            dir,
            { rounds: 20, skew: 0.9, order: 'any', seed: 9 },
            { domid: 1, devices: DEVICES.slice(0, 1), flight: true, sinks: [w] },
          );
          const subjects: number[] = measure === MEASURE.DOM0 ? [MEASURE.DOM0, MEASURE.WAIT] : [measure];
          const crossing = run.given.filter(
            (g) =>
              subjects.includes(g.measure) &&
              g.ns >= triggers[0]!.ns &&
              (triggers[0]!.device === undefined || g.device === 0),
          );
          expect(crossing.length).toBeGreaterThan(0);
          expect(w.crossings).toBe(crossing.length);
          const { start, ns, device } = crossing[0]!;
          expect([text, w.hit]).toMatchObject([text, { device, ns: expect.any(Number) as number }]);
          // Open for longer than the limit at a mark is the same latency, told before it ended.
          expect(crossing.some((g) => g.start === w.hit!.start)).toBe(true);
          expect(w.hit!.start).toBeLessThanOrEqual(start);
          expect(w.hit!.ns).toBeLessThanOrEqual(ns);
        }
        return Promise.resolve();
      });
    },
  );
});
