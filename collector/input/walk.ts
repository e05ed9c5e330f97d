import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TraceError } from '../../trace/errors.ts';
import { MANIFEST_FILE } from '../../trace/manifest.ts';
import { systemReason } from '../../trace/replace-file.ts';

export interface FoundFile {
  path: string;
  size: number;
  /** Named by the user, not met in a directory: what is wrong with it is an error then. */
  named: boolean;
}

/** Symbolic links can make a tree endless. */
const MAX_DEPTH = 32;

/**
 * The regular files of `paths`, directories taken whole, in a fixed order. Throws E_NOT_FOUND, E_UNREADABLE for
 * a path that was named; inside directories such entries become warnings. Pipes, sockets and devices are no
 * captures; trace directories are left out.
 */
export function findFiles(paths: readonly string[], warnings: string[]): FoundFile[] {
  const found = new Map<string, FoundFile>();
  for (const path of paths) {
    const stat = attempt(path, () => statSync(path));
    if (stat.isDirectory()) walk(path, 0, found, warnings, true);
    else if (stat.isFile()) found.set(path, { path, size: stat.size, named: true });
    else
      throw new TraceError('E_UNREADABLE', 'is no regular file', {
        source: path,
        expected: 'a file or directory',
      });
  }
  return [...found.values()];
}

function walk(
  dir: string,
  depth: number,
  found: Map<string, FoundFile>,
  warnings: string[],
  named: boolean,
): void {
  let names: string[];
  try {
    names = attempt(dir, () => readdirSync(dir)).sort(naturally);
  } catch (error) {
    if (named || !(error instanceof TraceError)) throw error;
    warnings.push(error.message);
    return;
  }
  if (names.includes(MANIFEST_FILE) && names.some((name) => /^events-.*\.arrows$/.test(name))) {
    if (named)
      throw new TraceError('E_FOREIGN', 'is an ioreq-trace already', {
        source: dir,
        expected: 'a raw capture',
      });
    warnings.push(`${dir}: is an ioreq-trace; left out`);
    return;
  }
  for (const name of names) {
    const path = join(dir, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) warnings.push(`${path}: a link to nowhere; left out`);
    else if (stat.isFile() && !found.has(path)) found.set(path, { path, size: stat.size, named: false });
    else if (stat.isDirectory() && depth < MAX_DEPTH) walk(path, depth + 1, found, warnings, false);
  }
}

function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    const code = systemReason(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new TraceError('E_NOT_FOUND', 'no such file or directory', { source: path });
    }
    throw new TraceError('E_UNREADABLE', `cannot be read (${code})`, { source: path });
  }
}

/** cpu2 before cpu10, the same on every machine. */
const collator = new Intl.Collator('en', { numeric: true });
function naturally(a: string, b: string): number {
  return collator.compare(a, b) || (a < b ? -1 : 1);
}
