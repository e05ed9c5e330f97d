import type { Mapping } from './libc.ts';
import { MOST_FRAMES, PAGE, type Privcmd } from './privcmd.ts';

const CHUNK = MOST_FRAMES * PAGE;
/** Each mapped page takes a page frame of Dom0's address space; 512 MiB at a time. */
const MOST_CHUNKS = 256;

interface Chunk {
  readonly mapping: Mapping;
  readonly there: Uint8Array;
}

type Frames = Pick<Privcmd, 'mapFrames'>;

/** Guest memory of a domain that runs, as it is at the moment of each look; mapped in chunks of 2 MiB as asked for. */
export class GuestMemory {
  private readonly frames: Frames;
  private readonly domid: number;
  private readonly chunks = new Map<number, Chunk>();

  constructor(frames: Frames, domid: number) {
    this.frames = frames;
    this.domid = domid;
  }

  /** Undefined where the domain has no memory. Valid until the next call. */
  readonly read = (gpa: number, length: number): Uint8Array | undefined => {
    if (!(gpa >= 0 && gpa < 2 ** 48 && length >= 0 && length <= 2 ** 31)) return undefined;
    const at = gpa % CHUNK;
    if (at + length <= CHUNK) return this.part(gpa, length);
    const whole = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const take = Math.min(length - done, CHUNK - ((gpa + done) % CHUNK));
      const part = this.part(gpa + done, take);
      if (part === undefined) return undefined;
      whole.set(part, done);
      done += take;
    }
    return whole;
  };

  /** The domain's memory has moved (an INVALIDATE ioreq): what was mapped may not be its own any more. */
  drop(): void {
    for (const { mapping } of this.chunks.values()) mapping.release();
    this.chunks.clear();
  }

  private part(gpa: number, length: number): Uint8Array | undefined {
    const chunk = this.chunk(Math.floor(gpa / CHUNK));
    if (chunk === undefined) return undefined;
    const at = gpa % CHUNK;
    const last = Math.floor((at + Math.max(length, 1) - 1) / PAGE);
    for (let page = Math.floor(at / PAGE); page <= last; page++)
      if (chunk.there[page] !== 1) return undefined;
    return chunk.mapping.bytes.subarray(at, at + length);
  }

  private chunk(number: number): Chunk | undefined {
    const known = this.chunks.get(number);
    if (known !== undefined) return known;
    if (this.chunks.size >= MOST_CHUNKS) this.drop();
    const chunk = this.frames.mapFrames(this.domid, number * MOST_FRAMES, MOST_FRAMES);
    // Not kept if there is nothing: the domain may get memory there.
    if (chunk !== undefined) this.chunks.set(number, chunk);
    return chunk;
  }
}
