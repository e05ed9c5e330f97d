import { constants } from 'node:buffer';
import { TraceError } from '../../../trace/errors.ts';
import { WindowCutter } from './window-cutter.ts';

/** A chunk as `drain` gives it; `bytes` are valid during the call only. */
export type RingSink = (source: string, round: number, bytes: Uint8Array) => void;

/** What the ring let go of, since the start. */
export interface RingDrops {
  chunks: number;
  bytes: number;
}

/** Pages and windows are kept in chunks of about this size: what is dropped goes a chunk at a time. */
const CHUNK_BYTES = 64 * 1024;
export const MIN_RING_BYTES = 2 * CHUNK_BYTES;
/** A description of each chunk is preallocated; shorter ones on average than this crowd out older ones. */
const LEAST_CHUNK_BYTES = 1024;

/**
 * The last `size` bytes of raw data over all sources, in memory that is allocated once. The oldest chunk goes first,
 * whichever source it is of; a chunk is whole pages or whole xentrace windows, so that what is kept of any source is
 * an unbroken end of it that decodes on its own.
 */
export class FlightRing {
  readonly size: number;
  /** Bytes and chunks held. */
  bytes = 0;
  chunks = 0;
  /** Sources whose beginning is gone: what is held of them begins in the middle. */
  readonly cut = new Set<string>();
  readonly dropped: RingDrops = { chunks: 0, bytes: 0 };
  private readonly memory: Buffer;
  /** Where the oldest chunk begins. */
  private tail = 0;
  // Of each chunk, in a ring of its own: source, round, length.
  private readonly sources: Uint16Array;
  private readonly rounds: Float64Array;
  private readonly lengths: Uint32Array;
  private oldest = 0;
  private readonly names: string[] = [];
  private readonly cutters = new Map<string, WindowCutter>();

  /** Throws E_USAGE if `size` is less than MIN_RING_BYTES or more than can be allocated at once. */
  constructor(size: number) {
    if (!(size >= MIN_RING_BYTES && size <= constants.MAX_LENGTH)) {
      throw new TraceError('E_USAGE', 'the flight recorder cannot keep so many bytes', {
        expected: `${MIN_RING_BYTES} to ${constants.MAX_LENGTH}`,
        got: `${size}`,
      });
    }
    this.size = size;
    this.memory = allocate(size);
    const most = Math.ceil(size / LEAST_CHUNK_BYTES);
    this.sources = new Uint16Array(most);
    this.rounds = new Float64Array(most);
    this.lengths = new Uint32Array(most);
  }

  /** Whole ring-buffer pages of `pageBytes` each. What is behind the last whole one is dropped. */
  addPages(source: string, round: number, bytes: Uint8Array, pageBytes: number): void {
    const whole = bytes.length - (bytes.length % pageBytes);
    const step = Math.max(1, Math.floor(CHUNK_BYTES / pageBytes)) * pageBytes;
    this.drop(bytes.length - whole, bytes.length > whole ? 1 : 0);
    for (let at = 0; at < whole; at += step) {
      this.addChunk(source, round, [bytes.subarray(at, Math.min(whole, at + step))]);
    }
  }

  /** xentrace's output, cut anywhere: goes in once its windows are whole. */
  addXentrace(source: string, round: number, bytes: Uint8Array): void {
    let cutter = this.cutters.get(source);
    if (cutter === undefined) this.cutters.set(source, (cutter = new WindowCutter(source)));
    if (cutter.error !== undefined) {
      // Where windows begin cannot be told any more.
      this.drop(bytes.length, 1);
      return;
    }
    let group: Uint8Array[] = [];
    let grouped = 0;
    cutter.push(bytes, (_cpu, window) => {
      if (grouped > 0 && grouped + window.length > CHUNK_BYTES) {
        this.addChunk(source, round, group);
        group = [];
        grouped = 0;
      }
      group.push(window);
      grouped += window.length;
    });
    if (grouped > 0) this.addChunk(source, round, group);
  }

  /** Adds a chunk that decodes on its own, given in parts. One larger than the ring is dropped. */
  addChunk(source: string, round: number, parts: readonly Uint8Array[]): void {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length === 0) return;
    if (length > this.size) {
      this.drop(length, 1);
      return;
    }
    while (this.bytes + length > this.size || this.chunks === this.lengths.length) {
      this.drop(this.lengths[this.oldest]!, 1);
      this.cut.add(this.names[this.sources[this.oldest]!]!);
      this.forget();
    }
    const n = (this.oldest + this.chunks) % this.lengths.length;
    this.sources[n] = this.sourceNumber(source);
    this.rounds[n] = round;
    this.lengths[n] = length;
    this.chunks++;
    for (const part of parts) {
      const at = (this.tail + this.bytes) % this.size;
      const first = part.subarray(0, this.size - at);
      this.memory.set(first, at);
      if (first.length < part.length) this.memory.set(part.subarray(first.length), 0);
      this.bytes += part.length;
    }
  }

  /** Gives what is held, oldest first, and empties the ring. Should `sink` throw, the chunk it was given is gone. */
  drain(sink: RingSink): void {
    while (this.chunks > 0) {
      const n = this.oldest;
      const length = this.lengths[n]!;
      const from = this.tail;
      const over = from + length - this.size;
      const bytes =
        over <= 0
          ? this.memory.subarray(from, from + length)
          : Buffer.concat([this.memory.subarray(from), this.memory.subarray(0, over)]);
      const source = this.names[this.sources[n]!]!;
      const round = this.rounds[n]!;
      // First, so that a sink that throws is not given it again; nothing is written over it in the meantime.
      this.forget();
      sink(source, round, bytes);
    }
    // What comes now begins where that ended.
    for (const name of this.names) this.cut.add(name);
  }

  private forget(): void {
    const length = this.lengths[this.oldest]!;
    this.tail = (this.tail + length) % this.size;
    this.bytes -= length;
    this.chunks--;
    this.oldest = (this.oldest + 1) % this.lengths.length;
  }

  private drop(bytes: number, chunks: number): void {
    this.dropped.bytes += bytes;
    this.dropped.chunks += chunks;
  }

  private sourceNumber(name: string): number {
    const known = this.names.indexOf(name);
    return known >= 0 ? known : this.names.push(name) - 1;
  }
}

function allocate(size: number): Buffer {
  try {
    // Touched at once, so that memory that is not there shows now and not in the middle of a recording.
    return Buffer.alloc(size, 0xff);
  } catch {
    throw new TraceError('E_USAGE', 'the flight recorder cannot have so much memory', {
      expected: 'less than what is free',
      got: `${size} bytes`,
    });
  }
}
