import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadPosix } from './posix.ts';
import { BackendProcess, PrivateFolder } from './process.ts';
import type { BackendOption } from './target.ts';
import { blockPlan, leftovers, Live } from './testing/live.ts';

let folder: string;
let scripts: string;
let before: string | undefined;
beforeEach(() => {
  scripts = mkdtempSync(join(tmpdir(), 'vhost-user-scripts-'));
  folder = mkdtempSync(join(tmpdir(), 'vhost-user-test-'));
  before = process.env['TMPDIR'];
  process.env['TMPDIR'] = folder;
});
afterEach(() => {
  if (before === undefined) delete process.env['TMPDIR'];
  else process.env['TMPDIR'] = before;
  expect(readdirSync(folder)).toEqual([]);
  for (const path of [folder, scripts]) rmSync(path, { recursive: true });
  expect(leftovers(folder)).toEqual([]);
});

const plan = () => blockPlan(new Uint8Array(4096), 2);

/** What starting with such a back-end says. */
async function failure(
  backend: BackendOption | string,
  timeoutMs = 20_000,
): Promise<{ code: string; message: string }> {
  const option = typeof backend === 'string' ? { command: backend } : backend;
  const live = new Live(plan(), { backends: [option] }, timeoutMs);
  try {
    await live.start();
  } catch (error) {
    return error as { code: string; message: string };
  } finally {
    await live.target.stop();
  }
  throw new Error('it started');
}

/** A back-end in JavaScript: `answer(request, payload, socket)` sees each message. Descriptors are lost on it. */
function fake(answer: string): string {
  const file = join(scripts, 'fake.cjs');
  writeFileSync(
    file,
    `require('node:net').createServer((socket) => {
      let all = Buffer.alloc(0);
      const reply = (request, payload, flags = 5) => {
        const head = Buffer.alloc(12);
        head.writeUInt32LE(request, 0); head.writeUInt32LE(flags, 4); head.writeUInt32LE(payload.length, 8);
        socket.write(Buffer.concat([head, payload]));
      };
      const u64 = (low, high = 0) => { const b = Buffer.alloc(8); b.writeUInt32LE(low, 0); b.writeUInt32LE(high, 4); return b; };
      const answer = (request, payload) => { ${answer} };
      socket.on('error', () => undefined);
      socket.on('data', (bytes) => {
        all = Buffer.concat([all, bytes]);
        while (all.length >= 12 && all.length >= 12 + all.readUInt32LE(8)) {
          const end = 12 + all.readUInt32LE(8);
          answer(all.readUInt32LE(0), all.subarray(12, end));
          all = all.subarray(end);
        }
      });
    }).listen(process.argv[2]);`,
  );
  return `'${process.execPath}' ${file} {socket}`;
}

