import { closeSync, lstatSync, openSync, rmSync, writeSync } from 'node:fs';
import { TraceError } from '../../trace/errors.ts';

/** Takes the pieces of a file in order. */
export type PieceWriter = (piece: string | Uint8Array) => void;

/** Runs `make` on a new file; what an error leaves of it is removed. */
export function withNewFile<T>(path: string, force: boolean, make: (write: PieceWriter) => T): T {
  const fd = openNew(path, force);
  let done = false;
  try {
    const result = make(writerOf(fd, path));
    done = true;
    return result;
  } finally {
    closeSync(fd);
    if (!done) removePart(path);
  }
}

/** The same for what comes bit by bit. */
export async function withNewFileOf(
  path: string,
  force: boolean,
  make: (write: PieceWriter) => Promise<void>,
): Promise<void> {
  const fd = openNew(path, force);
  let done = false;
  try {
    await make(writerOf(fd, path));
    done = true;
  } finally {
    closeSync(fd);
    if (!done) removePart(path);
  }
}

function openNew(path: string, force: boolean): number {
  try {
    return openSync(path, force ? 'w' : 'wx');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST')
      throw new TraceError('E_EXISTS', 'the file exists; --force replaces it', { source: path });
    throw new TraceError('E_WRITE', message, { source: path });
  }
}

function writerOf(fd: number, path: string): PieceWriter {
  return (piece) => {
    writeAll(fd, typeof piece === 'string' ? Buffer.from(piece) : piece, path);
  };
}

/** Removes what an error left of an output; never a device or pipe that was given as one. */
export function removePart(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isFile() === true) rmSync(path, { force: true });
}

function writeAll(fd: number, bytes: Uint8Array, path: string): void {
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
  } catch (error) {
    throw new TraceError('E_WRITE', (error as Error).message, { source: path });
  }
}
