import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TraceError } from './errors.ts';

/**
 * Puts `text` in place of dir/name so that a reader, or a crash at any instant, finds the old file or the new
 * one and nothing between: written beside it, synced, renamed, the directory synced. Throws E_WRITE.
 */
export function replaceFile(dir: string, name: string, text: string): void {
  const path = join(dir, name);
  const beside = join(dir, `.${name}.${process.pid}.new`);
  try {
    const fd = openSync(beside, 'w');
    try {
      writeFileSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(beside, path);
    syncDirectory(dir);
  } catch (error) {
    rmSync(beside, { force: true });
    throw new TraceError('E_WRITE', `cannot be written (${systemReason(error)})`, { source: path });
  }
}

function syncDirectory(dir: string): void {
  const fd = openSync(dir, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The system's short name of a failure: 'ENOSPC', 'EACCES'. */
export function systemReason(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
