import { describe, expect, it } from 'vitest';
import { Recording } from '../../recording/load.ts';
import { replayOnce } from '../../replay.ts';
import { batchesOf } from '../../testing/recordings.ts';
import { qemus } from '../testing/qemus.ts';
import { qemuTarget } from './target.ts';

/** Recordings of legacy devices in transport 0 that begin while a guest uses them, as `trace record --memory` writes them. */
const BASE = 0x0200_0000;
const RAM = 0x4010_0000;
const NUM = 8;
/** A page for each queue's descriptors and available ring, the next one for its used ring; and one for its buffer. */
const ring = (queue: number): number => RAM + 0x2000 * queue;
const buffer = (queue: number): number => RAM + 0x10_0000 + 0x1000 * queue;
const used = (queue: number): number => ring(queue) + 0x1000;

const SYNTH = { synth: true };
const read = (offset: number, v: number, more = {}) => ({ t: 'R', a: BASE + offset, s: 4, v, ...more });
const write = (offset: number, v: number, more = {}) => ({ t: 'W', a: BASE + offset, s: 4, v, ...more });
const memory = (a: number, bytes: Buffer, why: string) => ({
  ...{ t: 'M', a, n: bytes.length, why },
  b: bytes.toString('base64'),
});

function setUp(deviceId: number, offered: number, accepted: number, queues: readonly number[]): object[] {
  return [
    ...[read(0, 0x7472_6976, SYNTH), read(4, 1, SYNTH), read(8, deviceId, SYNTH)],
    ...[0, 1, 3].map((status) => write(0x70, status, SYNTH)),
    ...[
      write(0x14, 0, SYNTH),
      read(0x10, offered, SYNTH),
      write(0x24, 0, SYNTH),
      write(0x20, accepted, SYNTH),
    ],
    write(0x28, 4096, SYNTH),
    ...queues.flatMap((queue) => [
      ...[write(0x30, queue, SYNTH), write(0x38, NUM, SYNTH), write(0x3c, 4096, SYNTH)],
      write(0x40, ring(queue) / 4096, SYNTH),
    ]),
    write(0x70, 7, SYNTH),
  ];
}

/** The driver offers its buffer of the queue for the `count`th time, without wanting an interrupt. */
function offered(queue: number, count: number, flags: number, length: number): object[] {
  const descriptor = Buffer.alloc(16);
  descriptor.writeBigUInt64LE(BigInt(buffer(queue)), 0);
  descriptor.writeUInt32LE(length, 8);
  descriptor.writeUInt16LE(flags, 12);
  const available = Buffer.alloc(6 + 2 * NUM);
  available.writeUInt16LE(1, 0);
  available.writeUInt16LE(count, 2);
  return [memory(ring(queue), descriptor, 'desc'), memory(ring(queue) + 16 * NUM, available, 'avail')];
}

function wasUsed(queue: number, idx: number, len: number, bufs: [number, string][]): object {
  const u = [{ q: queue, used: used(queue), idx, num: NUM, el: [{ id: 0, len, bufs }] }];
  return { t: 'X', d: 0, u };
}

const notify = (queue: number): object[] => [
  { t: 'N', d: 0, q: queue, adv: 1, late: [] },
  write(0x50, queue),
];

const recording = (records: readonly object[]): Recording =>
  new Recording(batchesOf(records.map((record, i) => `${JSON.stringify({ ...record, i })}\n`).join('')));

const MULTIPORT = 0x3900_0006;
const ACCEPTED = 0x1000_0002;
/** Events of control messages: u32 port, u16 event, u16 value. */
const opened = (port: number): Buffer => Buffer.from([port, 0, 0, 0, 6, 0, 1, 0]);

/** A guest that sends through port 1 of its console and gets the same back. */
const portOne = (seenOpening: boolean): object[] => [
  ...setUp(3, MULTIPORT, ACCEPTED, [2, 3, 4, 5]),
  ...offered(4, 1, 2, 4),
  ...(seenOpening
    ? [memory(buffer(3), opened(1), 'out'), ...offered(3, 1, 0, 8), ...notify(3), wasUsed(3, 1, 0, [])]
    : []),
  ...[memory(buffer(5), Buffer.from('ping'), 'out'), ...offered(5, 1, 0, 4), ...notify(5)],
  ...[wasUsed(5, 1, 0, []), { t: 'U', d: 0, q: 4, adv: 1 }],
  wasUsed(4, 1, 4, [[buffer(4), Buffer.from('ping').toString('base64')]]),
];

const NET_TAP = 0x39bf_ffe7;
const network: object[] = [
  ...setUp(1, NET_TAP, 0x1000_8020, [1]),
  ...[memory(buffer(1), Buffer.alloc(72, 3), 'out'), ...offered(1, 1, 0, 72), ...notify(1)],
  wasUsed(1, 1, 0, []),
];

describe.each(qemus())('a device that was in use when the recording began, in $label', ({ binary }) => {
  const make = qemuTarget({ binary });

  it('has the console ports that its queues show', async () => {
    const result = await replayOnce(recording(portOne(true)), make, { timeoutMs: 3000 });
    expect(result.divergences).toEqual([]);
    expect(result.compared).toMatchObject({ usedElements: 3, bufferBytes: 4 });
    expect(result.final.output).toMatchObject([
      { port: 0, bytes: 0 },
      { port: 1, text: 'ping' },
    ]);
  });

  it('is refused where the guest had opened such a port before', async () => {
    await expect(replayOnce(recording(portOne(false)), make)).rejects.toMatchObject({
      code: 'E_NOT_REPLAYABLE',
      message: expect.stringMatching(/^input came to port 1 of the console in transport 0/) as string,
    });
  });

  it('is refused if it was a network card behind a tap, unless that is not to count', async () => {
    const refused = replayOnce(recording(network), make);
    await expect(refused).rejects.toMatchObject({ code: 'E_NOT_REPLAYABLE' });
    await expect(refused).rejects.toThrow(
      /^transport 0 is a network card that left .* host interface \(tap\).* --ignore net-header to have/,
    );
    const result = await replayOnce(recording(network), make, { ignore: ['net-header'] });
    expect(result.divergences).toEqual([]);
    expect(result.ignored.find(({ policy }) => policy === 'net-header')).toMatchObject({ count: 1 });
    expect(result.final.sent[0]).toMatchObject({ frames: 1, bytes: 60 });
  });

  it('is waited for anew after its reset, though its ring still holds what was used before', async () => {
    const again = portOne(true).slice(setUp(3, MULTIPORT, ACCEPTED, [2, 3, 4, 5]).length);
    const reset = setUp(3, MULTIPORT, ACCEPTED, [2, 3, 4, 5]).slice(3);
    // Pong in the second session: the first one's used element and bytes would be found at once otherwise.
    const pong = JSON.parse(
      JSON.stringify(again).replaceAll(
        Buffer.from('ping').toString('base64'),
        Buffer.from('pong').toString('base64'),
      ),
    ) as object[];
    const result = await replayOnce(recording([...portOne(true), ...reset, ...pong]), make);
    expect(result.divergences).toEqual([]);
    expect(result.compared).toMatchObject({ usedElements: 6, bufferBytes: 8 });
  });
});
