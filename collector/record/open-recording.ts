import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TraceError, isTraceError } from '../../trace/errors.ts';
import { parseRecordingFile } from '../../trace/recording-facts.ts';
import type { ImportResult } from '../import.ts';
import { RAW_FOLDER, RECORDING_FILE, isBeingRecorded, isUnsealed } from './recording-file.ts';
import { holdsNothing, sealEmpty, sealLocked } from './seal.ts';
import { withSealLock } from './seal-lock.ts';

/**
 * Seals the trace of `dir` if its recorder died before it could; undefined if there is nothing to do. Rejects with
 * E_HOST_BUSY while the recorder is at work or another command seals it, and as importCapture does.
 */
export async function sealIfNeeded(
  dir: string,
  tool: { name: string; version: string },
): Promise<ImportResult | undefined> {
  if (!isUnsealed(dir)) return undefined;
  const source = join(dir, RAW_FOLDER, RECORDING_FILE);
  const recording = parseRecordingFile(readFileSync(source, 'utf8'), source);
  if (isBeingRecorded(recording)) {
    throw new TraceError('E_HOST_BUSY', 'is still being recorded', {
      source: dir,
      got: `process ${recording.recorder.pid}`,
    });
  }
  return await withSealLock(dir, async () => {
    // Another command may have just done it.
    if (!isUnsealed(dir)) return undefined;
    try {
      return await sealLocked(dir, { tool, domid: recording.domid });
    } catch (error) {
      if (!isTraceError(error) || !holdsNothing(error)) throw error;
      const manifest = sealEmpty(dir, recording, tool);
      return { dir, manifest, errors: [], warnings: manifest.warnings, interrupted: false };
    }
  });
}
