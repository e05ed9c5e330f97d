import { recorded } from '../collector/memory/testing/recorded.ts';
import { BlockDevice } from '../devices/models/block.ts';
import { MemoryDisk } from '../devices/models/disk.ts';
import { DebugSession } from '../replayer/debug/session.ts';
import { Recording } from '../replayer/recording/load.ts';
import { ReplayRun } from '../replayer/run.ts';
import { builtinTarget } from '../replayer/targets/builtin.ts';
import { batchesOf } from '../replayer/testing/recordings.ts';

/**
 * What going back costs in the debugger near the end of a long recording, into the built-in models: with moments kept
 * on the way, and by a new replay from the begin. The recording is made here, by a driver that writes and reads a disk.
 *
 * Exit 1 if the two ways differ in where they come to or in what differs there.
 */
const ACCESSES = 100_000;
const DISK_BYTES = 8 << 20;
const STEPS_BACK = 50;

/** 512 bytes a request, to and from places all over the disk. */
function made(): string {
  const rig = recorded(new BlockDevice({ disk: new MemoryDisk(new Uint8Array(DISK_BYTES)) }), 'split');
  const { driver, tracker } = rig;
  driver.get('DeviceID');
  driver.config(0, 4);
  driver.config(4, 4);
  driver.setUp({ queues: [16] });
  const [header, data, status] = [driver.arena.take(16), driver.arena.take(512), driver.arena.take(1)];
  for (let n = 0; 2 * n < ACCESSES; n++) {
    const write = (n & 1) === 1;
    rig.ram.setU32(header.gpa, n & 1);
    rig.ram.setU32(header.gpa + 8, (n * 7919) % (DISK_BYTES / 512));
    if (write) rig.ram.view(data.gpa, 512).fill(n);
    driver.queue(0).offer(write ? [header, data] : [header], write ? [status] : [data, status], {});
    driver.kick(0);
    driver.interrupt();
    driver.queue(0).used();
  }
  tracker.finish();
  return rig.text();
}

async function timed(what: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await what();
  return performance.now() - begin;
}

const recording = new Recording(batchesOf(made()));
const disks = new Map([[0, new Uint8Array(DISK_BYTES)]]);

async function measure(checkpoints: boolean): Promise<{ times: number[]; where: string; kept: string }> {
  const session = await DebugSession.open(
    recording,
    () => new ReplayRun(recording, builtinTarget(), { disks, checkpoints }),
  );
  const { count } = session.steps;
  const there = await timed(() => session.goTo(count));
  const kept = session.kept;
  // A replay from the begin takes seconds: a few of them tell enough.
  const times = checkpoints ? STEPS_BACK : 3;
  let back = 0;
  for (let i = 0; i < times; i++) back += await timed(() => session.stepBack());
  await session.goTo(count - STEPS_BACK);
  const run = await timed(() => session.backward({ id: 0, ...session.parse('blk0 queue 0 if type == 1') }));
  const chains = await session.chains();
  const where = JSON.stringify([session.position, chains[0]?.request, session.divergences]);
  await session.close();
  return {
    times: [there, back / times, run],
    where,
    kept:
      kept === undefined
        ? 'nothing kept'
        : `${kept.moments} moments, one in ${kept.every} accesses, ${(kept.bytes / 2 ** 20).toFixed(1)} MiB`,
  };
}

// Once for the compiler.
await measure(true);
const withMoments = await measure(true);
const without = await measure(false);
console.log(`${recording.accesses} accesses of a block device, built-in models; milliseconds`);
console.log(`  from the begin: ${without.kept}; moments: ${withMoments.kept}`);
const titles = ['to the end, once', 'step back from there', 'back to the last write request'];
for (const [i, title] of titles.entries()) {
  const [a, b] = [without.times[i]!, withMoments.times[i]!];
  console.log(`  ${title.padEnd(32)} ${a.toFixed(1).padStart(9)} ${b.toFixed(1).padStart(9)}`);
}
if (withMoments.where !== without.where) {
  console.log(`not the same place: ${without.where} and ${withMoments.where}`);
  process.exitCode = 1;
}
