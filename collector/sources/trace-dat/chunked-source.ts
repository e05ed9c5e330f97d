import { TraceError } from '../../../trace/errors.ts';
import type { ByteSource } from '../../input/byte-source.ts';
import { DatReader, MAX_PART } from './dat-reader.ts';
import { inflate, type DatCompression } from './inflate.ts';

/**
 * The compressed data of one CPU, read as if it were not: u32 count, then chunks of u32 packed size, u32
 * size, data. Chunks are unpacked as they are read, one at a time.
 */
export class ChunkedSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  /** Why the list of chunks ends early; reading past its end throws it. */
  private readonly broken: TraceError | undefined;
  private readonly input: ByteSource;
  private readonly algorithm: DatCompression;
  /** Triples: file offset of the data, packed size, position of its first byte when unpacked. */
  private readonly chunks: Float64Array;
  private current = -1;
  private data = new Uint8Array(0);

  /** Throws if not even the count can be read; a list that is cut later serves as far as it goes. */
  constructor(input: ByteSource, offset: number, name: string, algorithm: DatCompression) {
    this.input = input;
    this.name = name;
    this.algorithm = algorithm;
    const reader = new DatReader(input, offset);
    const count = reader.u32('a chunk count');
    // Each chunk takes 8 bytes at least, so a hostile count cannot ask for more memory than the file's size.
    const chunks = new Float64Array(Math.min(count, Math.floor((input.size - reader.pos) / 8)) * 3);
    let size = 0;
    let n = 0;
    let broken: TraceError | undefined;
    try {
      for (; n < count; n++) {
        const packed = reader.u32('a chunk header');
        const unpacked = reader.u32('a chunk header');
        if (unpacked > MAX_PART)
          reader.fail('chunk size is not plausible', `at most ${MAX_PART}`, `${unpacked}`);
        const at = reader.pos;
        reader.skip(packed, 'a chunk');
        chunks.set([at, packed, size], 3 * n);
        size += unpacked;
      }
    } catch (error) {
      if (!(error instanceof TraceError)) throw error;
      broken = error;
    }
    this.chunks = chunks.subarray(0, 3 * n);
    this.broken = broken;
    // One more byte than there is, so that a reader comes to ask for it and learns why it is missing.
    this.size = broken === undefined ? size : size + 1;
  }

  read(offset: number, into: Uint8Array): number {
    let done = 0;
    while (done < into.length && offset + done < this.size) {
      try {
        this.load(offset + done);
      } catch (error) {
        // What came before it is good; the next call meets the failure first.
        if (done > 0) return done;
        throw error;
      }
      const start = offset + done - this.chunks[3 * this.current + 2]!;
      const part = this.data.subarray(start, start + into.length - done);
      into.set(part, done);
      done += part.length;
    }
    return done;
  }

  close(): void {
    // The file belongs to whoever opened it.
  }

  private end(chunk: number): number {
    const last = this.broken === undefined ? this.size : this.size - 1;
    return this.chunks[3 * (chunk + 1) + 2] ?? last;
  }

  /** Makes the chunk that holds `position` the current one. */
  private load(position: number): void {
    const count = this.chunks.length / 3;
    let chunk = Math.max(0, this.current);
    if (this.current >= 0 && position < this.chunks[3 * chunk + 2]!) chunk = 0;
    while (chunk < count && this.end(chunk) <= position) chunk++;
    if (chunk === this.current) return;
    if (chunk >= count) throw this.broken ?? new TraceError('E_INTERNAL', 'read beyond the last chunk');
    const [at, packed] = [this.chunks[3 * chunk]!, this.chunks[3 * chunk + 1]!];
    const bytes = new DatReader(this.input, at).bytes(packed, 'a chunk');
    const size = this.end(chunk) - this.chunks[3 * chunk + 2]!;
    this.data = inflate(this.algorithm, bytes, size, this.input.name, at) as Uint8Array<ArrayBuffer>;
    this.current = chunk;
  }
}
