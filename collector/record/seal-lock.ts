import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { TraceError } from '../../trace/errors.ts';
import { systemReason } from '../../trace/replace-file.ts';
import { startTime } from './recording-file.ts';

/** In the trace directory while it is being sealed: pid, start time and machine of who does. */
const LOCK = '.sealing.lock';
/** Tries to take over from owners that died; each further one needs another death in between. */
const TRIES = 5;

/**
 * Does `work` while no other command seals the same directory. Rejects with E_HOST_BUSY if one does; a lock whose
 * owner is dead is taken over.
 */
export async function withSealLock<T>(dir: string, work: () => Promise<T>): Promise<T> {
  const path = join(dir, LOCK);
  acquire(path, dir);
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

function acquire(path: string, dir: string): void {
  const mine = `${process.pid} ${startTime(process.pid) ?? ''} ${hostname()}\n`;
  for (let tries = 0; tries < TRIES; tries++) {
    if (create(path, mine)) return;
    const theirs = contentOf(path);
    if (theirs === undefined) continue;
    const [pid = '', start = '', machine = ''] = theirs.trim().split(' ');
    if (machine === hostname() && start !== '' && startTime(Number(pid)) === start) throw busy(dir, pid);
    if (!removeStale(path, theirs)) throw busy(dir, 'another');
  }
  throw busy(dir, 'another');
}

/** False if there is one. It has its content from its first instant: written beside, then linked. */
function create(path: string, content: string): boolean {
  const beside = `${path}.${process.pid}`;
  try {
    writeFileSync(beside, content);
    try {
      linkSync(beside, path);
    } catch (error) {
      if (systemReason(error) === 'EEXIST') return false;
      // A file system without hard links.
      writeFileSync(path, content, { flag: 'wx' });
    }
    return true;
  } catch (error) {
    if (systemReason(error) === 'EEXIST') return false;
    throw new TraceError('E_WRITE', `cannot be written (${systemReason(error)})`, { source: path });
  } finally {
    rmSync(beside, { force: true });
  }
}

/** Removes a dead owner's lock; false if meanwhile it was another's, which then is put back. */
function removeStale(path: string, content: string): boolean {
  const aside = `${path}.${process.pid}.old`;
  try {
    renameSync(path, aside);
    if (contentOf(aside) === content) return true;
    linkSync(aside, path);
    return false;
  } catch {
    // Somebody else removed it, or made one.
    return true;
  } finally {
    rmSync(aside, { force: true });
  }
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').slice(0, 1000);
  } catch {
    return undefined;
  }
}

function busy(dir: string, who: string): TraceError {
  return new TraceError('E_HOST_BUSY', 'is being sealed by another command', {
    source: dir,
    got: `process ${who}`,
  });
}
