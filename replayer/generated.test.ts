import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { recorded } from '../collector/memory/testing/recorded.ts';
import { F_EVENT_IDX } from '../devices/features.ts';
import { BlockDevice } from '../devices/models/block.ts';
import { ConsoleDevice } from '../devices/models/console.ts';
import { MemoryDisk } from '../devices/models/disk.ts';
import { NetDevice } from '../devices/models/net.ts';
import { VARIANTS, type Variant } from '../devices/testing/rig.ts';
import { isTraceError } from '../trace/errors.ts';
import type { RecordingBatch } from '../trace/recording.ts';
import { sha256 } from './compare/observed.ts';
import { Recording } from './recording/load.ts';
import { replayRecording } from './replay.ts';
import type { ReplayResult } from './result.ts';
import { builtinTarget } from './targets/builtin.ts';
import { batchesOf } from './testing/recordings.ts';

const image = (): Uint8Array => Uint8Array.from({ length: 65_536 }, (_, i) => (i >> 9) ^ i);

function request(type: number, sector = 0): Uint8Array {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(type, 0);
  bytes.writeUInt32LE(sector, 8);
  return bytes;
}

/** A disk with rounds of several requests in flight, given back last first; its end is known. */
function parallelDisk(variant: Variant, rounds = 12): { text: string; end: Uint8Array } {
  const bytes = image();
  const model = new BlockDevice({ disk: new MemoryDisk(bytes), hold: true, serial: 'known' });
  const rig = recorded(model, variant);
  const { driver, tracker } = rig;
  driver.get('DeviceID');
  driver.config(0, 4);
  driver.config(4, 4);
  driver.setUp({ queues: [16], refuse: [F_EVENT_IDX] });
  for (let round = 0; round < rounds; round++) {
    const indirect = round % 2 === 1;
    driver.offer(0, [request(0, 3 * round)], [512, 1024, 1], indirect);
    driver.offer(0, [request(1, 20 + round), new Uint8Array(512).fill(round + 1)], [1], indirect);
    driver.kick(0);
    driver.request(0, [request(8)], [20, 1]);
    while (model.held.length > 0) model.complete(model.held.length - 1);
    driver.interrupt();
    driver.queue(0).used();
  }
  tracker.finish();
  return { text: rig.text(), end: bytes };
}

const play = (
  text: string,
  disk?: Uint8Array,
  ends?: ReadonlyMap<number, Uint8Array>,
): Promise<ReplayResult> =>
  replayRecording(new Recording(batchesOf(text)), builtinTarget(), {
    runs: 2,
    ...(disk === undefined ? {} : { disks: new Map([[0, disk]]) }),
    ...(ends === undefined ? {} : { ends }),
  });

