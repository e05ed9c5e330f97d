import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importCapture } from '../collector/import.ts';
import { fromEvents } from '../replayer/recording/from-events.ts';
import { replayRecording } from '../replayer/replay.ts';
import { builtinTarget } from '../replayer/targets/builtin.ts';
import { DIR_READ, ioreqDir } from '../trace/ioreq.ts';
import type { OpenTrace } from '../trace/open.ts';
import { openTrace } from '../trace/open.ts';
import type { Accesses } from './accesses.ts';
import { accessesOf } from './accesses.ts';
import { analyzeTrace } from './report/build.ts';
import type { TraceView } from './view.ts';

const CAPTURES = new URL('../fixtures/captures/', import.meta.url).pathname;
const BASE = 0x0200_0000;
const STATUS = 0x070;

let work = '';
let P1: OpenTrace;
let F1: OpenTrace;

async function imported(name: string): Promise<OpenTrace> {
  const raw = mkdtempSync(join(work, 'raw-'));
  execFileSync('tar', ['xf', join(CAPTURES, `${name}.tar.gz`), '-C', raw]);
  const dir = join(work, `${name}.trace`);
  await importCapture([raw], dir, { tool: { name: 'test', version: '0' } });
  return openTrace(dir);
}

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'ioreq-trace-accesses-'));
  P1 = await imported('P1');
  F1 = await imported('F1');
}, 60_000);

afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

/** The accesses with row `n` changed by `alter`. */
function altered(accesses: Accesses, alter: (rows: Accesses) => void): Accesses {
  const rows = { ...accesses, value: accesses.value.slice(), hole: accesses.hole.slice() };
  alter(rows);
  return rows;
}

/** The n-th read of a register of the first device, as a row. */
function readOf({ addr, info, length }: Accesses, offset: number, nth: number): number {
  for (let n = 0, left = nth; n < length; n++)
    if (addr[2 * n] === BASE + offset && ioreqDir(info[n]!) === DIR_READ && left-- === 0) return n;
  throw new Error('no such read');
}

const replayed = async (rows: Accesses) =>
  await replayRecording(fromEvents(rows, P1.manifest.devices), builtinTarget(), {});

describe('accesses of an ordinary trace', () => {
  it('are all there, in order, and the models answer them alike', async () => {
    const accesses = accessesOf(P1)!;
    expect(accesses).toMatchObject({ source: 'dom0', length: 371, unknown: 0, losses: 0 });
    const result = await replayed(accesses);
    expect(result).toMatchObject({
      equal: true,
      proven: false,
      level: 'registers',
      recording: { accesses: 371, events: { source: 'dom0', holes: 0 } },
      compared: { reads: 9, writes: 116, disks: 0 },
      final: { disks: [] },
    });
    // Every access is compared, fed, or told as neither.
    const left = result.skipped.reduce((sum, { count }) => sum + count, 0);
    expect(9 + 116 + left).toBe(371);
  });

  it('a changed answer is found at its step', async () => {
    const accesses = accessesOf(P1)!;
    const n = readOf(accesses, STATUS, 2);
    const result = await replayed(altered(accesses, ({ value }) => (value[n]! ^= 8)));
    expect(result).toMatchObject({
      equal: false,
      divergenceCount: 1,
      divergences: [{ step: n, kind: 'register', register: 'Status', device: 'blk0' }],
    });
  });

  it('behind a loss nothing is taken for known that is not', async () => {
    const accesses = accessesOf(P1)!;
    const n = readOf(accesses, STATUS, 2);
    const changed = (hole: number): Promise<unknown> =>
      replayed(
        altered(accesses, (rows) => {
          rows.value[n]! ^= 8;
          rows.hole[hole] = 1;
        }),
      );
    const amid = expect.arrayContaining([
      expect.objectContaining({ what: expect.stringContaining('state is not known') as string }),
    ]) as unknown;
    expect(await changed(n)).toMatchObject({
      equal: true,
      recording: { events: { holes: 1 } },
      skipped: amid,
    });
    // The driver resets the device before that read: a loss before the reset hides nothing of it.
    expect(await changed(2)).toMatchObject({ equal: false, divergences: [{ step: n }] });
  });

  it('a trace that begins amid the life of its guest tells that nothing can be checked', () => {
    const { addr, value, info, vcpu, hole, ...rest } = accessesOf(P1)!;
    const from = 200;
    const rows: Accesses = {
      ...rest,
      length: rest.length - from,
      addr: addr.subarray(2 * from),
      value: value.subarray(from),
      info: info.subarray(from),
      vcpu: vcpu.subarray(from),
      hole: hole.subarray(from),
    };
    expect(() => fromEvents(rows, P1.manifest.devices)).toThrow(
      /^dom0: no register answer .* got \d+ reads of InterruptStatus$/,
    );
    expect(() => fromEvents({ ...rest, addr, value, info, vcpu, hole, unknown: 300 }, [])).toThrow(
      'does not tell what devices answered',
    );
  });
});

describe('a recording of one device of several', () => {
  it('leaves out what its probes saw of the others, and says how much', () => {
    const { manifest } = F1;
    const whole = analyzeTrace(F1, { path: 'F1' });
    const [blk, rng] = whole.devices;
    expect(whole.devices.map(({ ioreqs }) => ioreqs > 0)).toEqual([true, true]);
    const narrowed: TraceView = {
      manifest: {
        ...manifest,
        recording: { ...manifest.recording, state: 'interrupted', only: [blk!.name] } as never,
      },
      source: (id) => F1.source(id),
    };
    const report = analyzeTrace(narrowed, { path: 'F1' });
    const answers = (of: typeof report): number =>
      of.counts.by_source.find(({ what }) => what === 'Dom0: answers')!.ioreqs;
    const others = answers(whole) - blk!.ioreqs - whole.counts.invalidates;
    expect(others).toBe(rng!.ioreqs);
    expect(report.devices.map(({ ioreqs }) => ioreqs)).toEqual([blk!.ioreqs, 0]);
    expect(answers(report)).toBe(answers(whole) - others);
    expect(report.warnings).toContain(
      `left out: ${others} ioreqs of other devices than ${blk!.name}, which was asked for`,
    );
    expect(whole.warnings.join()).not.toContain('left out');
    expect(accessesOf(narrowed)!.length).toBe(accessesOf(F1)!.length - rng!.ioreqs);
  });
});
