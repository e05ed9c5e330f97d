import { readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { TraceError } from '../../trace/errors.ts';
import type { Manifest } from '../../trace/manifest.ts';
import { FORMAT_VERSION, MANIFEST_FILE } from '../../trace/manifest.ts';
import type { RecordingFile } from '../../trace/recording-facts.ts';
import { howItEnded, recordingFacts } from '../../trace/recording-facts.ts';
import { replaceFile, systemReason } from '../../trace/replace-file.ts';
import { importCapture } from '../import.ts';
import type { ImportOptions, ImportResult } from '../import.ts';
import { RAW_FOLDER } from './recording-file.ts';
import { withSealLock } from './seal-lock.ts';

/** Where the trace is made before it takes its place: a name that no trace file has. */
const SEALING = '.sealing';

type SealOptions = Omit<ImportOptions, 'force'> & { keepRaw?: boolean };

/** sealLocked, while no other command does the same: rejects with E_HOST_BUSY if one does. */
export async function sealRecording(dir: string, options: SealOptions): Promise<ImportResult> {
  return await withSealLock(dir, () => sealLocked(dir, options));
}

/**
 * Turns the raw files of a recording into the trace of its directory: DIR/raw becomes DIR/events-*.arrows and,
 * last of all, DIR/manifest.json, so that a sealing which is cut off can be begun again. The raw files are removed
 * then, unless `keepRaw`. Rejects as importCapture does, and leaves the raw files as they were.
 */
export async function sealLocked(dir: string, options: SealOptions): Promise<ImportResult> {
  const { keepRaw = false, ...rest } = options;
  const raw = join(dir, RAW_FOLDER);
  const made = join(dir, SEALING);
  rmSync(made, { recursive: true, force: true });
  let result: ImportResult;
  try {
    result = await importCapture([raw], made, rest);
  } catch (error) {
    rmSync(made, { recursive: true, force: true });
    throw error;
  }
  if (result.interrupted) {
    rmSync(made, { recursive: true, force: true });
    return { ...result, dir };
  }
  try {
    const names = readdirSync(made).filter((name) => name !== MANIFEST_FILE);
    for (const name of [...names, MANIFEST_FILE]) renameSync(join(made, name), join(dir, name));
    rmSync(made, { recursive: true, force: true });
    if (!keepRaw) rmSync(raw, { recursive: true, force: true });
  } catch (error) {
    throw new TraceError('E_WRITE', `cannot be written (${systemReason(error)})`, { source: dir });
  }
  return { ...result, dir };
}

/** An import's failure that says that not one record is there. */
export function holdsNothing(error: TraceError): boolean {
  return error.code === 'E_FOREIGN' || error.code === 'E_EMPTY' || error.code === 'E_NO_DATA';
}

/** The trace of a recorder that was killed before the first record came: it tells who was to be recorded, and why not. */
export function sealEmpty(
  dir: string,
  recording: RecordingFile,
  tool: { name: string; version: string },
): Manifest {
  const { domid, vcpus, linuxVersion, machine, xenVersion, counterHz } = recording;
  const manifest: Manifest = {
    format: 'ioreq-trace',
    version: FORMAT_VERSION,
    tool,
    created: new Date().toISOString(),
    complete: true,
    ended: howItEnded(recording),
    host: {
      linuxVersion,
      machine,
      ...(xenVersion === undefined ? {} : { xenVersion }),
      ...(counterHz === undefined ? {} : { counterHz }),
    },
    domid,
    vcpus,
    devices: [],
    deviceModels: [],
    tasks: {},
    sources: [],
    unknownFiles: [],
    recording: recordingFacts(recording),
    warnings: [...recording.warnings, 'nothing was recorded before it ended'],
  };
  replaceFile(dir, MANIFEST_FILE, `${JSON.stringify(manifest, null, 1)}\n`);
  rmSync(join(dir, RAW_FOLDER), { recursive: true, force: true });
  return manifest;
}
