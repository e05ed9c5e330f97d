import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isTraceError, type TraceError } from '../../../trace/errors.ts';
import { Recording } from '../../recording/load.ts';
import { ReplayRun } from '../../run.ts';
import type { DevicePlan } from '../../target.ts';
import { batchesOf, shared, sharedPresent } from '../../testing/recordings.ts';
import { qemus } from '../testing/qemus.ts';
import { capabilities } from './capabilities.ts';
import { commandLine } from './command-line.ts';
import { qemuTarget, QemuTarget } from './target.ts';

async function failure(work: Promise<unknown> | (() => unknown)): Promise<TraceError> {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    if (isTraceError(error)) return error;
    throw error;
  }
  throw new Error('nothing failed');
}

const LEGACY = 'xen-arm-replay/blk-legacy.jsonl';
const [qemu] = qemus();
const present = qemu !== undefined && sharedPresent(LEGACY);
const disk = { bytes: new Uint8Array(1 << 20), readOnly: false, serial: '' };
const blk: DevicePlan = {
  transport: 0,
  kind: 'blk',
  deviceId: 2,
  version: 1,
  base: 0x0200_0000,
  spi: 33,
  disk,
};
const SETUP = { devices: [blk], ram: [{ base: 0x4000_0000, length: 1 << 20 }], timeoutMs: 20_000 };
const SINK = { answer: () => undefined, line: () => undefined };

describe('a QEMU that cannot be used', () => {
  it.each([
    ['is not installed', ['no-such-qemu'], /^no-such-qemu is not installed$/],
    [
      'is none',
      ['sh', '-c', 'echo what is this >&2; exit 3'],
      /ended with exit code 3; its last words: what is this$/,
    ],
  ])('%s', async (_, binary, what) => {
    const error = await failure(capabilities(binary, 20_000));
    expect([error.code, error.message]).toEqual(['E_TARGET', expect.stringMatching(what)]);
  });

  it.each([
    ['says nothing', 'exec sleep 60.4321'],
    ['is a script with a child that says nothing', 'sleep 60.4321; true'],
    ['is a script that leaves a child behind', 'sleep 60.4321 & exit 1'],
  ])('%s: all of it is ended', async (_, script) => {
    const error = await failure(capabilities(['sh', '-c', script], 300));
    expect(error.message).toMatch(
      /does not answer; expected an answer within 300 ms$|ended with exit code 1$/,
    );
    await expect.poll(() => running('sleep\x0060.4321'), { timeout: 10_000 }).toBe(false);
  });
});

describe('a recording that machine virt cannot have', () => {
  const found = { name: 'QEMU 1.0', properties: new Map([['blk' as const, new Map<string, unknown>()]]) };
  const refuse = (devices: DevicePlan[], ram = SETUP.ram): Promise<TraceError> =>
    failure(() => commandLine({ ...SETUP, devices, ram }, found, new Map()));

  it('has legacy and modern transports', async () => {
    const error = await refuse([blk, { ...blk, transport: 1, version: 2, base: 0x0200_0200 }]);
    expect(error.message).toMatch(/^legacy and modern transports in one recording/);
  });

  it('has a device that this QEMU lacks', async () => {
    const error = await refuse([{ ...blk, kind: 'gpu', deviceId: 16 }]);
    expect([error.code, error.message]).toEqual([
      'E_TARGET',
      'QEMU 1.0 lacks virtio-gpu-device; expected the device model of transport 0',
    ]);
  });

  it('has RAM below the board', async () => {
    expect((await refuse([blk], [{ base: 0, length: 1 << 20 }])).message).toContain('got 1 MiB at 0x0');
  });

  it('has a device at another place', async () => {
    const error = await failure(() =>
      qemuTarget()({ ...SETUP, devices: [blk, { ...blk, transport: 2 }] }, SINK),
    );
    expect(error.message).toContain('expected transport 2 at 0x2000400');
  });

  it('has a disk that nobody gave', async () => {
    const diskless: DevicePlan = { ...blk };
    delete diskless.disk;
    const error = await failure(
      qemuTarget()({ ...SETUP, devices: [diskless] }, SINK).start() as Promise<void>,
    );
    expect([error.code, error.message]).toEqual([
      'E_NOT_REPLAYABLE',
      'transport 0 is a disk, and its start image is not known',
    ]);
  });
});

