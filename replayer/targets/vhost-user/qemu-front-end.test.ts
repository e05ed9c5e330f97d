import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Recording } from '../../recording/load.ts';
import { replayOnce } from '../../replay.ts';
import { ReplayRun } from '../../run.ts';
import { batchesOf, shared, sharedPresent } from '../../testing/recordings.ts';
import { qemus } from '../testing/qemus.ts';
import { stockCommand } from './backend.ts';
import { backendMissing, leftovers } from './testing/live.ts';
import { vhostUserTarget } from './target.ts';

const MODERN = 'qemu-virt/modern-blk-net-serial-gpu.jsonl';
const missing = backendMissing() !== undefined || !sharedPresent(MODERN);
const withGpu = stockCommand({ kind: 'gpu' }) !== undefined;
const found = missing ? [] : qemus();

const recording = () => new Recording(batchesOf(shared(MODERN)));
const disks = () => new Map([[0, shared('qemu-virt/disk-start.img')]]);
// QEMU leaves out of the features what the back-end does not have; the recorded guest goes on as if it had it.
const ignore = ['config', 'register:DeviceFeatures'];

/** Runs `work` with a folder of its own for temporary files, and looks whether anything stays. */
async function tidy(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'vhost-qemu-test-'));
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = folder;
  try {
    await work(folder);
  } finally {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  }
  expect(readdirSync(folder)).toEqual([]);
  rmSync(folder, { recursive: true });
  expect(leftovers(folder)).toEqual([]);
}

describe.skipIf(found.length === 0)('a stock QEMU as the front-end', () => {
  it.each(found)('$label: replays equal', async ({ binary }) => {
    await tidy(async () => {
      const options = { disks: disks(), ignore };
      const result = await replayOnce(recording(), vhostUserTarget({ qemu: binary }), options);
      const { target, divergences, compared, final } = result;
      expect(target).toMatch(/^QEMU .* in front of vhost-user \(blk 0 by qemu-storage-daemon/);
      // Debian 12's vhost-user-gpu answers GET_EDID with an error; older QEMUs do not use it without KVM.
      const known = divergences.filter(
        ({ step, transport }) => !(withGpu && step === 3141 && transport === 3),
      );
      expect(known).toEqual([]);
      expect(compared).toMatchObject({ reads: 350, usedElements: 92 });
      expect(final.disks[0]?.sha256.slice(0, 16)).toBe('adc64e8d121c69f8');
      expect(final.screens[0]?.sha256.slice(0, 16)).toBe('308dc858a4c800b5');
    });
  });

  const [{ binary } = { binary: [] }] = found;

  it('says what a back-end said that ends in the middle', async () => {
    await tidy(async (folder) => {
      const options = { disks: disks(), ignore };
      const run = new ReplayRun(recording(), vhostUserTarget({ qemu: binary }), options);
      try {
        await run.start();
        const [line] = leftovers(folder).filter((text) => /^\d+: qemu-storage-daemon/.test(text));
        process.kill(Number(line!.split(':')[0]), 'SIGKILL');
        await expect(run.run()).rejects.toMatchObject({
          code: 'E_TARGET',
          message: expect.stringMatching(/qemu-storage-daemon ended with SIGKILL/) as string,
        });
      } finally {
        await run.stop();
      }
    });
  });

  it.each([
    [
      'a back-end that is not there',
      { command: '/nowhere/blk {socket}' },
      /^transport 0 \(blk\): \/nowhere\/blk cannot be started/,
    ],
    [
      'a socket that is not there',
      { socket: '/nowhere/s' },
      /^transport 0 \(blk\): there is no socket \/nowhere\/s/,
    ],
    ['a device without such a front-end', { transport: 2, command: 'x' }, /console/],
  ])('%s', async (_, backend, said) => {
    await tidy(async () => {
      const make = vhostUserTarget({ qemu: binary, backends: [backend] });
      await expect(replayOnce(recording(), make, { disks: disks() })).rejects.toMatchObject({
        code: 'E_TARGET',
        message: expect.stringMatching(said) as string,
      });
    });
  });

  const LEGACY = 'xen-arm-replay/blk-legacy.jsonl';
  it.skipIf(!sharedPresent(LEGACY))('not for a legacy guest', async () => {
    await tidy(async () => {
      const options = { disks: new Map([[0, shared('xen-arm-replay/disk-start.img')]]) };
      const legacy = new Recording(batchesOf(shared(LEGACY)));
      await expect(replayOnce(legacy, vhostUserTarget({ qemu: binary }), options)).rejects.toMatchObject({
        code: 'E_TARGET',
        message: expect.stringContaining('got blk 0 (legacy)') as string,
      });
    });
  });
});

it('a QEMU that is not there', async () => {
  if (missing) return;
  const make = vhostUserTarget({ qemu: ['/nowhere/qemu'] });
  await expect(replayOnce(recording(), make, { disks: disks() })).rejects.toMatchObject({ code: 'E_TARGET' });
});
