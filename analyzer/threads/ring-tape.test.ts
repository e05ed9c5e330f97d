import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildForChild, removeBuild } from '../../fixtures/child-build.ts';
import { TAPE, TAPE_WIDTH } from '../passes/dom0-tape.ts';
import { RingReader, RingWriter, makeRing } from './ring-tape.ts';

let built: string;
let script: URL;

/** The n-th record's kind. */
const KINDS = [TAPE.IOREQ, TAPE.SLICE, TAPE.END, TAPE.REQUEST, TAPE.RAISE, TAPE.IRQ_OPEN, TAPE.KERNEL_OPEN];

beforeAll(() => {
  built = buildForChild(['trace', 'analyzer']);
  const file = join(built, 'writer.js');
  writeFileSync(
    file,
    `import { workerData } from 'node:worker_threads';
import { TAPE_WIDTH } from './analyzer/passes/dom0-tape.js';
import { RingWriter } from './analyzer/threads/ring-tape.js';
const { ring, records, kinds, fails } = workerData;
const writer = new RingWriter(ring);
for (let n = 0; n < records; n++) {
  const kind = kinds[(n * n) % kinds.length];
  const at = writer.reserve(kind);
  for (let f = 1; f < TAPE_WIDTH[kind]; f++) writer.values[at + f] = n * 100 + f;
  if (n % 37 === 0) writer.publish();
}
if (fails) writer.fail();
else writer.tell();
`,
  );
  script = pathToFileURL(file);
});
afterAll(() => {
  removeBuild(built);
});

const raise = (why: string): never => {
  throw new Error(why);
};

/** Reads what another thread writes; gives how many records were as they must be. */
function read(numbers: number, records: number, fails: boolean): number {
  const ring = makeRing(numbers);
  const worker = new Worker(script, { workerData: { ring, records, kinds: KINDS, fails } });
  const reader = new RingReader(ring, raise, 20_000);
  try {
    let right = 0;
    for (let n = 0; n < records; n++) {
      const at = reader.next();
      const kind = KINDS[(n * n) % KINDS.length]!;
      let same = reader.values[at] === kind;
      for (let f = 1; f < TAPE_WIDTH[kind]; f++) same &&= reader.values[at + f] === n * 100 + f;
      if (same) right++;
      reader.take();
    }
    if (fails) reader.next();
    return right;
  } finally {
    void worker.terminate();
  }
}

describe('a ring between two threads', () => {
  it.each([64, 128, 4096, 1 << 17])('gives every record in order, in a ring of %i numbers', (numbers) => {
    expect(read(numbers, 200_000, false)).toBe(200_000);
  });

  it('says behind the last record that the writer failed', () => {
    expect(() => read(64, 1000, true)).toThrow('failed');
  });

  it('gives up a writer that writes nothing', () => {
    expect(() => new RingReader(makeRing(64), raise, 50).next()).toThrow('silent');
  });

  it('keeps its places when the counts of numbers go beyond 32 bits', () => {
    const ring = makeRing(64);
    const writer = new RingWriter(ring);
    const reader = new RingReader(ring, raise, 50);
    // As if 2^31 numbers, a multiple of the ring, had gone through already.
    Object.assign(writer, { written: 0x7fffffc0, told: 0x7fffffc0, read: 0x7fffffc0 });
    Object.assign(reader, { written: 0x7fffffc0, told: 0x7fffffc0, read: 0x7fffffc0 });
    ring.control.fill(0x7fffffc0);
    for (let n = 0; n < 100; n++) {
      writer.values[writer.reserve(TAPE.IRQ_OPEN) + 1] = n;
      writer.tell();
      expect(reader.values[reader.next() + 1]).toBe(n);
      reader.take();
    }
  });

  it('refuses sizes that it could not work with', () => {
    expect(() => makeRing(100)).toThrow('power of two');
    expect(() => makeRing(32)).toThrow('too small');
  });
});
