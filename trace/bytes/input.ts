/** Random access to bytes: a file (trace/open.ts), or what the page holds in memory. */
export interface ByteInput {
  /** The name shown in messages. */
  readonly name: string;
  readonly size: number;
  /** Copies up to `into.length` bytes from `offset`; gives the count, less only at the end. */
  read(offset: number, into: Uint8Array): number;
}

export class MemoryInput implements ByteInput {
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
}
