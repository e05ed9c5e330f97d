import { SECTOR } from './block-format.ts';

/**
 * The disk behind a block device. Offsets and lengths are bytes, inside the disk. A DiskError thrown by any
 * member becomes an I/O error status of the request.
 */
export interface Disk {
  /** Size in sectors of 512 bytes. */
  readonly sectors: number;
  readonly readOnly?: boolean;
  read(offset: number, into: Uint8Array): void;
  write(offset: number, from: Uint8Array): void;
  writeZeroes(offset: number, length: number): void;
  /** Absent: a discard succeeds and changes nothing, as QEMU's discard=ignore. */
  discard?(offset: number, length: number): void;
  flush(): void;
}

/** A back end could not do what was asked: a bad sector, a full file. */
export class DiskError extends Error {
  override readonly name = 'DiskError';
}

/** A disk image in memory. */
export class MemoryDisk implements Disk {
  readonly bytes: Uint8Array;
  readonly readOnly: boolean;
  readonly sectors: number;
  flushes = 0;

  constructor(bytes: Uint8Array, readOnly = false) {
    this.bytes = bytes;
    this.readOnly = readOnly;
    this.sectors = Math.floor(bytes.length / SECTOR);
  }

  read(offset: number, into: Uint8Array): void {
    into.set(this.bytes.subarray(offset, offset + into.length));
  }

  write(offset: number, from: Uint8Array): void {
    this.bytes.set(from, offset);
  }

  writeZeroes(offset: number, length: number): void {
    this.bytes.fill(0, offset, offset + length);
  }

  flush(): void {
    this.flushes++;
  }
}