describe.each(VARIANTS)('a driver of known behaviour, %s', (variant) => {
  it('with requests in flight on a disk', async () => {
    const { text, end } = parallelDisk(variant);
    const result = await play(text, image(), new Map([[0, end]]));
    expect(result.divergences).toEqual([]);
    expect(result).toMatchObject({ equal: true, proven: true, compared: { usedElements: 36, disks: 1 } });
    expect(result.final.disks).toMatchObject([{ sha256: sha256(end), asGiven: true }]);
    // Ids came from the recording; the order of the elements, last first, did too.
    expect(text).toMatch(/"el":\[\{"id":\d+,"len":21,/);
  });

  it('with frames both ways', async () => {
    const frames: Uint8Array[] = [];
    const mac = Uint8Array.of(2, 0, 0, 0, 0, 7);
    const model = new NetDevice({ mac, backend: { transmit: (frame) => frames.push(frame) } });
    const rig = recorded(model, variant);
    const { driver, tracker } = rig;
    driver.get('DeviceID');
    for (let i = 0; i < 6; i++) driver.config(i, 1);
    driver.setUp({ queues: [16, 16, 0], refuse: [F_EVENT_IDX] });
    const header = variant === 'legacy' ? 10 : 12;
    for (let n = 0; n < 20; n++) {
      driver.offer(0, [], [header + 1514]);
      driver.kick(0);
      driver.request(1, [new Uint8Array(12), Uint8Array.from({ length: 60 + n }, (_, i) => n ^ i)], []);
      const frame = Uint8Array.from({ length: 80 + n }, (_, i) => (i < 6 ? mac[i]! : n + i));
      expect(model.receive(frame)).toBe(true);
      driver.interrupt();
      driver.queue(0).used();
      driver.queue(1).used();
    }
    tracker.finish();
    const result = await play(rig.text());
    expect(result.divergences).toEqual([]);
    expect(result).toMatchObject({ equal: true, proven: true, compared: { usedElements: 40 } });
    expect(result.final.sent).toMatchObject([{ transport: 0, frames: 20 }]);
    expect(frames.length).toBe(20);
  });

  it('with text both ways on a console', async () => {
    let said = '';
    const model = new ConsoleDevice({
      maxPorts: 1,
      backend: { output: (_, bytes) => (said += Buffer.from(bytes).toString()) },
    });
    const rig = recorded(model, variant);
    const { driver, tracker } = rig;
    driver.get('DeviceID');
    driver.setUp({ queues: [16, 16], refuse: [F_EVENT_IDX] });
    for (let n = 0; n < 10; n++) {
      driver.offer(0, [], [64]);
      driver.kick(0);
      driver.request(1, [new TextEncoder().encode(`line ${n}\n`)], []);
      model.input(0, new TextEncoder().encode(`answer ${n}`));
      driver.interrupt();
      driver.queue(0).used();
      driver.queue(1).used();
    }
    tracker.finish();
    const result = await play(rig.text());
    expect(result.divergences).toEqual([]);
    expect(result).toMatchObject({ equal: true, proven: true, compared: { usedElements: 20 } });
    expect(result.final.output).toMatchObject([{ transport: 0, port: 0, text: said }]);
    expect(said).toContain('line 9\n');
  });
});

/** Changes one number or a piece of text of one row; `where` and `what` are anything. */
function corrupt(batches: readonly RecordingBatch[], where: number, column: number, what: number): void {
  const batch = batches[where % batches.length]!;
  const i = where % batch.length;
  switch (column) {
    case 0:
      batch.tag[i] = [0x52, 0x57, 0x4d, 0x4e, 0x55, 0x58, 0x49, 0][what & 7]!;
      break;
    case 1:
      batch.addr[2 * i] = what;
      break;
    case 2:
      batch.addr[2 * i + 1] = what;
      break;
    case 3:
      batch.size[i] = what;
      break;
    case 4:
      batch.value[2 * i] = what;
      break;
    case 5:
      batch.transport[i] = what;
      break;
    case 6:
      batch.queue[i] = what;
      break;
    case 7:
      batch.bytes[what % batch.bytes.length]! ^= 1 + (what & 0x7f);
      break;
    case 8: {
      const text = batch.rest[i]!;
      const at = text.length === 0 ? 0 : what % text.length;
      batch.rest[i] = `${text.slice(0, at)}${'09"[]{}:,-x'[what % 11]!}${text.slice(at + 1)}`;
      break;
    }
    default:
      batch.step[i] = what;
  }
}

describe('a recording that was tampered with', () => {
  it.each(VARIANTS)('gives a result or one TraceError: %s', async (variant) => {
    const { text } = parallelDisk(variant, 4);
    const disk = image();
    const change = fc.tuple(fc.nat(), fc.nat(9), fc.oneof(fc.nat(0xff), fc.nat(0xffff_ffff)));
    let failed = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const batches = batchesOf(text);
        for (const [where, column, what] of changes) corrupt(batches, where, column, what);
        try {
          const disks = new Map([[0, disk]]);
          const { divergences } = await replayRecording(new Recording(batches), builtinTarget(), { disks });
          for (const { expected, got } of divergences) expect(expected).not.toBe(got);
        } catch (error) {
          if (!isTraceError(error)) throw error;
          expect(['E_TRACE_DAMAGED', 'E_NOT_REPLAYABLE', 'E_USAGE', 'E_TARGET']).toContain(error.code);
          failed++;
        }
      }),
      { numRuns: 80 },
    );
    expect(failed).toBeGreaterThan(0);
  });
});