describe.skipIf(!present)('a QEMU that fails', () => {
  const binary = qemu?.binary ?? [];
  let folder = '';
  const before = process.env['TMPDIR'];
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'ioreq-trace-faults-'));
    process.env['TMPDIR'] = folder;
  });
  afterAll(() => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
    rmSync(folder, { recursive: true });
  });

  /** Replays, does something to QEMU before step 200, and looks at what is left. */
  async function disturbed(what: (target: QemuTarget) => unknown, timeoutMs = 20_000): Promise<TraceError> {
    const disks = new Map([[0, shared('xen-arm-replay/disk-start.img')]]);
    const recording = new Recording(batchesOf(shared(LEGACY)));
    const run = new ReplayRun(recording, qemuTarget({ binary }), { disks, timeoutMs });
    await run.start();
    const { pid } = run.target.debuggee!;
    const error = await failure(async () => {
      await run.run(200);
      // Nothing of a running replay has a name in the file system.
      expect(readdirSync(folder)).toEqual([]);
      if (!(run.target instanceof QemuTarget)) throw new Error('another target');
      await what(run.target);
      await run.run();
      return run.finish();
    });
    await run.stop();
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect(readdirSync(folder)).toEqual([]);
    return error;
  }

  it('is killed', async () => {
    const error = await disturbed(({ debuggee }) => process.kill(debuggee!.pid, 'SIGKILL'));
    expect([error.code, error.message]).toEqual([
      'E_TARGET',
      expect.stringMatching(/^QEMU ended by SIGKILL at step (19\d|2\d\d)$/),
    ]);
  });

  it('stops answering: it is ended', async () => {
    const error = await disturbed(({ debuggee }) => process.kill(debuggee!.pid, 'SIGSTOP'), 400);
    expect([error.code, error.message]).toEqual([
      'E_TARGET',
      expect.stringMatching(/^QEMU has not answered for 400 ms at step (19\d|2\d\d)$/),
    ]);
  });

  it('quits', async () => {
    const error = await disturbed((target) => target.qmp('quit'));
    expect(error.message).toMatch(/^QEMU ended with exit code 0 at step/);
  });

  it('does not start: its last words are told', async () => {
    const swap = new Map([[0, ['-device', 'no-such-device']]]);
    const target = qemuTarget({ binary, swap })(SETUP, SINK);
    const error = await failure(target.start() as Promise<void>);
    expect(error.message).toMatch(/^QEMU ended with exit code 1 .*last words: .*no-such-device/);
    await target.stop();
  });

  it('is stopped while it starts', async () => {
    const target = qemuTarget({ binary })(SETUP, SINK);
    const started = failure(target.start() as Promise<void>);
    await target.stop();
    expect((await started).message).toBe('the replay was stopped before QEMU ran');
    expect(target.debuggee).toBeUndefined();
  });

  it('gets an access that it has no place for', async () => {
    const target = qemuTarget({ binary })(SETUP, SINK);
    await target.start();
    try {
      const error = await failure(() => {
        target.read(7, 0x0900_0000, 4);
      });
      expect(error.message).toMatch(/^step 7 is an access .* got 4 bytes at 0x9000000$/);
      expect((await failure(() => target.view(0x8000_0000, 4))).code).toBe('E_NOT_REPLAYABLE');
    } finally {
      await target.stop();
      await target.stop();
    }
  });
});

function running(command: string): boolean {
  return readdirSync('/proc').some((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(command);
    } catch {
      return false;
    }
  });
}
