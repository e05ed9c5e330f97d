import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ConsoleDevice } from './models/console.ts';
import { queuePort } from './models/console-format.ts';
import { BlockDevice } from './models/block.ts';
import { MemoryDisk } from './models/disk.ts';
import { GpuDevice } from './models/gpu.ts';
import { NetDevice } from './models/net.ts';
import { NET_RX } from './models/net-format.ts';
import { recordingPresent, replay, unpacked, type Plugged, type UsedElement } from './testing/recording.ts';

/** Requests are given back in the order in which the recorded device model gave them back. */
function ordered(model: BlockDevice): Plugged {
  return {
    model,
    outside: (_, elements) => {
      for (const { id } of elements) model.complete(model.held.findIndex((request) => request.id === id));
    },
  };
}

const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const bytesOf = (elements: readonly UsedElement[]): Buffer =>
  Buffer.concat(
    elements.map(({ bufs, len }) =>
      Buffer.concat(bufs.map(([, b]) => Buffer.from(b, 'base64'))).subarray(0, len),
    ),
  );

const LEGACY = 'xen-arm-replay/blk-legacy.jsonl';
describe.skipIf(!recordingPresent(LEGACY))('a legacy block device recorded on a live Xen host', () => {
  it('replays with every register read, used element, interrupt and the final disk equal', () => {
    const disk = new MemoryDisk(unpacked('xen-arm-replay/disk-start.img'));
    const model = new BlockDevice({ disk, hold: true });
    const result = replay(unpacked(LEGACY).toString(), 1, 0x0200_0000, [ordered(model)]);
    expect(result.differences).toEqual([]);
    expect([result.reads, result.usedElements]).toEqual([83, 30]);
    expect(result.levels.map(([slot, level]) => [33 + slot, level])).toEqual(result.recordedLevels);
    expect(sha(disk.bytes)).toBe(sha(unpacked('xen-arm-replay/disk-end.img')));
  });

  it('finds a wrong start image at the byte', () => {
    const image = Buffer.from(unpacked('xen-arm-replay/disk-start.img'));
    image[5] = image[5]! ^ 1;
    const model = new BlockDevice({ disk: new MemoryDisk(image), hold: true });
    const { differences } = replay(unpacked(LEGACY).toString(), 1, 0x0200_0000, [ordered(model)]);
    expect(differences[0]).toMatch(/^step \d+: queue 0 used element 0 byte 5 at 0x/);
  });
});

const MODERN = 'qemu-virt/modern-blk-net-serial-gpu.jsonl';
describe.skipIf(!recordingPresent(MODERN))('block, net, console and gpu of a QEMU guest, modern', () => {
  it.each([
    ['', Infinity],
    [', saved and restored between', 41],
  ])('replay with every register read and used element equal%s', (_, renewEvery) => {
    const disk = new MemoryDisk(unpacked('qemu-virt/disk-start.img'));
    const frames: Uint8Array[] = [];
    let text = '';
    const net = new NetDevice({
      mac: Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56),
      backend: { transmit: (frame) => frames.push(frame) },
    });
    const serial = new ConsoleDevice({
      backend: { output: (_, bytes) => (text += Buffer.from(bytes).toString()) },
    });
    const recording = unpacked(MODERN).toString();
    const gpu = new GpuDevice({ edid: recordedEdid(recording) });
    const result = replay(
      recording,
      2,
      0x0a00_0000,
      [
        ordered(new BlockDevice({ disk, hold: true })),
        {
          model: net,
          outside: (queue, elements) => {
            if (queue === NET_RX)
              for (const element of elements) net.receive(bytesOf([element]).subarray(12));
          },
        },
        {
          model: serial,
          outside: (queue, elements) => {
            if (queue !== 2 && queue % 2 === 0) serial.input(queuePort(queue), bytesOf(elements));
          },
        },
        { model: gpu },
      ],
      renewEvery,
    );
    expect(result.differences).toEqual([]);
    expect([result.reads, result.usedElements, frames.length]).toEqual([350, 92, 11]);
    expect(text).toContain('hello from hvc0');
    const screen = gpu.screen();
    expect([screen?.width, screen?.height, screen && sha(screen.rgb).slice(0, 16)]).toEqual([
      1280,
      800,
      '308dc858a4c800b5',
    ]);
    expect(sha(disk.bytes).slice(0, 16)).toBe('adc64e8d121c69f8');
  });
});

/** The EDID is the display's own: taken from the answer in the recording. */
function recordedEdid(recording: string): Uint8Array {
  for (const line of recording.split('\n')) {
    const found = /"BBEAA[^"]*"/.exec(line);
    if (found !== null) return Buffer.from(found[0].slice(1, -1), 'base64').subarray(32);
  }
  throw new Error('no EDID in the recording');
}
