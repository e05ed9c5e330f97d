import { TraceError } from '../../trace/errors.ts';
import { MANIFEST_FILE } from '../../trace/manifest.ts';
import type { TraceFiles } from '../../trace/open-files.ts';
import { MAX_MANIFEST_BYTES, notATrace } from '../../trace/open-files.ts';

/** Of workers only, and so not in TypeScript's library of the page: reads while the caller waits. */
declare const FileReaderSync: new () => { readAsArrayBuffer(part: Blob): ArrayBuffer };

/** Bytes that are read at once for the heads of batches, which are small; columns are read as they are. */
const WINDOW = 1 << 14;

/**
 * The files of a trace directory that somebody chose in the browser. They are read piece by piece as the command line
 * reads them: a trace may be larger than memory. `onRead` is told the bytes of each piece.
 */
export function chosenFiles(
  name: string,
  files: readonly File[],
  onRead: (bytes: number) => void,
): TraceFiles {
  const byName = new Map(files.map((file) => [file.name, file]));
  const path = (file: string): string => `${name}/${file}`;
  const bytesOf = (file: File, from: number, to: number): Uint8Array => {
    try {
      const bytes = new Uint8Array(new FileReaderSync().readAsArrayBuffer(file.slice(from, to)));
      onRead(bytes.length);
      return bytes;
    } catch (error) {
      // Taken away, or changed since it was chosen.
      const why = error instanceof Error ? error.name : String(error);
      throw new TraceError('E_UNREADABLE', `cannot be read (${why})`, {
        source: path(file.name),
        offset: from,
      });
    }
  };
  return {
    name,
    path,
    has: (file) => byName.has(file),
    manifest() {
      const file = byName.get(MANIFEST_FILE);
      if (file === undefined) throw notATrace(name, 'a directory without one');
      if (file.size > MAX_MANIFEST_BYTES) throw notATrace(name, `a ${MANIFEST_FILE} of absurd size`);
      return new TextDecoder().decode(bytesOf(file, 0, file.size));
    },
    open(wanted) {
      const file = byName.get(wanted);
      if (file === undefined) return undefined;
      let [at, window] = [0, new Uint8Array(0)];
      return {
        name: path(wanted),
        size: file.size,
        read(offset, into) {
          const end = Math.min(file.size, offset + into.length);
          if (end <= offset) return 0;
          if (into.length >= WINDOW) {
            into.set(bytesOf(file, offset, end));
            return end - offset;
          }
          if (offset < at || end > at + window.length) {
            at = offset;
            window = bytesOf(file, at, Math.min(file.size, at + WINDOW)) as Uint8Array<ArrayBuffer>;
          }
          into.set(window.subarray(offset - at, end - at));
          return end - offset;
        },
        close: () => undefined,
      };
    },
  };
}
