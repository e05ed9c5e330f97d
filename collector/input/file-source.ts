import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { TraceError } from '../../trace/errors.ts';
import type { ByteSource } from './byte-source.ts';

/**
 * A file on disk. Throws E_NOT_FOUND, E_UNREADABLE (with the system's reason) on opening.
 * A file that shrinks while it is read ends early; it never yields bytes that are not there.
 */
export class FileSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  private readonly fd: number;

  constructor(path: string, name = path) {
    this.name = name;
    try {
      this.fd = openSync(path, 'r');
    } catch (error) {
      throw openError(error, name);
    }
    const stat = fstatSync(this.fd);
    if (stat.isDirectory()) {
      closeSync(this.fd);
      throw new TraceError('E_UNREADABLE', 'is a directory', { source: name, expected: 'a file' });
    }
    this.size = stat.size;
  }

  read(offset: number, into: Uint8Array): number {
    let done = 0;
    while (done < into.length) {
      let got: number;
      try {
        got = readSync(this.fd, into, done, into.length - done, offset + done);
      } catch (error) {
        throw new TraceError('E_UNREADABLE', `cannot be read (${reason(error)})`, {
          source: this.name,
          offset: offset + done,
        });
      }
      if (got === 0) break;
      done += got;
    }
    return done;
  }

  close(): void {
    closeSync(this.fd);
  }
}

function openError(error: unknown, name: string): TraceError {
  const code = reason(error);
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new TraceError('E_NOT_FOUND', 'no such file', { source: name });
  }
  return new TraceError('E_UNREADABLE', `cannot be opened (${code})`, { source: name });
}

function reason(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
