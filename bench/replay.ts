import { VIRTIO_MMIO_MAGIC } from '../trace/virtio-mmio.ts';
import { REC_TAG, RecordingBatch } from '../trace/recording.ts';
import { Recording } from '../replayer/recording/load.ts';
import { replayRecording } from '../replayer/replay.ts';
import { builtinTarget } from '../replayer/targets/builtin.ts';
import type { Cost } from './measure.ts';
import { best, rateRow, rateTitle } from './measure.ts';

/**
 * How fast a recording is replayed into the built-in device models, everything compared: register accesses, and bytes
 * of guest memory. Recordings are made here; best of some rounds, in one process, on one core (the JIT compiler's
 * and the garbage collector's threads count in CPU time).
 *
 * Exit 1 below the goals.
 */
const GOAL_ACCESSES = 1e6;
const GOAL_BYTES = 500e6;
const ROUNDS = 5;
const ACCESSES = 2_000_000;
const MEMORY_RECORDS = 100_000;
const MEMORY_BYTES = 4096;
const BASE = 0x0a00_0000;
const RAM = 0x4000_0000;
/** Guest memory that the memory records go round in. */
const SPAN = 64 << 20;

/** Register values of a network device before its driver sets it up; offsets in bytes. */
const IDENTITY: readonly (readonly [offset: number, value: number])[] = [
  [0x000, VIRTIO_MMIO_MAGIC],
  [0x004, 2],
  [0x008, 1],
  [0x00c, 0x554d4551],
  [0x070, 0],
  [0x060, 0],
];

class Maker {
  readonly batches: RecordingBatch[] = [];
  private batch = new RecordingBatch();
  private step = 0;

  row(tag: number, address: number, size: number, value: number, payload?: Uint8Array): void {
    if (this.batch.full) this.end();
    const i = this.batch.push(tag, this.step++, '', payload);
    this.batch.addr[2 * i] = address;
    this.batch.size[i] = size;
    this.batch.value[2 * i] = value;
    this.batch.vcpu[i] = 0;
  }

  end(): void {
    this.batches.push(this.batch);
    this.batch = new RecordingBatch();
  }
}

/** Reads of identity registers and interrupt status, and every fourth access a write of a selector. */
function accesses(): Recording {
  const maker = new Maker();
  maker.row(REC_TAG.MEMORY, RAM, 16, 0, new Uint8Array(16));
  for (let n = 0; n < ACCESSES; n++) {
    const [offset, value] = IDENTITY[n % IDENTITY.length]!;
    if ((n & 3) === 3) maker.row(REC_TAG.WRITE, BASE + 0x30, 4, n & 1);
    else maker.row(REC_TAG.READ, BASE + offset, 4, value);
  }
  maker.end();
  return new Recording(maker.batches);
}

/** Pages of memory, an access after every fourth. */
function memory(): Recording {
  const maker = new Maker();
  const page = new Uint8Array(MEMORY_BYTES);
  maker.row(REC_TAG.READ, BASE + 8, 4, 1);
  for (let n = 0; n < MEMORY_RECORDS; n++) {
    page.fill(n);
    maker.row(REC_TAG.MEMORY, RAM + ((n * MEMORY_BYTES) % SPAN), MEMORY_BYTES, 0, page);
    if ((n & 3) === 3) maker.row(REC_TAG.READ, BASE, 4, VIRTIO_MMIO_MAGIC);
  }
  maker.end();
  return new Recording(maker.batches);
}

async function measured(recording: Recording): Promise<Cost> {
  const cpu = process.cpuUsage();
  const wall = performance.now();
  const result = await replayRecording(recording, builtinTarget());
  const used = process.cpuUsage(cpu);
  if (!result.equal) throw new Error(JSON.stringify(result.divergences[0]));
  return { cpu: (used.user + used.system) / 1e6, wall: (performance.now() - wall) / 1e3 };
}

async function rounds(recording: Recording): Promise<Cost> {
  const costs: Cost[] = [];
  for (let round = 0; round < ROUNDS; round++) costs.push(await measured(recording));
  return best(costs);
}

const reads = await rounds(accesses());
const writes = await rounds(memory());
const bytes = MEMORY_RECORDS * MEMORY_BYTES;
console.log(`built-in device models, everything compared; best of ${ROUNDS} rounds`);
console.log(rateTitle('acc'));
console.log(rateRow(`${ACCESSES} register accesses`, ACCESSES, reads));
console.log(rateTitle('B'));
console.log(rateRow(`${bytes} bytes of guest memory`, bytes, writes));
const accessRate = ACCESSES / Math.max(reads.cpu, reads.wall);
const byteRate = bytes / Math.max(writes.cpu, writes.wall);
console.log(
  `${(accessRate / 1e6).toFixed(2)} M accesses/s (goal ${GOAL_ACCESSES / 1e6}), ` +
    `${(byteRate / 1e6).toFixed(0)} MB/s (goal ${GOAL_BYTES / 1e6})`,
);
process.exitCode = accessRate < GOAL_ACCESSES || byteRate < GOAL_BYTES ? 1 : 0;
