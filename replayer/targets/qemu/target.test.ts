import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { DevicePlan } from '../../target.ts';
import { play, type Played } from '../testing/play.ts';
import { qemus } from '../testing/qemus.ts';
import {
  LEGACY,
  legacyDevices,
  MODERN,
  modernDevices,
  recordingPresent,
  unpacked,
} from '../testing/recordings.ts';
import { qemuTarget } from './target.ts';

const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** All that a replay gave, for comparing runs. */
function digest({ differences, lines, final }: Played): string {
  const parts: string[] = [differences.join('\n'), lines.join()];
  for (const bytes of final.disks.values()) parts.push(sha(bytes));
  for (const frames of [...final.sent.values(), ...final.output.values()]) parts.push(...frames.map(sha));
  for (const { width, height, rgb } of final.screens.values()) parts.push(`${width} ${height} ${sha(rgb)}`);
  return parts.join('\n');
}

describe.each(qemus())('$label', ({ binary }) => {
  const make = qemuTarget({ binary });

  describe.skipIf(!recordingPresent(LEGACY))('replays a legacy disk recorded on a live Xen host', () => {
    const text = unpacked(LEGACY).toString();
    const start = unpacked('xen-arm-replay/disk-start.img');

    it('with every read, used element, interrupt and the final disk equal, three times', async () => {
      const runs: Played[] = [];
      for (let run = 0; run < 3; run++) runs.push(await play(make, text, legacyDevices(start)));
      const [first] = runs;
      expect(first!.differences).toEqual([]);
      expect([first!.reads, first!.elements]).toEqual([83, 30]);
      // The recording notes calls, the first of which changed nothing; the target notes changes.
      expect(first!.lines.map((line) => line.replace(/^0/, '33'))).toEqual(first!.recordedLines.slice(1));
      expect(sha(first!.final.disks.get(0)!)).toBe(sha(unpacked('xen-arm-replay/disk-end.img')));
      expect(new Set(runs.map(digest)).size).toBe(1);
    });

    it('and finds a wrong start image at the byte', async () => {
      const image = Buffer.from(start);
      image[5] = image[5]! ^ 1;
      const { differences } = await play(make, text, legacyDevices(image));
      expect(differences[0]).toMatch(/^step \d+ queue 0 used element 0 byte 5: /);
    });

    it('lets the guest reset a disk that has a request under way', async () => {
      const lines = text.split('\n');
      const kick = lines.findIndex((line) => line.startsWith('{"t":"N"')) + 1;
      const reset = ['W', 'R'].map((t, i) =>
        JSON.stringify({ t, a: 0x0200_0070, s: 4, v: 0, i: 10_000 + i }),
      );
      const cut = [...lines.slice(0, kick + 1), ...reset].join('\n');
      expect((await play(make, cut, legacyDevices(start))).differences).toEqual([]);
    });
  });

  describe.skipIf(!recordingPresent(MODERN))('replays disk, net, console and gpu of a modern guest', () => {
    const text = unpacked(MODERN).toString();
    const start = unpacked('qemu-virt/disk-start.img');

    it('with every read and used element equal, and disk, frames, output and screen', async () => {
      const played = await play(make, text, modernDevices(start));
      expect(played.differences).toEqual([]);
      expect([played.reads, played.elements]).toEqual([350, 92]);
      const { disks, sent, output, screens } = played.final;
      expect(sha(disks.get(0)!).slice(0, 16)).toBe('adc64e8d121c69f8');
      expect(sent.get(1)).toHaveLength(11);
      expect(Buffer.from(output.get(2)![0]!).toString()).toContain('hello from hvc0');
      const { width, height, rgb } = screens.get(3)!;
      expect([width, height, sha(rgb).slice(0, 16)]).toEqual([1280, 800, '308dc858a4c800b5']);
      expect(digest(await play(make, text, modernDevices(start)))).toBe(digest(played));
    });

    it('and finds features that were not there, when the recording is changed', async () => {
      const changed: DevicePlan[] = modernDevices(start).map((plan) =>
        plan.kind === 'blk' ? { ...plan, offered: [0x1000_0000, 1] } : plan,
      );
      const { differences } = await play(make, text, changed);
      expect(differences[0]).toMatch(/^step \d+ read: recorded \d+, got \d+/);
    });
  });
});
