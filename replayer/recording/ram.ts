import { TraceError } from '../../trace/errors.ts';
import { REC_TAG } from '../../trace/recording.ts';
import type { ReplaySetup } from '../target.ts';
import type { Recording } from './load.ts';
import { address } from './load.ts';
import { parseUsed } from './used.ts';

const MIB = 1 << 20;
/** RAM closer together than this is one bank: guests' RAM has few holes, and untouched pages cost nothing. */
const GAP = 256 * MIB;
/** More than any guest of a board has: what lies further is a damaged address. */
const HIGHEST = 2 ** 40;
const LARGEST_BANK = 4096 * MIB - MIB;
const DESCRIPTOR_BYTES = 16;

/**
 * The guest RAM that a recording needs: what it puts there, the rings and buffers that the devices wrote, and the
 * buffers that its descriptors name. Whole MiB. Throws E_NOT_REPLAYABLE if that is more than can be held.
 */
export function planRam(recording: Recording): ReplaySetup['ram'] {
  const pieces = new Set<number>();
  const take = (gpa: number, length: number): void => {
    if (gpa + length > HIGHEST) return;
    const last = Math.floor((gpa + Math.max(1, length) - 1) / MIB);
    for (let mib = Math.floor(gpa / MIB); mib <= last; mib++) pieces.add(mib);
  };
  for (const batch of recording.batches) {
    for (let i = 0; i < batch.length; i++) {
      const tag = batch.tag[i]!;
      if (tag === REC_TAG.MEMORY) {
        take(address(batch, i), batch.size[i]!);
        if (batch.rest[i]!.includes('"why":"desc"')) buffersOf(batch.payload(i), take);
      } else if (tag === REC_TAG.USED) {
        for (const used of parseUsed(batch.rest[i]!, batch.transport[i]!, batch.step[i]!)) {
          take(used.ring, 6 + DESCRIPTOR_BYTES * used.size);
          for (const { buffers } of used.elements)
            for (const { gpa, bytes } of buffers) take(gpa, bytes.length);
        }
      }
    }
  }
  if (pieces.size === 0) return [{ base: 0x4000_0000, length: MIB }];
  const banks: { base: number; length: number }[] = [];
  for (const mib of [...pieces].sort((a, b) => a - b)) {
    const bank = banks.at(-1);
    const base = mib * MIB;
    if (
      bank !== undefined &&
      base - (bank.base + bank.length) < GAP &&
      base + MIB - bank.base <= LARGEST_BANK
    )
      bank.length = base + MIB - bank.base;
    else banks.push({ base, length: MIB });
  }
  const total = banks.reduce((sum, { length }) => sum + length, 0);
  if (total > 2 * LARGEST_BANK || banks.length > 64) {
    throw new TraceError('E_NOT_REPLAYABLE', 'the recording needs too much guest memory', {
      expected: `at most ${(2 * LARGEST_BANK) / MIB} MiB in 64 banks`,
      got: `${total / MIB} MiB in ${banks.length}`,
    });
  }
  return banks;
}

/** Buffers that split or packed descriptors name: le64 address, le32 length, both kinds alike. */
function buffersOf(bytes: Uint8Array, take: (gpa: number, length: number) => void): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + DESCRIPTOR_BYTES <= bytes.length; at += DESCRIPTOR_BYTES) {
    const gpa = view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
    const length = view.getUint32(at + 8, true);
    // A descriptor that is not in use can hold anything: a far address would only cost memory.
    if (length > 0 && length <= 64 * MIB) take(gpa, length);
  }
}
