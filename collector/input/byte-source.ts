/**
 * Random access to the bytes of one raw input. Decoders read through it in pieces, so that a file of any
 * size takes bounded memory.
 */
export interface ByteSource {
  /** The name shown in messages: a path as the user gave it. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /** Copies up to `into.length` bytes from `offset`; gives the count, less only at the end of the input. */
  read(offset: number, into: Uint8Array): number;
  close(): void;
}

/** Bytes that are in memory already. */
export class MemorySource implements ByteSource {
  readonly name: string;
  readonly size: number;
  private readonly bytes: Uint8Array;

  constructor(name: string, bytes: Uint8Array) {
    this.name = name;
    this.bytes = bytes;
    this.size = bytes.byteLength;
  }

  read(offset: number, into: Uint8Array): number {
    const part = this.bytes.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  }

  close(): void {
    // Nothing is held open.
  }
}
