import { readOut, type Piece, type TrackedChain } from './chain.ts';
import { u32, u64, type ReadGuest } from './guest.ts';
import type { RecordOut } from './record-out.ts';

/** virtio-gpu commands (VIRTIO 1.2, 5.7.6.7) that say which guest memory the device reads later. */
const RESOURCE_CREATE_2D = 0x101;
const RESOURCE_UNREF = 0x102;
const TRANSFER_TO_HOST_2D = 0x105;
const RESOURCE_ATTACH_BACKING = 0x106;
const RESOURCE_DETACH_BACKING = 0x107;
const HEADER = 24;
/** All 2D formats have 4 bytes a pixel. */
const BYTES_PER_PIXEL = 4;
/** Most entries of a backing list (QEMU takes no more). */
const MOST_ENTRIES = 16_384;

interface Resource {
  width: number;
  pieces: Piece[];
}

/** Follows the backing pages of a virtio-gpu's resources, and writes M of what a transfer will read. */
export class GpuBacking {
  private readonly resources = new Map<number, Resource>();
  private readonly read: ReadGuest;
  private readonly out: RecordOut;

  constructor(read: ReadGuest, out: RecordOut) {
    this.read = read;
    this.out = out;
  }

  reset(): void {
    this.resources.clear();
  }

  /** A chain of the control queue, just made available. */
  request(chain: TrackedChain): void {
    const head = readOut(chain, this.read, 0, HEADER + 32);
    if (head.length < HEADER + 8) return;
    const id = u32(head, HEADER);
    switch (u32(head, 0)) {
      case RESOURCE_CREATE_2D:
        if (head.length >= HEADER + 12) this.resources.set(id, { width: u32(head, HEADER + 8), pieces: [] });
        break;
      case RESOURCE_UNREF:
        this.resources.delete(id);
        break;
      case RESOURCE_DETACH_BACKING: {
        const resource = this.resources.get(id);
        if (resource !== undefined) resource.pieces = [];
        break;
      }
      case RESOURCE_ATTACH_BACKING:
        this.attach(chain, id, u32(head, HEADER + 4));
        break;
      case TRANSFER_TO_HOST_2D:
        if (head.length >= HEADER + 28) this.transfer(head);
        break;
    }
  }

  private attach(chain: TrackedChain, id: number, count: number): void {
    const entries = readOut(chain, this.read, HEADER + 8, Math.min(count, MOST_ENTRIES) * 16);
    const pieces: Piece[] = [];
    for (let at = 0; at + 16 <= entries.length; at += 16)
      pieces.push({ gpa: u64(entries, at), length: u32(entries, at + 8) });
    const resource = this.resources.get(id) ?? { width: 0, pieces };
    resource.pieces = pieces;
    this.resources.set(id, resource);
  }

  /** Rectangle u32 x, y, width, height; u64 offset of its first pixel in the backing; u32 resource. */
  private transfer(command: Uint8Array): void {
    const resource = this.resources.get(u32(command, HEADER + 24));
    if (resource === undefined) return;
    const width = u32(command, HEADER + 8);
    const height = u32(command, HEADER + 12);
    const stride = resource.width * BYTES_PER_PIXEL;
    if (stride === 0) {
      // Made before the recording began: whatever it needs lies in its backing.
      this.backing(resource.pieces, 0, Infinity);
      return;
    }
    const first = u64(command, HEADER + 16);
    if (width * BYTES_PER_PIXEL === stride) {
      this.backing(resource.pieces, first, stride * height);
      return;
    }
    for (let row = 0; row < Math.min(height, MOST_ENTRIES); row++)
      this.backing(resource.pieces, first + row * stride, width * BYTES_PER_PIXEL);
  }

  /** M of [start, start + length) of the pieces one after another; pieces that adjoin in memory as one. */
  private backing(pieces: readonly Piece[], start: number, length: number): void {
    let skip = start;
    let left = length;
    let gpa = 0;
    let run = 0;
    for (const piece of pieces) {
      if (left <= 0) break;
      if (skip >= piece.length) {
        skip -= piece.length;
        continue;
      }
      const take = Math.min(piece.length - skip, left);
      if (run > 0 && gpa + run === piece.gpa + skip) run += take;
      else {
        if (run > 0) this.out.memory(gpa, run, 'gpuback');
        gpa = piece.gpa + skip;
        run = take;
      }
      left -= take;
      skip = 0;
    }
    if (run > 0) this.out.memory(gpa, run, 'gpuback');
  }
}
