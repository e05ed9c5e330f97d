import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { MemorySource } from '../../collector/input/byte-source.ts';
import { AccessJsonlDecoder } from '../../collector/sources/access-jsonl.ts';
import { EventBatch } from '../../trace/columns.ts';
import type { RecordingBatch } from '../../trace/recording.ts';

/** Recordings of real device models beside the repository. */
const SHARED = join(import.meta.dirname, '../../../shared/captures');

/** False, and a line that says so, where the shared recordings are not. */
export function sharedPresent(name: string): boolean {
  const present = existsSync(join(SHARED, `${name}.xz`));
  if (!present) console.warn(`SKIPPED: replay of ${name}, because it is not on this machine`);
  return present;
}

export function shared(name: string): Buffer {
  return unxz(join(SHARED, `${name}.xz`));
}

export function unxz(path: string): Buffer {
  return execFileSync('xz', ['-dc', path], { maxBuffer: 1 << 29 });
}

/** The rows of JSON lines. Throws the decoder's error if there is one. */
export function batchesOf(jsonl: Uint8Array | string): RecordingBatch[] {
  const batches: RecordingBatch[] = [];
  const bytes = typeof jsonl === 'string' ? new TextEncoder().encode(jsonl) : jsonl;
  const decoder = new AccessJsonlDecoder(new MemorySource('recording.jsonl', bytes), {
    recording: (batch) => batches.push(batch),
  });
  const out = new EventBatch(4096);
  while (decoder.fill(out)) out.clear();
  const [error] = decoder.report.errors;
  if (error !== undefined) throw error;
  return batches;
}
