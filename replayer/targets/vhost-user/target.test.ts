import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { F_RING_PACKED, features, union } from '../../../devices/features.ts';
import { BASE, backendMissing, blockPlan, leftovers, Live } from './testing/live.ts';

const SECTORS = 2048;
const pattern = (seed: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed * 31 + (i >>> 8)) & 0xff);
const IMAGE = pattern(1, 512 * SECTORS);
const image = (): Uint8Array => IMAGE.slice();

function header(type: number, sector: number): Uint8Array {
  const words = new DataView(new ArrayBuffer(16));
  words.setUint32(0, type, true);
  words.setUint32(8, sector, true);
  return new Uint8Array(words.buffer);
}

let folder: string;
let before: string | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vhost-user-test-'));
  before = process.env['TMPDIR'];
  process.env['TMPDIR'] = folder;
});
afterEach(() => {
  if (before === undefined) delete process.env['TMPDIR'];
  else process.env['TMPDIR'] = before;
  // Whatever a test did: nothing of the target is left.
  expect(readdirSync(folder)).toEqual([]);
  rmSync(folder, { recursive: true });
  expect(leftovers(folder)).toEqual([]);
});

describe.skipIf(backendMissing() !== undefined)('qemu-storage-daemon behind our registers', () => {
  it.each([
    ['legacy', 1, 0],
    ['modern', 2, 0],
    ['modern with packed rings', 2, F_RING_PACKED],
  ] as const)('carries out the requests of a %s guest', async (_, version, packed) => {
    const disk = image();
    const plan = blockPlan(disk, version);
    // SEG_MAX, BLK_SIZE, FLUSH, CONFIG_WCE, DISCARD, WRITE_ZEROES, INDIRECT_DESC, EVENT_IDX; VERSION_1
    const offered = features(2, 6, 9, 11, 13, 14, 28, 29, ...(version === 2 ? [32] : []));
    plan.offered = packed === 0 ? offered : union(offered, features(packed));
    const live = await new Live(plan).start();
    try {
      expect(live.driver.setUp({ queues: [64] })).toBe(true);
      expect(live.driver.config(0, 4)).toBe(SECTORS);
      const expected = image();
      for (const indirect of [false, true]) {
        const read = await live.request(0, [header(0, 8)], [512, 1024, 1], indirect);
        expect(read.chain.length).toBe(1537);
        expect(Buffer.from(read.bytes.subarray(0, 1536))).toEqual(
          Buffer.from(expected.subarray(4096, 4096 + 1536)),
        );
        expect(read.bytes[1536]).toBe(0);
        const data = pattern(indirect ? 2 : 3, 1024);
        const sector = indirect ? 100 : 200;
        expected.set(data, 512 * sector);
        const write = await live.request(0, [header(1, sector), data], [1], indirect);
        expect([write.chain.length, write.bytes[0]]).toEqual([1, 0]);
      }
      expect((await live.request(0, [header(4, 0)], [1])).bytes).toEqual(Uint8Array.of(0));
      // Beyond the end of the disk, and a request that there is not.
      expect((await live.request(0, [header(0, SECTORS)], [512, 1])).bytes.at(-1)).toBe(1);
      expect((await live.request(0, [header(99, 0)], [1])).bytes.at(-1)).toBe(2);
      const final = await live.target.final();
      expect(Buffer.from(final.disks.get(0)!).equals(expected)).toBe(true);
      expect(live.target.name).toBe('vhost-user (blk 0 by qemu-storage-daemon)');
      // One that the target never says to have appeared, and whose fate nobody knows, hinders nothing.
      live.driver.offer(0, [header(0, 0)], [512, 1]);
      live.driver.kick(0);
    } finally {
      await live.target.stop();
    }
  });

  it('gives parallel requests back in the order of the recording, with its interrupts', async () => {
    const live = await new Live(blockPlan(image(), 2)).start();
    try {
      live.driver.setUp({ queues: [256], refuse: [29] });
      const ids = Array.from({ length: 60 }, (_, i) => live.driver.offer(0, [header(0, i)], [512, 1]));
      live.driver.kick(0);
      const order = ids.map((_, i) => ids[(i * 37) % 60]!);
      expect(await live.use(0, order.slice(0, 20))).toBe(true);
      expect(
        live.driver
          .queue(0)
          .used()
          .map(({ id }) => id),
      ).toEqual(order.slice(0, 20));
      expect(live.levels).toEqual([1]);
      expect(live.driver.interrupt()).toBe(1);
      expect(live.driver.interrupt()).toBe(0);
      expect(await live.use(0, order.slice(20))).toBe(true);
      const rest = live.driver.queue(0).used();
      expect(rest.map(({ id }) => id)).toEqual(order.slice(20));
      expect(live.levels).toEqual([1, 0, 1]);
      for (const chain of rest) {
        const sector = ids.indexOf(chain.id);
        const bytes = live.driver.written(chain);
        expect(Buffer.from(bytes.subarray(0, 512))).toEqual(
          Buffer.from(IMAGE.subarray(512 * sector, 512 * sector + 512)),
        );
      }
    } finally {
      await live.target.stop();
    }
  });

  it('takes more requests than its ring has entries, and starts anew after a reset', async () => {
    const live = await new Live(blockPlan(image(), 2)).start();
    try {
      for (let round = 0; round < 2; round++) {
        live.driver.setUp({ queues: [512] });
        const ids = Array.from({ length: 160 }, (_, i) => live.driver.offer(0, [header(0, i)], [512, 1]));
        live.driver.kick(0);
        expect(await live.use(0, ids.toReversed())).toBe(true);
        expect(live.driver.queue(0).used()).toHaveLength(160);
      }
    } finally {
      await live.target.stop();
    }
  });

  it("serves the guest's rings anew after a reset, though nobody cleared them", async () => {
    const live = await new Live(blockPlan(image(), 2), { rings: 'guest' }).start();
    try {
      for (const requests of [3, 1]) {
        live.again();
        live.driver.setUp({ queues: [16], refuse: [29] });
        const [, , used] = live.driver.queue(0).areas;
        for (let n = 1; n <= requests; n++) {
          const id = live.driver.offer(0, [header(0, n)], [512, 1]);
          live.driver.kick(0);
          expect(await live.use(0, [id], n)).toBe(true);
          expect(live.memory.u16(used + 2)).toBe(n);
        }
        // Only an answer of this round has it.
        const last = live.driver.queue(0).used().at(-1)!;
        const bytes = live.driver.written(last);
        expect(Buffer.from(bytes.subarray(0, 512))).toEqual(
          Buffer.from(IMAGE.subarray(512 * requests, 512 * requests + 512)),
        );
        // As a driver would hand the ring out again: a recording does not tell of the driver's own clearing.
        live.target.write(1000 + requests, BASE + 0x070, 4, 0);
        await live.target.flush();
        expect(live.memory.u16(used + 2)).toBe(0);
      }
    } finally {
      await live.target.stop();
    }
  });

  it('says at once that a chain was not used which the device was never given', async () => {
    const live = await new Live(blockPlan(image(), 2)).start();
    try {
      live.driver.setUp({ queues: [16] });
      expect(await live.use(0, [5])).toBe(false);
    } finally {
      await live.target.stop();
    }
  });

  it('tells features that the guest used and the back-end lacks', async () => {
    const plan = blockPlan(image(), 2);
    plan.offered = features(2, 4, 32);
    plan.config!.bytes.fill(0x77, 0x10, 0x14);
    const live = await new Live(plan).start();
    try {
      live.driver.setUp({ queues: [16] });
      // GEOMETRY: what the front-end answers as recorded.
      expect(live.driver.config(0x10, 4)).toBe(0x77777777);
      await live.target.final();
      expect(live.target.name).toContain('which lacks GEOMETRY');
    } finally {
      await live.target.stop();
    }
  });

  it('uses a back-end that runs already, and leaves it running', async () => {
    const own = mkdtempSync(join(tmpdir(), 'own-'));
    const [socket, path] = [join(own, 's'), join(own, 'disk')];
    writeFileSync(path, image());
    const child = spawn('qemu-storage-daemon', [
      ...['--blockdev', `driver=file,node-name=d,filename=${path},locking=off`],
      ...['--export', `type=vhost-user-blk,id=e,node-name=d,addr.type=unix,addr.path=${socket},writable=on`],
    ]);
    try {
      for (let i = 0; i < 1000 && !readdirSync(own).includes('s'); i++) await sleep(10);
      for (const fill of [1, 2]) {
        const live = await new Live(blockPlan(image(), 2), { backends: [{ socket }] }).start();
        live.driver.setUp({ queues: [16] });
        const data = new Uint8Array(512).fill(fill);
        expect((await live.request(0, [header(1, 3), data], [1])).bytes[0]).toBe(0);
        expect((await live.target.final()).disks.size).toBe(0);
        await live.target.stop();
        expect(readFileSync(path).subarray(1536, 2048)).toEqual(Buffer.from(data));
      }
      expect(child.exitCode).toBeNull();
    } finally {
      child.kill();
      if (child.exitCode === null) await once(child, 'exit');
      rmSync(own, { recursive: true });
    }
  });

  it('names the end of a back-end that is killed', async () => {
    const live = await new Live(blockPlan(image(), 2)).start();
    try {
      live.driver.setUp({ queues: [16] });
      await live.request(0, [header(0, 0)], [512, 1]);
      process.kill(daemon(folder), 'SIGKILL');
      const late = live.request(0, [header(0, 0)], [512, 1]);
      await expect(late).rejects.toMatchObject({
        code: 'E_TARGET',
        message: expect.stringMatching(
          /^transport 0 \(blk\): .*qemu-storage-daemon ended with SIGKILL/,
        ) as string,
      });
    } finally {
      await live.target.stop();
    }
  });

  it('does not wait longer than the time limit for one that is stopped', async () => {
    const live = await new Live(blockPlan(image(), 2), {}, 400).start();
    try {
      live.driver.setUp({ queues: [16] });
      await live.request(0, [header(0, 0)], [512, 1]);
      process.kill(daemon(folder), 'SIGSTOP');
      const late = live.request(0, [header(0, 0)], [512, 1]);
      await expect(late).rejects.toMatchObject({
        code: 'E_TARGET',
        message: expect.stringContaining('did not answer GET_FEATURES within 400 ms') as string,
      });
    } finally {
      await live.target.stop();
    }
  });
});

/** The storage daemon that works in our folder. */
function daemon(place: string): number {
  const [line] = leftovers(place).filter((text) => text.includes('qemu-storage-daemon'));
  return Number(line!.split(':')[0]);
}
