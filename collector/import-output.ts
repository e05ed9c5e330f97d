import { readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join, resolve, sep } from 'node:path';
import { TraceError } from '../trace/errors.ts';
import { MANIFEST_FILE } from '../trace/manifest.ts';
import { systemReason } from '../trace/replace-file.ts';

/** replay.json is what `trace replay` stores beside a recording. */
const TRACE_FILE =
  /^(manifest\.json|\.(manifest|replay)\.json\.\d+\.new|replay\.json|(events|recording)-[a-z0-9-]+\.arrows)$/;

/**
 * Checks that a trace may be written to `dir`. Throws E_EXISTS if something is there that is not an empty
 * directory, or a trace and `force` is not set. True if there is a trace to be replaced.
 */
export function checkOutput(dir: string, force: boolean): boolean {
  let names: string[];
  try {
    const stat = statSync(dir, { throwIfNoEntry: false });
    if (stat === undefined) return false;
    if (!stat.isDirectory()) throw exists(dir, 'a file is there', 'a directory that does not exist yet');
    names = readdirSync(dir);
  } catch (error) {
    if (error instanceof TraceError) throw error;
    throw new TraceError('E_WRITE', `cannot be looked at (${systemReason(error)})`, { source: dir });
  }
  if (names.length === 0) return false;
  if (!isTrace(dir, names))
    throw exists(dir, 'holds something else than a trace', 'a new or empty directory');
  const foreign = names.find((name) => !TRACE_FILE.test(name));
  if (foreign !== undefined)
    throw exists(dir, `holds ${JSON.stringify(foreign)} beside a trace`, 'a trace and nothing else');
  if (!force) throw exists(dir, 'is a trace already', 'a new directory, or --force to replace it');
  return true;
}

/** Removes the trace in `dir`, file by file; nothing else is there, as checkOutput saw. */
export function removeTrace(dir: string): void {
  for (const name of readdirSync(dir)) {
    if (TRACE_FILE.test(name)) rmSync(join(dir, name), { force: true });
  }
}

/** Whether an input lies in the output directory: replacing that would destroy the input. */
export function liesIn(path: string, dir: string): boolean {
  return `${resolve(path)}${sep}`.startsWith(`${resolve(dir)}${sep}`);
}

/** A manifest that says so; one that was cut short counts if its first bytes do. */
function isTrace(dir: string, names: readonly string[]): boolean {
  if (!names.includes(MANIFEST_FILE)) return names.every((name) => TRACE_FILE.test(name));
  const head = readFileSync(join(dir, MANIFEST_FILE)).subarray(0, 200).toString('latin1');
  return /^\s*\{\s*"format"\s*:\s*"ioreq-trace"/.test(head);
}

function exists(dir: string, got: string, expected: string): TraceError {
  return new TraceError('E_EXISTS', 'the output cannot go there', { source: dir, expected, got });
}
