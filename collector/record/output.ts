import { existsSync, mkdirSync, readdirSync, rmdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { TraceError } from '../../trace/errors.ts';
import { systemReason } from '../../trace/replace-file.ts';

/** Makes the output directory, which must not exist, or be empty. Throws E_EXISTS, E_WRITE. */
export function makeOutput(dir: string): void {
  try {
    if (existsSync(dir) && readdirSync(dir).length > 0) {
      throw new TraceError('E_EXISTS', 'the output cannot go there', {
        source: dir,
        expected: 'a new or empty directory',
        got: 'one that holds something',
      });
    }
    makeDirectories(dir);
  } catch (error) {
    if (error instanceof TraceError) throw error;
    throw new TraceError('E_WRITE', `cannot be made (${systemReason(error)})`, { source: dir });
  }
}

export function removeIfEmpty(dir: string): void {
  try {
    rmdirSync(dir);
  } catch {
    // Something else was put there meanwhile: it stays.
  }
}

/**
 * Makes a directory and those above it that are missing. Not mkdirSync's `recursive`: where the kernel refuses with
 * ENOENT (/proc) that goes round for ever (seen with Node 20.20).
 */
export function makeDirectories(dir: string): void {
  const path = resolve(dir);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
  makeDirectories(dirname(path));
  mkdirSync(path);
}
