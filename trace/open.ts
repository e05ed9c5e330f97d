import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TraceError } from './errors.ts';
import { MANIFEST_FILE } from './manifest.ts';
import type { OpenTrace as OpenFiles, TraceFile, TraceFiles } from './open-files.ts';
import { MAX_MANIFEST_BYTES, notATrace, openFiles } from './open-files.ts';
import { systemReason } from './replace-file.ts';
import { UPGRADERS } from './upgrade/index.ts';
import type { Upgrader } from './upgrade/upgrade.ts';

export interface OpenTrace extends OpenFiles {
  readonly dir: string;
}

/** Opens a trace directory; throws E_NOT_FOUND, E_UNREADABLE, E_FOREIGN (no trace directory), and as openFiles. */
export function openTrace(dir: string, upgraders: readonly Upgrader[] = UPGRADERS): OpenTrace {
  return { ...openFiles(traceDirectory(dir), upgraders), dir };
}

/** The files of a trace directory. */
export function traceDirectory(dir: string): TraceFiles {
  const path = (file: string): string => join(dir, file);
  return {
    name: dir,
    path,
    manifest: () => readManifest(dir),
    open: (file) => openInput(path(file)),
    has: (file) => statSync(path(file), { throwIfNoEntry: false }) !== undefined,
  };
}

function readManifest(dir: string): string {
  const file = join(dir, MANIFEST_FILE);
  try {
    if (!statSync(dir).isDirectory()) throw notATrace(dir, 'a file');
    const stat = statSync(file);
    if (!stat.isFile()) throw notATrace(dir, `a ${MANIFEST_FILE} that is no file`);
    if (stat.size > MAX_MANIFEST_BYTES) throw notATrace(dir, `a ${MANIFEST_FILE} of absurd size`);
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof TraceError) throw error;
    const code = systemReason(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') {
      throw new TraceError('E_UNREADABLE', `cannot be read (${code})`, { source: file });
    }
    if (statSync(dir, { throwIfNoEntry: false }) === undefined) {
      throw new TraceError('E_NOT_FOUND', 'no such trace', { source: dir });
    }
    throw notATrace(dir, 'a directory without one');
  }
}

/** undefined if the file does not exist; throws E_UNREADABLE. */
function openInput(path: string): TraceFile | undefined {
  let fd: number;
  try {
    // A pipe of that name would block the opening for ever.
    if (!statSync(path).isFile())
      throw Object.assign(new Error('no regular file'), { code: 'no regular file' });
    fd = openSync(path, 'r');
  } catch (error) {
    const code = systemReason(error);
    if (code === 'ENOENT') return undefined;
    throw new TraceError('E_UNREADABLE', `cannot be opened (${code})`, { source: path });
  }
  return {
    name: path,
    size: fstatSync(fd).size,
    read(offset, into) {
      let done = 0;
      try {
        for (let got = 1; done < into.length && got > 0; done += got) {
          got = readSync(fd, into, done, into.length - done, offset + done);
        }
      } catch (error) {
        throw new TraceError('E_UNREADABLE', `cannot be read (${systemReason(error)})`, {
          source: path,
          offset: offset + done,
        });
      }
      return done;
    },
    close() {
      closeSync(fd);
    },
  };
}
