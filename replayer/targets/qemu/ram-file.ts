import { closeSync, ftruncateSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TraceError } from '../../../trace/errors.ts';

/** A file without a name: opened in a private folder that is removed before anybody else gets to know of it. */
export function namelessFile(): number {
  try {
    const folder = mkdtempSync(join(tmpdir(), 'ioreq-trace-replay-'));
    try {
      return openSync(join(folder, 'file'), 'wx+', 0o600);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  } catch (error) {
    throw new TraceError(
      'E_WRITE',
      `no temporary file in ${tmpdir()}: ${error instanceof Error ? error.message : ''}`,
    );
  }
}

/** Guest RAM shared with QEMU (memory-backend-file, share=on). Untouched parts take no space. */
export class RamFile {
  readonly fd: number;
  readonly base: number;
  readonly length: number;
  private readonly word = new Uint8Array(2);

  constructor(base: number, length: number) {
    this.base = base;
    this.length = length;
    this.fd = namelessFile();
    ftruncateSync(this.fd, length);
  }

  holds(gpa: number, length: number): boolean {
    return gpa >= this.base && length <= this.length - (gpa - this.base);
  }

  write(gpa: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      try {
        done += writeSync(this.fd, bytes, done, bytes.length - done, gpa - this.base + done);
      } catch (error) {
        throw new TraceError('E_WRITE', `guest RAM: ${error instanceof Error ? error.message : ''}`);
      }
    }
  }

  read(gpa: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const got = readSync(this.fd, bytes, done, length - done, gpa - this.base + done);
      if (got === 0) break;
      done += got;
    }
    return bytes;
  }

  u16(gpa: number): number {
    readSync(this.fd, this.word, 0, 2, gpa - this.base);
    return this.word[0]! | (this.word[1]! << 8);
  }

  close(): void {
    closeSync(this.fd);
  }
}
