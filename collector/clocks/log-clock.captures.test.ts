import { join } from 'node:path';
import { expect, it } from 'vitest';
import { captureArchive, withCapture } from '../../fixtures/captures.ts';
import { EventBatch } from '../../trace/columns.ts';
import { K } from '../../trace/events.ts';
import { openTrace } from '../../trace/open.ts';
import { importCapture } from '../import.ts';
import { alignLog } from './log-clock.ts';

/**
 * Real timings: the device model's events of a live host, which stand in Dom0's own buffer, are given the stamps
 * that a log on a wall clock would have; so where each truly lies is known.
 */
const NAMES = ['A1', 'P1', 'C'];
const present = NAMES.filter((name) => captureArchive(name) !== undefined);
if (present.length < NAMES.length) {
  const missing = NAMES.filter((name) => !present.includes(name));
  console.warn(`SKIPPED: logs of real captures ${missing.join(', ')}: not there`);
}

const OFFSET = 1_795_000_000_123_456_789n;
const RATE = 37e-6;

it.skipIf(present.length === 0).each(present)('%s: every event lies within the errors', async (name) => {
  await withCapture(name, async (dir) => {
    const out = join(dir, '..', 'trace');
    const { manifest } = await importCapture([dir], out, { tool: { name: 'test', version: '0' } });
    const trace = openTrace(out);
    const [facts] = manifest.sources.filter((s) => s.id.startsWith('dom0')).sort((a, b) => b.rows - a.rows);
    const dom0 = { batches: () => trace.source(facts!.id).batches(), epoch: BigInt(facts!.clock.epoch) };
    const wall = dom0.epoch + OFFSET;
    const truth: number[] = [];
    const log: EventBatch[] = [];
    for (const b of dom0.batches()) {
      const stamped = new EventBatch(Math.max(1, b.length));
      for (let i = 0; i < b.length; i++) {
        if (b.kind[i] !== K.DM_IOREQ) continue;
        const ns = b.ts[i]! * (1 + RATE) + Number(wall % 1000n);
        stamped.push(Math.floor(ns / 1000), K.DM_IOREQ, 0, 0, 0, b.pid[i]!);
        truth.push(b.ts[i]!);
      }
      log.push(stamped);
    }
    const epoch = wall / 1000n;
    const { relation, refusal } = alignLog({
      log: { batches: () => log, epoch, unit: 'us', ioreqs: truth.length, id: 'log' },
      dom0: { ...dom0, unit: 'ns', clockName: facts!.clock.name, lost: facts!.lost, id: facts!.id },
      pids: manifest.deviceModels.flatMap((model) => [model.pid, ...model.threads]),
    });
    if (relation === undefined) throw new Error(refusal);
    expect(relation.warning).toBeUndefined();
    expect(relation.pairs).toBe(truth.length);
    const offset = Number(BigInt(relation.offsetNs) - epoch * 1000n + dom0.epoch);
    const reference = Number(BigInt(relation.referenceDom0Ns) - dom0.epoch);
    const worst = Math.min(relation.maxErrorNs, relation.steadyErrorNs!);
    let n = 0;
    for (const b of log) {
      for (let i = 0; i < b.length; i++) {
        const at = (b.ts[i]! * 1000 - offset + relation.rate * reference) / (1 + relation.rate);
        expect(Math.abs(at - truth[n++]!)).toBeLessThanOrEqual(worst + 1);
      }
    }
    // Under emulation it takes a millisecond from the read to the answer.
    expect(relation.steadyErrorNs).toBeLessThan(2e6);
    expect(Math.abs(relation.rate - RATE)).toBeLessThan(10e-6);
  });
});
