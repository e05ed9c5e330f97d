import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importCapture } from '../../collector/import.ts';
import { DIR_READ, DIR_WRITE } from '../../trace/ioreq.ts';
import { openTrace, type OpenTrace } from '../../trace/open.ts';
import { REC_TAG } from '../../trace/recording.ts';
import { SpanBatch } from '../../trace/spans.ts';
import { stepTimes, TimedAccesses } from './replay-places.ts';

const TICK = 1000;
let dir = '';
let trace: OpenTrace;
/** The recording's accesses as a timed source would have them: one a microsecond. */
const seen: { step: number; device: number; key: number; dir: number; start: number }[] = [];

function timed(accesses: typeof seen): TimedAccesses {
  const to = new TimedAccesses();
  const batch = new SpanBatch(1, Math.max(1, accesses.length));
  accesses.forEach(({ device, key, dir, start }, i) => {
    batch.device[i] = device;
    batch.key[i] = key;
    batch.dir[i] = dir;
    batch.start[i] = start;
  });
  batch.length = accesses.length;
  to.add(batch);
  return to;
}

const placed = (accesses: typeof seen, steps: readonly number[]): (number | undefined)[] =>
  stepTimes(trace, 'rec', timed(accesses), steps);

describe('the times of a recording’s steps', () => {
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'ioreq-places-'));
    const raw = new URL('../../fixtures/recordings/all-modern.jsonl.xz', import.meta.url).pathname;
    const file = join(dir, 'rec.jsonl');
    writeFileSync(file, execFileSync('xz', ['-dc', raw], { maxBuffer: 1 << 29 }));
    const { manifest } = await importCapture([file], join(dir, 'trace'), {
      tool: { name: 'test', version: '0' },
    });
    expect(manifest.sources.map((s) => s.id)).toEqual(['rec']);
    trace = openTrace(join(dir, 'trace'));
    for (const batch of trace.recording('rec')!) {
      for (let i = 0; i < batch.length; i++) {
        const tag = batch.tag[i]!;
        if (tag !== REC_TAG.READ && tag !== REC_TAG.WRITE) continue;
        const address = batch.addr[2 * i]!;
        const device = manifest.devices.findIndex((d) => address >= d.base && address < d.base + d.size);
        const key = address - manifest.devices[device]!.base;
        const dir = tag === REC_TAG.READ ? DIR_READ : DIR_WRITE;
        seen.push({ step: batch.step[i]!, device, key, dir, start: seen.length * TICK });
      }
    }
    expect(new Set(seen.map((a) => a.device)).size).toBe(4);
  });
  afterAll(() => {
    rmSync(dir, { recursive: true, force: true });
  });

  it('are those of the same accesses in the timed sources, and of the access before for other records', () => {
    const steps = seen.map((a) => a.step);
    expect(placed(seen, steps)).toEqual(seen.map((a) => a.start));
    const notAccess = seen.findIndex((a, n) => seen[n + 1]?.step !== a.step + 1);
    expect(placed(seen, [seen[notAccess]!.step + 1])).toEqual([seen[notAccess]!.start]);
    // In whatever order the spans were found.
    expect(placed([...seen].reverse(), steps)).toEqual(seen.map((a) => a.start));
  });

  it('are found where the timed source began earlier, or later', () => {
    const [first] = seen;
    const before = [1, 2, 3].map((n) => ({ ...first!, key: 0x70, start: -n * TICK }));
    expect(placed([...before, ...seen], [first!.step, seen[40]!.step])).toEqual([0, 40 * TICK]);
    const [early, late] = [seen[10]!.step, seen[seen.length - 10]!.step];
    expect(placed(seen.slice(200), [early, late])).toEqual([undefined, (seen.length - 10) * TICK]);
  });

  it('are not told where the accesses are others, or could lie at two places', () => {
    const { device } = seen[50]!;
    const changed = seen.map((a, n) => (n === 50 ? { ...a, key: 0xfc } : a));
    const other = seen.find((a) => a.device !== device)!;
    expect(placed(changed, [seen[50]!.step, other.step])).toEqual([undefined, other.start]);
    const end = seen.length * TICK;
    const twice = [...seen, ...seen.map((a) => ({ ...a, start: a.start + end }))];
    expect(placed(twice, [seen[50]!.step])).toEqual([undefined]);
    expect(placed([], [seen[0]!.step])).toEqual([undefined]);
    expect(placed(seen, [seen[0]!.step - 1])).toEqual([undefined]);
    expect(stepTimes(trace, 'none', timed(seen), [seen[0]!.step])).toEqual([undefined]);
  });
});
