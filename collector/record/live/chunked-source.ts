import type { ByteSource } from '../../input/byte-source.ts';

/** Bytes that came in pieces, as one input; the pieces are not copied. */
export class ChunkedSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  private readonly pieces: readonly Uint8Array[];
  /** Offset of the first byte of each piece. */
  private readonly starts: Float64Array;

  constructor(name: string, pieces: readonly Uint8Array[]) {
    this.name = name;
    this.pieces = pieces;
    this.starts = new Float64Array(pieces.length);
    let size = 0;
    for (const [n, piece] of pieces.entries()) {
      this.starts[n] = size;
      size += piece.length;
    }
    this.size = size;
  }

  read(offset: number, into: Uint8Array): number {
    let done = 0;
    for (let n = this.pieceAt(offset); n < this.pieces.length && done < into.length; n++) {
      const at = offset + done - this.starts[n]!;
      const part = this.pieces[n]!.subarray(at, at + into.length - done);
      into.set(part, done);
      done += part.length;
    }
    return done;
  }

  close(): void {
    // Nothing is held open.
  }

  /** The last piece that begins at or before `offset`. */
  private pieceAt(offset: number): number {
    let low = 0;
    let high = this.starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.starts[middle]! <= offset) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}
