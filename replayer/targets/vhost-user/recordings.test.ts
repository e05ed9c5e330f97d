import { describe, expect, it } from 'vitest';
import { Recording } from '../../recording/load.ts';
import { replayRecording } from '../../replay.ts';
import { batchesOf, shared, sharedPresent } from '../../testing/recordings.ts';
import { recordedScenario } from '../../../fixtures/qemu-virt/recordings.ts';
import { stockCommand } from './backend.ts';
import { backendMissing } from './testing/live.ts';
import { vhostUserTarget } from './target.ts';

const missing = backendMissing() !== undefined;
const withGpu = stockCommand({ kind: 'gpu' }) !== undefined;

const LEGACY = 'xen-arm-replay/blk-legacy.jsonl';
describe.skipIf(missing || !sharedPresent(LEGACY))('a legacy guest of a Xen host', () => {
  it('replays equal in qemu-storage-daemon, run after run, but for the disk’s own numbers', async () => {
    const result = await replayRecording(new Recording(batchesOf(shared(LEGACY))), vhostUserTarget(), {
      disks: new Map([[0, shared('xen-arm-replay/disk-start.img')]]),
      ends: new Map([[0, shared('xen-arm-replay/disk-end.img')]]),
      ignore: ['config'],
      runs: 3,
    });
    expect(result.divergences).toEqual([]);
    expect(result.target).toBe('vhost-user (blk 0 by qemu-storage-daemon, which lacks GEOMETRY)');
    expect(result).toMatchObject({ equal: true, level: 'rings and memory' });
    expect(result.compared).toMatchObject({ reads: 83, usedElements: 30, interrupts: 60, disks: 1 });
    // seg_max, and what goes with discard and write zeroes.
    expect(result.ignored.find(({ policy }) => policy === 'config')?.count).toBe(10);
  });

  it('finds a wrong start image at the byte', async () => {
    const disk = Uint8Array.from(shared('xen-arm-replay/disk-start.img'));
    disk[5]! ^= 1;
    const recording = new Recording(batchesOf(shared(LEGACY)));
    const options = { disks: new Map([[0, disk]]), ignore: ['config'] };
    const { equal, divergences } = await replayRecording(recording, vhostUserTarget(), options);
    expect(equal).toBe(false);
    expect(divergences[0]).toMatchObject({ step: 76, kind: 'memory', queue: 0, memory: { at: 5 } });
  });

  it('does not go to a back-end with rings that it cannot serve', async () => {
    const recording = new Recording(batchesOf(shared(LEGACY)));
    const options = { disks: new Map([[0, shared('xen-arm-replay/disk-start.img')]]) };
    await expect(
      replayRecording(recording, vhostUserTarget({ rings: 'guest' }), options),
    ).rejects.toMatchObject({
      code: 'E_TARGET',
      message: expect.stringContaining(
        'the guest is a legacy one, whose rings vhost-user back-ends do not serve',
      ) as string,
    });
  });
});

const MODERN = 'qemu-virt/modern-blk-net-serial-gpu.jsonl';
describe.skipIf(missing || !sharedPresent(MODERN))('a modern guest with four devices', () => {
  it.each(['own', 'guest'] as const)('replays equal, rings of %s', async (rings) => {
    const result = await replayRecording(
      new Recording(batchesOf(shared(MODERN))),
      vhostUserTarget({ rings }),
      {
        disks: new Map([[0, shared('qemu-virt/disk-start.img')]]),
        ignore: ['config'],
        runs: 2,
      },
    );
    const { target, divergences, compared, final, runs } = result;
    expect(target).toMatch(/^vhost-user \(blk 0 by qemu-storage-daemon, .*the rest built in\)$/);
    expect(compared).toMatchObject({ reads: 350, usedElements: 92 });
    // Debian 12's vhost-user-gpu answers GET_EDID with an error.
    const known = divergences.filter(({ step, transport }) => !(withGpu && step === 3141 && transport === 3));
    expect(known).toEqual([]);
    expect(final.disks[0]?.sha256.slice(0, 16)).toBe('adc64e8d121c69f8');
    expect(final.screens).toMatchObject([{ transport: 3, width: 1280, height: 800 }]);
    expect(final.screens[0]?.sha256.slice(0, 16)).toBe('308dc858a4c800b5');
    expect(runs[0]!.hash).toBe(runs[1]!.hash);
  });
});

describe.skipIf(missing)('guests with many requests in flight, which ended out of order', () => {
  it.each(['blk-legacy', 'blk-modern', 'blk-packed', 'all-modern'])('%s replays equal', async (name) => {
    const { jsonl, disks, truth } = recordedScenario(name);
    const options = { disks, ignore: ['config'], runs: 2 };
    const result = await replayRecording(new Recording(batchesOf(jsonl)), vhostUserTarget(), options);
    const gpu = result.target.includes('vhost-user-gpu');
    // What Debian 12's vhost-user-gpu answers to GET_EDID.
    const known = result.divergences.filter(({ device }) => !(gpu && device.startsWith('gpu')));
    expect(known).toEqual([]);
    expect(result.divergenceCount).toBe(gpu ? 2 : 0);
    expect(result.compared.interrupts).toBeGreaterThan(100);
    for (const { transport, sha256 } of result.final.disks) expect(sha256).toBe(truth.disks[transport]);
    for (const { transport, sha256 } of result.final.screens)
      expect(sha256).toBe(truth.screens[transport]?.rgb);
    expect(result.runs[0]!.hash).toBe(result.runs[1]!.hash);
  });

  it('is used in its own order by a back-end that serves the guest’s rings', async () => {
    const { jsonl, disks, truth } = recordedScenario('blk-modern');
    const options = { disks, ignore: ['config', 'used-order', 'memory'] };
    const recording = new Recording(batchesOf(jsonl));
    const result = await replayRecording(recording, vhostUserTarget({ rings: 'guest' }), options);
    expect(result.final.disks[0]?.sha256).toBe(truth.disks[0]);
    expect(result.divergences.filter(({ kind }) => kind === 'interrupt' || kind === 'missing')).toEqual([]);
  });
});
