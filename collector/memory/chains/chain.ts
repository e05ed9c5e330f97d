import { u16, u32, u64, type ReadGuest } from './guest.ts';
import type { RecordOut } from './record-out.ts';

/** Descriptor flags and sizes (VIRTIO 1.2, 2.7.5 and 2.8.6). */
export const DESC_F_NEXT = 1;
export const DESC_F_WRITE = 2;
export const DESC_F_INDIRECT = 4;
export const DESC_SIZE = 16;
/** Most buffers of one chain (QEMU's VIRTQUEUE_MAX_SIZE). */
export const MOST_BUFFERS = 1024;

export interface Piece {
  gpa: number;
  length: number;
}

/** A descriptor chain between being made available and being used. */
export interface TrackedChain {
  /** Split: index of the head descriptor. Packed: buffer id. */
  id: number;
  /** Ring entries it takes: 1 in a split ring. */
  slots: number;
  /** What the device reads, and then writes. Gpa and bytes. */
  out: Piece[];
  in: Piece[];
  /** Number of the chain in its queue, from 0. */
  serial: number;
  /** Found by the look that is under way. */
  fresh: boolean;
  /** The guest made it available again before its use was seen. */
  racy: boolean;
  /** blk: what element of X says of the request, as text; else empty. */
  request: string;
}

export function newChain(id: number, slots: number): TrackedChain {
  return { id, slots, out: [], in: [], serial: 0, fresh: true, racy: false, request: '' };
}

/** Pieces of descriptor tables; adjoining ones become one M record. */
export class TableRun {
  private readonly pieces: Piece[] = [];

  add(gpa: number, length: number): void {
    const last = this.pieces.at(-1);
    if (last !== undefined && gpa === last.gpa + last.length) last.length += length;
    else this.pieces.push({ gpa, length });
  }

  emit(out: RecordOut): void {
    for (const { gpa, length } of this.pieces) out.memory(gpa, length, 'desc');
    this.pieces.length = 0;
  }
}

/** Adds the buffer of a descriptor (its first 12 bytes: u64 address, u32 length). */
export function addBuffer(chain: TrackedChain, desc: Uint8Array, at: number, flags: number): void {
  const into = (flags & DESC_F_WRITE) !== 0 ? chain.in : chain.out;
  into.push({ gpa: u64(desc, at), length: u32(desc, at + 8) });
}

/**
 * The buffers of an indirect table. `linked`: entries name the next (split); else they follow one another
 * (packed). False if the table is no table or not RAM.
 */
export function addIndirect(
  chain: TrackedChain,
  desc: Uint8Array,
  at: number,
  read: ReadGuest,
  run: TableRun,
  linked: boolean,
): boolean {
  const gpa = u64(desc, at);
  const length = u32(desc, at + 8);
  const count = length / DESC_SIZE;
  if (!Number.isInteger(count) || count === 0 || count > 65536) return false;
  const found = read(gpa, length);
  if (found === undefined) return false;
  const table = found.slice();
  // Guests give tables of their own length, but only what the chain reaches is needed.
  let reach = 0;
  for (let i = 0, n = 0; n < MOST_BUFFERS; n++) {
    const flags = u16(table, i * DESC_SIZE + (linked ? 12 : 14));
    reach = Math.max(reach, i + 1);
    if ((flags & DESC_F_INDIRECT) !== 0) break;
    addBuffer(chain, table, i * DESC_SIZE, flags);
    if (linked) {
      if ((flags & DESC_F_NEXT) === 0) break;
      i = u16(table, i * DESC_SIZE + 14);
    } else i++;
    if (i >= count) break;
  }
  run.add(gpa, reach * DESC_SIZE);
  return true;
}

/** Bytes of a chain's readable part, from `start`, at most `length`; shorter where it ends or is not RAM. */
export function readOut(chain: TrackedChain, read: ReadGuest, start: number, length: number): Uint8Array {
  const found = new Uint8Array(length);
  let done = 0;
  let skip = start;
  for (const buffer of chain.out) {
    if (done === length) break;
    if (skip >= buffer.length) {
      skip -= buffer.length;
      continue;
    }
    const take = Math.min(buffer.length - skip, length - done);
    const bytes = read(buffer.gpa + skip, take);
    if (bytes === undefined) break;
    found.set(bytes, done);
    done += take;
    skip = 0;
  }
  return found.subarray(0, done);
}
