import { closeSync, openSync, statfsSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TraceError } from '../../trace/errors.ts';
import { systemReason } from '../../trace/replace-file.ts';
import { makeDirectories } from './output.ts';

/** Recording stops while this much is left, so that the trace can still be sealed. */
export const RESERVE_BYTES = 16 << 20;

/**
 * The raw files of a recording, written as they arrive and never held in memory. Every write throws E_WRITE where
 * it fails; what was written before stays readable, since a file's whole pages and records come first.
 */
export class RawFiles {
  readonly dir: string;
  /** Bytes by file name. */
  readonly bytes = new Map<string, number>();
  private readonly open = new Map<string, number>();

  constructor(dir: string) {
    this.dir = dir;
    try {
      makeDirectories(dir);
    } catch (error) {
      throw cannot(dir, error);
    }
  }

  append(name: string, bytes: Uint8Array): void {
    const path = join(this.dir, name);
    try {
      let fd = this.open.get(name);
      if (fd === undefined) this.open.set(name, (fd = openSync(path, 'a')));
      for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
    } catch (error) {
      throw cannot(path, error);
    }
    this.bytes.set(name, (this.bytes.get(name) ?? 0) + bytes.length);
  }

  text(name: string, text: string): void {
    const path = join(this.dir, name);
    try {
      makeDirectories(dirname(path));
      writeFileSync(path, text);
    } catch (error) {
      throw cannot(path, error);
    }
  }

  get totalBytes(): number {
    let total = 0;
    for (const bytes of this.bytes.values()) total += bytes;
    return total;
  }

  /** Whether the disk has no room left but for sealing: the trace takes about as much as the raw files. */
  get nearlyFull(): boolean {
    try {
      const { bavail, bsize } = statfsSync(this.dir);
      return bavail * bsize < RESERVE_BYTES + this.totalBytes * SEALED_SHARE;
    } catch {
      return false;
    }
  }

  close(): void {
    for (const fd of this.open.values()) closeSync(fd);
    this.open.clear();
  }
}

/** Bytes of a sealed trace for each raw byte, at most (measured: fixtures/captures, 0.6 to 0.9). */
const SEALED_SHARE = 1.2;

function cannot(path: string, error: unknown): TraceError {
  return new TraceError('E_WRITE', `cannot be written (${systemReason(error)})`, { source: path });
}
