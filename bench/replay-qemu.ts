import type { Socket } from 'node:net';
import { capabilities } from '../replayer/targets/qemu/capabilities.ts';
import { commandLine, machineRam } from '../replayer/targets/qemu/command-line.ts';
import { defaultBinary, QemuProcess } from '../replayer/targets/qemu/process.ts';
import { namelessFile, RamFile } from '../replayer/targets/qemu/ram-file.ts';
import { qemuTarget } from '../replayer/targets/qemu/target.ts';
import type { DevicePlan, ReplaySetup } from '../replayer/target.ts';

/**
 * Register accesses into QEMU through the replay target, beside a loop that does nothing but push the same
 * commands, ready-made, through the same kind of socket and count the lines of the answers: the most that qtest
 * gives on this machine. In turns, best of the rounds for each side. Accesses a second, reads and writes 1 : 1.
 * Guest memory: pieces of 4 KiB through the shared file, beside b64write commands.
 *
 * Exit 1 if the target has less than 80 % of the bare loop.
 */
const GOAL_RATIO = 0.8;
const ACCESSES = 100_000;
/** Accesses between two flushes, as the replayer asks for them. */
const FLUSH = 4096;
const ROUNDS = 3;
const PIECE = 4096;
const PIECES = 4096;

const BASE = 0x0a00_0000;
const RAM = 0x4100_0000;
const plan: DevicePlan = {
  transport: 0,
  kind: 'blk',
  deviceId: 2,
  version: 2,
  base: BASE,
  spi: 48,
  disk: { bytes: new Uint8Array(1 << 20), readOnly: false, serial: '' },
};
const setup: ReplaySetup = {
  devices: [plan],
  ram: [{ base: 0x4000_0000, length: 128 << 20 }],
  timeoutMs: 30_000,
};

const piece = new Uint8Array(PIECE).fill(0x5a);

async function throughTarget(): Promise<{ rate: number; megabytes: number }> {
  let [answers, sum] = [0, 0];
  const target = qemuTarget()(setup, {
    answer: (_, value) => {
      answers++;
      sum += value;
    },
    line: () => undefined,
  });
  await target.start();
  try {
    let begin = performance.now();
    for (let i = 0; i < ACCESSES; i += 2) {
      target.read(i, BASE + 4, 4);
      target.write(i + 1, BASE + 0x14, 4, i & 1);
      if (i % FLUSH === 0) await target.flush();
    }
    await target.flush();
    const rate = (ACCESSES / (performance.now() - begin)) * 1e3;
    if (answers !== ACCESSES / 2 || sum !== ACCESSES) throw new Error(`${answers} answers, sum ${sum}`);
    begin = performance.now();
    for (let i = 0; i < PIECES; i++) target.setMemory(RAM + i * PIECE, piece);
    await target.flush();
    return { rate, megabytes: (PIECES * PIECE) / (performance.now() - begin) / 1e3 };
  } finally {
    await target.stop();
  }
}

async function bare(): Promise<{ rate: number; megabytes: number }> {
  const { base, length } = machineRam(setup.ram);
  const ram = new RamFile(base, length);
  const { args } = commandLine(
    { ...setup, devices: [] },
    await capabilities(defaultBinary(), 30_000),
    new Map(),
  );
  const qemu = new QemuProcess(defaultBinary(), args, ['pipe', 'pipe', ram.fd, namelessFile()]);
  const socket = qemu.ends[0] as unknown as Socket;
  let [lines, wanted] = [0, 0];
  let done: (() => void) | undefined;
  socket.on('data', (chunk: Buffer) => {
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++;
    if (lines >= wanted) done?.();
  });
  const push = async (text: string, times: number, count: number): Promise<void> => {
    wanted = lines + times * count;
    const finished = new Promise<void>((resolve) => (done = resolve));
    for (let i = 0; i < times; i++) socket.write(text, 'latin1');
    await finished;
  };
  try {
    await push('endianness\n', 1, 1);
    const pair = `readl 0x${(BASE + 4).toString(16)}\nwritel 0x${(BASE + 0x14).toString(16)} 0x0\n`;
    let begin = performance.now();
    await push(pair.repeat(500), ACCESSES / 1000, 1000);
    const rate = (ACCESSES / (performance.now() - begin)) * 1e3;
    const command = `b64write 0x${RAM.toString(16)} ${PIECE} ${Buffer.from(piece).toString('base64')}\n`;
    begin = performance.now();
    await push(command, PIECES, 1);
    return { rate, megabytes: (PIECES * PIECE) / (performance.now() - begin) / 1e3 };
  } finally {
    await qemu.kill();
    ram.close();
  }
}

const best = { target: { rate: 0, megabytes: 0 }, bare: { rate: 0, megabytes: 0 } };
for (let round = 0; round < ROUNDS; round++) {
  for (const [side, run] of [
    ['target', throughTarget],
    ['bare', bare],
  ] as const) {
    const { rate, megabytes } = await run();
    best[side].rate = Math.max(best[side].rate, rate);
    best[side].megabytes = Math.max(best[side].megabytes, megabytes);
  }
}
const ratio = best.target.rate / best.bare.rate;
const thousands = (rate: number): string => `${Math.round(rate / 1e3)} k/s`;
console.log((await capabilities(defaultBinary(), 30_000)).name);
console.log(
  `register accesses: ${thousands(best.target.rate)}, bare qtest ${thousands(best.bare.rate)}, ratio ${ratio.toFixed(2)} (goal ${GOAL_RATIO})`,
);
console.log(
  `guest memory, 4 KiB pieces: ${Math.round(best.target.megabytes)} MB/s, b64write ${Math.round(best.bare.megabytes)} MB/s`,
);
process.exitCode = ratio < GOAL_RATIO ? 1 : 0;
