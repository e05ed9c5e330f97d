import { GuestFault, type GuestMemory } from '../guest-memory.ts';

/** One buffer of a chain: guest-physical address and bytes. All of it was RAM when the chain was popped. */
export interface Segment {
  gpa: number;
  length: number;
}

/** What the device hands back with push: which buffer, and how many ring entries it took. Plain data. */
export interface ChainTicket {
  /** Split: index of the head descriptor. Packed: the buffer id. */
  id: number;
  /** Ring entries that the chain takes: 1 in a split ring, in a packed one 1 for an indirect table. */
  slots: number;
}

/** A descriptor chain: the device reads `out`, then writes `in` (VIRTIO 1.2, 2.7.4.2). Plain data. */
export interface Chain extends ChainTicket {
  out: Segment[];
  in: Segment[];
}

export const DESC_F_NEXT = 1;
export const DESC_F_WRITE = 2;
export const DESC_F_INDIRECT = 4;
/** Bytes of a descriptor, split or packed. */
export const DESC_SIZE = 16;

/** Most buffers of one chain; QEMU's VIRTQUEUE_MAX_SIZE, the largest queue of either kind that drivers use. */
export const MOST_SEGMENTS = 1024;
/** Most bytes of one chain (VIRTIO 1.2, 2.7.5.2). */
export const MOST_BYTES = 0x1_0000_0000;

/** Collects the buffers of one chain while it is walked, and enforces what holds for every chain. */
export class ChainBuilder {
  readonly out: Segment[] = [];
  readonly in: Segment[] = [];
  private bytes = 0;
  private readonly memory: GuestMemory;

  constructor(memory: GuestMemory) {
    this.memory = memory;
  }

  /** A zero-length buffer is refused, as QEMU does: no driver that is in use sends one. */
  add(gpa: number, length: number, flags: number): void {
    if (length === 0) throw new GuestFault('descriptor', 'a buffer of zero bytes');
    this.bytes += length;
    if (this.bytes > MOST_BYTES) throw new GuestFault('descriptor', 'a chain of more than 2^32 bytes');
    if (this.out.length + this.in.length >= MOST_SEGMENTS)
      throw new GuestFault('descriptor', `a chain of more than ${MOST_SEGMENTS} buffers`);
    this.memory.view(gpa, length);
    if ((flags & DESC_F_WRITE) !== 0) this.in.push({ gpa, length });
    else if (this.in.length > 0)
      throw new GuestFault('descriptor', 'a device-readable buffer after a device-writable one');
    else this.out.push({ gpa, length });
  }
}

/** Number of descriptors in an indirect table of `length` bytes, all of which must be RAM. */
export function indirectCount(memory: GuestMemory, gpa: number, length: number): number {
  if (length === 0 || length % DESC_SIZE !== 0)
    throw new GuestFault('descriptor', `an indirect table of ${length} bytes`);
  memory.view(gpa, length);
  return length / DESC_SIZE;
}

export function totalLength(segments: readonly Segment[]): number {
  let sum = 0;
  for (const segment of segments) sum += segment.length;
  return sum;
}

/** The part [start, start+length) of what `segments` hold one after another; shorter where they end. */
export function part(segments: readonly Segment[], start: number, length = Infinity): Segment[] {
  const found: Segment[] = [];
  let skip = start;
  let left = length;
  for (const segment of segments) {
    if (left <= 0) break;
    if (skip >= segment.length) {
      skip -= segment.length;
      continue;
    }
    const take = Math.min(segment.length - skip, left);
    found.push({ gpa: segment.gpa + skip, length: take });
    left -= take;
    skip = 0;
  }
  return found;
}

/** Copies from guest memory, starting `offset` bytes into `segments`; gives the number of bytes copied. */
export function gather(
  memory: GuestMemory,
  segments: readonly Segment[],
  offset: number,
  into: Uint8Array,
): number {
  let done = 0;
  for (const { gpa, length } of part(segments, offset, into.length)) {
    into.set(memory.view(gpa, length), done);
    done += length;
  }
  return done;
}

/** Copies into guest memory, starting `offset` bytes into `segments`; gives the number of bytes copied. */
export function scatter(
  memory: GuestMemory,
  segments: readonly Segment[],
  offset: number,
  from: Uint8Array,
): number {
  let done = 0;
  for (const { gpa, length } of part(segments, offset, from.length)) {
    memory.view(gpa, length).set(from.subarray(done, done + length));
    done += length;
  }
  return done;
}