/** Runs `work` with such a back-end that listens already: its time to start does not count. */
async function withRunning<T>(answer: string, work: (socket: string) => Promise<T>): Promise<T> {
  const socket = join(scripts, 'socket');
  const child = spawn(process.execPath, [join(scripts, 'fake.cjs'), socket, fake(answer)]);
  try {
    await expect.poll(() => existsSync(socket), { timeout: 20_000 }).toBe(true);
    return await work(socket);
  } finally {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
}

/** As far as GET_CONFIG, well behaved: offers protocol features MQ and CONFIG, and one queue. */
const POLITE = `if (request === 1) return reply(1, u64(0x40000000, 1));
  if (request === 15) return reply(15, u64(0x201));
  if (request === 17) return reply(17, u64(1));`;

describe('a back-end that is not as it should be', () => {
  it('is missing', async () => {
    expect(await failure('/nowhere/vhost-device-blk --socket {socket}')).toMatchObject({
      code: 'E_TARGET',
      message:
        'transport 0 (blk): /nowhere/vhost-device-blk cannot be started: spawn /nowhere/vhost-device-blk ENOENT',
    });
  });

  it('ends at once: its last words are told', async () => {
    expect(await failure(`sh -c 'echo cannot open {disk} >&2; exit 3'`)).toMatchObject({
      code: 'E_TARGET',
      message: expect.stringMatching(
        /^transport 0 \(blk\): sh ended with exit code 3; it said: cannot open \/.*\/0\.img$/,
      ) as string,
    });
  });

  it('never opens its socket', async () => {
    expect(await failure('sleep 1000', 200)).toMatchObject({
      code: 'E_TARGET',
      message: expect.stringContaining('sleep did not open its socket within 200 ms') as string,
    });
  });

  it('is a shell around a program that says nothing: both are gone', async () => {
    const sleep = `sleep 9${process.pid}`;
    const { code, message } = await failure(`sh -c '${sleep}; true'`, 300);
    expect([code, message]).toEqual([
      'E_TARGET',
      expect.stringContaining('sh did not open its socket within 300 ms') as string,
    ]);
    await expect.poll(() => leftovers(sleep), { timeout: 20_000 }).toEqual([]);
  });

  it.each([
    ['hangs up', 'socket.destroy();', 'the back-end ended at GET_FEATURES'],
    [
      'answers another request',
      'reply(2, u64(0));',
      'answer to GET_FEATURES is wrong; expected its reply, got request 2',
    ],
    ['answers in another version', 'reply(request, u64(0), 6);', 'answer to GET_FEATURES is wrong'],
    [
      'answers with a whole megabyte',
      'reply(request, Buffer.alloc(1 << 20));',
      'got request 1, flags 5, 1048576 bytes',
    ],
    ['answers too little', 'reply(request, Buffer.alloc(4));', 'expected 8 bytes, got 4 bytes'],
    [
      'refuses what it must take',
      `if (request === 1) return reply(1, u64(0x40000000));
      if (request === 15) return reply(15, u64(8)); if (request === 3) reply(3, u64(1));`,
      'the back-end refuses SET_OWNER',
    ],
    [
      'has no configuration space',
      `${POLITE} if (request === 24) reply(24, Buffer.alloc(0));`,
      'answer to GET_CONFIG is wrong',
    ],
  ])('%s', async (_, answer, said) => {
    const error = await failure(fake(answer));
    expect(error).toMatchObject({ code: 'E_TARGET', message: expect.stringContaining(said) as string });
  });

  it.each([
    ['answers nothing', ''],
    ['stops in the middle of an answer', 'socket.write(Buffer.alloc(5));'],
  ])('%s', async (_, answer) => {
    const error = await withRunning(answer, (socket) => failure({ socket }, 200));
    expect(error).toMatchObject({
      code: 'E_TARGET',
      message: 'transport 0 (blk): the back-end did not answer GET_FEATURES within 200 ms',
    });
  });

  it('takes requests and never gives one back, but still answers: the element was not used', async () => {
    await withRunning(`${POLITE} if (request === 24) return reply(24, payload);`, async (socket) => {
      const limit = 1500;
      const live = await new Live(plan(), { backends: [{ socket }] }, limit).start();
      try {
        live.driver.setUp({ queues: [16] });
        const id = live.driver.offer(0, [new Uint8Array(16)], [512, 1]);
        live.driver.kick(0);
        expect(await live.use(0, [id])).toBe(false);
        // The limit is not paid again for the same chain.
        const start = Date.now();
        for (let i = 0; i < 20; i++) live.target.setMemory(0x4000_0000, new Uint8Array(8));
        expect(await live.use(0, [id])).toBe(false);
        expect(Date.now() - start).toBeLessThan(limit);
      } finally {
        await live.target.stop();
      }
    });
  });

  it('is a path that nobody listens at, or is too long for a socket', async () => {
    const at = (socket: string) => new Live(plan(), { backends: [{ socket }] }).start();
    await expect(at('/nowhere/s')).rejects.toMatchObject({
      code: 'E_TARGET',
      message: 'transport 0 (blk): connecting to /nowhere/s failed: ENOENT',
    });
    await expect(at(`/${'x'.repeat(200)}`)).rejects.toMatchObject({
      code: 'E_TARGET',
      message: expect.stringContaining('at most 107 bytes') as string,
    });
  });
});

describe('what a user may have wrong', () => {
  const start = (...backends: { transport?: number; command?: string; socket?: string }[]) =>
    new Live(plan(), { backends }).start();

  it('koffi is not installed', async () => {
    const name: string = 'koffi-that-is-not-there';
    const posix = () => loadPosix(() => import(name));
    await expect(new Live(plan(), { posix }).start()).rejects.toMatchObject({
      code: 'E_TARGET',
      message: expect.stringMatching(
        /^a vhost-user backend needs the npm package koffi, .*npm install koffi/,
      ) as string,
    });
  });

  it('the transport is not there, or has two', async () => {
    await expect(start({ transport: 4, command: 'x' })).rejects.toMatchObject({
      code: 'E_USAGE',
      message: 'the recording has no transport 4; expected 0 (blk)',
    });
    await expect(start({ command: 'x' }, { transport: 0, socket: 'y' })).rejects.toMatchObject({
      code: 'E_USAGE',
      message: 'transport 0 has two back-ends',
    });
    await expect(start({ command: `x 'y` })).rejects.toMatchObject({ code: 'E_USAGE' });
  });

  it('the disk as it was is missing', async () => {
    const without = plan();
    delete without.disk;
    await expect(new Live(without).start()).rejects.toMatchObject({ code: 'E_NOT_REPLAYABLE' });
  });
});

describe('when we are killed', () => {
  it('the back-end ends and the folder goes', async () => {
    const place = new PrivateFolder();
    const sleep = `sleep 8${process.pid}`;
    const child = new BackendProcess(['sh', '-c', `${sleep}; true`], place, 'log');
    await expect.poll(() => leftovers(sleep).length, { timeout: 20_000 }).toBe(2);
    // What the kernel does with our end of the pipe.
    (Reflect.get(place, 'keeper') as { stdin: { destroy: () => void } }).stdin.destroy();
    await expect
      .poll(() => [child.ended, existsSync(place.path), leftovers(sleep)], { timeout: 20_000 })
      .toEqual(['ended with SIGKILL', false, []]);
  });
});
