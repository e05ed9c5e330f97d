import { closeSync, openSync, readSync, readlinkSync } from 'node:fs';

/** What a followed process has: its memory and descriptors. */
export interface TraceeView {
  /** `length` (at most 64) bytes of its memory; undefined where there is none. Valid until the next call. */
  read(address: number, length: number): DataView | undefined;
  /** What a descriptor is: a path, or 'anon_inode:[eventfd]'. '' if there is none. */
  descriptor(fd: number): string;
  close(): void;
}

/** By /proc. */
export class ProcessView implements TraceeView {
  private readonly pid: number;
  private readonly memory: number;
  private readonly bytes = new Uint8Array(64);
  private readonly words = new DataView(this.bytes.buffer);

  constructor(pid: number) {
    this.pid = pid;
    this.memory = openSync(`/proc/${pid}/mem`, 'r');
  }

  read(address: number, length: number): DataView | undefined {
    try {
      return readSync(this.memory, this.bytes, 0, length, address) === length ? this.words : undefined;
    } catch {
      return undefined;
    }
  }

  descriptor(fd: number): string {
    try {
      return readlinkSync(`/proc/${this.pid}/fd/${fd}`);
    } catch {
      return '';
    }
  }

  close(): void {
    closeSync(this.memory);
  }
}
