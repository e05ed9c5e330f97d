import { describe, expect, it } from 'vitest';
import { Recording } from '../../recording/load.ts';
import { replayOnce, replayRecording } from '../../replay.ts';
import { batchesOf, shared, sharedPresent } from '../../testing/recordings.ts';
import { qemus } from '../testing/qemus.ts';
import { qemuTarget } from './target.ts';

const LEGACY = 'xen-arm-replay/blk-legacy.jsonl';
const MODERN = 'qemu-virt/modern-blk-net-serial-gpu.jsonl';

describe.each(qemus())('$label', ({ binary }) => {
  const make = qemuTarget({ binary });

  describe.skipIf(!sharedPresent(LEGACY))('replays a legacy disk recorded on a live Xen host', () => {
    const start = shared('xen-arm-replay/disk-start.img');

    it('with every read, used element, interrupt and the final disk equal, three times', async () => {
      const result = await replayRecording(new Recording(batchesOf(shared(LEGACY))), make, {
        disks: new Map([[0, start]]),
        ends: new Map([[0, shared('xen-arm-replay/disk-end.img')]]),
        runs: 3,
      });
      expect(result.divergences).toEqual([]);
      expect([result.equal, result.proven, result.target]).toEqual([
        true,
        true,
        expect.stringMatching(/^QEMU \d/),
      ]);
      const { reads, usedElements, interrupts, disks } = result.compared;
      expect([reads, usedElements, interrupts, disks]).toEqual([83, 30, 60, 1]);
    });

    it('and finds a wrong start image at the byte', async () => {
      const image = Uint8Array.from(start);
      image[5] = image[5]! ^ 1;
      const recording = new Recording(batchesOf(shared(LEGACY)));
      const result = await replayOnce(recording, make, { disks: new Map([[0, image]]) });
      expect(result.divergences[0]).toMatchObject({ kind: 'memory', device: 'blk 0', memory: { at: 5 } });
    });

    it('lets the guest reset a disk that has a request under way', async () => {
      const lines = shared(LEGACY).toString().split('\n');
      const kick = lines.findIndex((line) => line.startsWith('{"t":"N"')) + 1;
      const reset = ['W', 'R'].map((t, i) =>
        JSON.stringify({ t, a: 0x0200_0070, s: 4, v: 0, i: 10_000 + i }),
      );
      const cut = [...lines.slice(0, kick + 1), ...reset, ''].join('\n');
      const result = await replayOnce(new Recording(batchesOf(cut)), make, { disks: new Map([[0, start]]) });
      expect(result.divergences.filter(({ kind }) => kind !== 'interrupt')).toEqual([]);
    });
  });

  describe.skipIf(!sharedPresent(MODERN))('replays disk, net, console and gpu of a modern guest', () => {
    const disks = new Map([[0, shared('qemu-virt/disk-start.img')]]);
    const text = shared(MODERN).toString();

    it('with every read and used element equal, and disk, frames, output and screen', async () => {
      const result = await replayRecording(new Recording(batchesOf(text)), make, { disks, runs: 2 });
      expect(result.divergences).toEqual([]);
      expect([result.equal, result.compared.reads, result.compared.usedElements]).toEqual([true, 350, 92]);
      const { final } = result;
      expect(final.disks[0]!.sha256).toMatch(/^adc64e8d121c69f8/);
      expect(final.sent[0]).toMatchObject({ transport: 1, frames: 11 });
      expect(final.screens[0]).toMatchObject({ width: 1280, height: 800 });
      expect(final.screens[0]!.sha256).toMatch(/^308dc858a4c800b5/);
    });

    it('and finds a changed answer at its step', async () => {
      const changed = text.replace('"v":1953655158,"i":14}', '"v":1953655159,"i":14}');
      const wrong = await replayOnce(new Recording(batchesOf(changed)), make, { disks });
      expect(wrong.divergences[0]).toMatchObject({ step: 14, kind: 'register', register: 'MagicValue' });
      expect(wrong.divergenceCount).toBe(1);
    });
  });
});
