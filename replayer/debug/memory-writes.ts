import { REC_TAG } from '../../trace/recording.ts';
import { address } from '../recording/load.ts';
import { parseUsed } from '../recording/used.ts';
import type { RecordedUsed } from '../target.ts';
import type { Steps } from './steps.ts';

export interface MemoryWrite {
  gpa: number;
  length: number;
  /** First position at which the bytes are there. */
  position: number;
  by: 'driver' | 'device';
  /** Stretches that were joined: the other one wrote there too. */
  both?: boolean;
}

/** What is recorded to have been written to guest memory on the way from one position to another. */
export function* memoryWrites(steps: Steps, from: number, to: number): Generator<MemoryWrite> {
  const { recording } = steps;
  let position = from;
  for (let row = from === 0 ? 0 : steps.row[from]!; row < steps.row[to]!; row++) {
    while (steps.row[position]! <= row) position++;
    const { batch, i } = recording.at(row);
    if (batch.tag[i] === REC_TAG.MEMORY) {
      yield { gpa: address(batch, i), length: batch.size[i]!, position, by: 'driver' };
    }
    if (batch.tag[i] !== REC_TAG.USED) continue;
    for (const used of parseUsed(batch.rest[i]!, batch.transport[i]!, batch.step[i]!)) {
      yield* writesOf(used, position);
    }
  }
}

function* writesOf(used: RecordedUsed, position: number): Generator<MemoryWrite> {
  const { ring, index, size, elements } = used;
  const by = 'device';
  const split = used.packed !== true;
  // The index, and avail_event behind the ring.
  if (split) yield { gpa: ring + 2, length: 2, position, by };
  if (split) yield { gpa: ring + 4 + 8 * size, length: 2, position, by };
  for (const [n, { buffers, at }] of elements.entries()) {
    const entry = (index - elements.length + n + 0x1_0000) % size;
    if (split) yield { gpa: ring + 4 + 8 * entry, length: 8, position, by };
    else if (at !== undefined) yield { gpa: ring + 16 * at, length: 16, position, by };
    for (const { gpa, bytes } of buffers) yield { gpa, length: bytes.length, position, by };
  }
}
