import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
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
    mkdirSync(dir, { recursive: true });
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
