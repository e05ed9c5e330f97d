import type { RecordedUsed } from '../../target.ts';
import type { RamFile } from './ram-file.ts';

/** Bit of a packed descriptor's flags that says in which round of the ring it was used (VIRTIO 1.2, 2.8.1). */
const PACKED_USED_BIT = 15;

/** Whether the first `count` of the recorded used elements are in guest memory by now. */
export function appeared(ram: RamFile, used: RecordedUsed, count: number): boolean {
  const { ring, index, elements } = used;
  if (used.packed !== true) {
    const wanted = index - elements.length + count;
    return ((ram.u16(ring + 2) - wanted) & 0xffff) < 0x8000;
  }
  const at = elements[count - 1]?.at;
  if (at === undefined) return true;
  // `index` is the position behind the last element, and its round: what lies at or behind it is of the round before.
  const round = (index >>> 15) ^ (at >= (index & 0x7fff) ? 1 : 0);
  return ram.u16(ring + 16 * at + 14) >>> PACKED_USED_BIT === round;
}

/** Bytes behind the ring's address that `appeared` may look at. */
export function watchedBytes({ packed, size }: RecordedUsed): number {
  return packed === true ? 16 * size : 4;
}
