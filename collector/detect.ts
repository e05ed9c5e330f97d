import { TraceError, isTraceError } from '../trace/errors.ts';
import type { AuxFormat } from './host/aux-format.ts';
import { AUX_FORMATS } from './host/index.ts';
import type { ByteSource } from './input/byte-source.ts';
import { FileSource } from './input/file-source.ts';
import { isGzip } from './input/unpack.ts';
import type { UnpackDirectory } from './input/unpack.ts';
import type { FoundFile } from './input/walk.ts';
import { ftracePagesFormat } from './sources/ftrace-pages.ts';
import { LOOSE_FORMATS, RAW_FORMATS } from './sources/index.ts';
import type { RawFormat } from './sources/source.ts';

export interface RawFile {
  /** As the user gave it: what messages and the manifest say. */
  path: string;
  /** Where the bytes are: another file if they had to be unpacked. */
  at: string;
  size: number;
  format: RawFormat;
  /** Damage met while unpacking. */
  error?: TraceError;
}

export interface AuxFile {
  path: string;
  at: string;
  format: AuxFormat;
}

export interface Detected {
  raw: RawFile[];
  aux: AuxFile[];
  /** Files that hold nothing. */
  empty: string[];
  unknown: string[];
}

const HEAD_BYTES = 64 * 1024;

/**
 * Tells what each file is by its content alone. A file that the user named must be of a known format:
 * E_EMPTY, E_FOREIGN, E_UNREADABLE else; of a directory's files those are listed, unreadable ones warned of.
 */
export async function detectFiles(
  files: readonly FoundFile[],
  unpacked: UnpackDirectory,
  warnings: string[],
): Promise<Detected> {
  const detected: Detected = { raw: [], aux: [], empty: [], unknown: [] };
  for (const file of files) {
    try {
      await detectFile(file, unpacked, detected);
    } catch (error) {
      if (file.named || !isTraceError(error) || error.code === 'E_WRITE') throw error;
      warnings.push(error.message);
    }
  }
  adoptSiblings(detected, warnings);
  return detected;
}

async function detectFile(file: FoundFile, unpacked: UnpackDirectory, into: Detected): Promise<void> {
  const { path, named } = file;
  let at = path;
  let size = file.size;
  let damage: TraceError | undefined;
  if (size > 0 && isCompressed(path)) {
    const result = await unpacked.unpack(path);
    at = result.path;
    damage = result.error;
    size = sizeOf(at);
    if (size === 0 && damage !== undefined) throw damage;
  }
  if (size === 0) {
    if (named)
      throw new TraceError('E_EMPTY', 'the file is empty', { source: path, expected: 'a raw capture' });
    into.empty.push(path);
    return;
  }
  const source = new FileSource(at, path);
  try {
    const head = readHead(source);
    const what = recognise(head, source);
    if (what.raw !== undefined) {
      into.raw.push({ path, at, size, format: what.raw, ...(damage === undefined ? {} : { error: damage }) });
    } else if (what.aux !== undefined) into.aux.push({ path, at, format: what.aux });
    else if (named) throw foreign(path, head);
    else into.unknown.push(path);
  } finally {
    source.close();
  }
}

/** What a file is: a raw capture, a file about the host, or (neither) unknown. Never throws on any content. */
export function recognise(head: Uint8Array, input: ByteSource): { raw?: RawFormat; aux?: AuxFormat } {
  const strict = RAW_FORMATS.find((format) => !LOOSE_FORMATS.has(format) && format.sniff(head, input));
  if (strict !== undefined) return { raw: strict };
  const text = new TextDecoder('utf-8').decode(head);
  const lines = head.length === HEAD_BYTES ? text.slice(0, text.lastIndexOf('\n') + 1) : text;
  const aux = AUX_FORMATS.find((format) => format.sniff(lines));
  if (aux !== undefined) return { aux };
  const loose = RAW_FORMATS.find((format) => LOOSE_FORMATS.has(format) && format.sniff(head, input));
  return loose === undefined ? {} : { raw: loose };
}

function readHead(source: ByteSource): Uint8Array {
  const head = new Uint8Array(Math.min(HEAD_BYTES, source.size));
  return head.subarray(0, source.read(0, head));
}

/**
 * Pages of a CPU whose beginning is damaged cannot be told by their content; a file that has the name of
 * another CPU's pages beside it (cpu0.raw, cpu1.raw) is taken for pages, so that the damage is reported.
 */
function adoptSiblings(detected: Detected, warnings: string[]): void {
  const pattern = (path: string): string => path.replace(/\d+/g, '#');
  const pages = new Set(
    detected.raw.filter((file) => file.format === ftracePagesFormat).map((file) => pattern(file.path)),
  );
  const left: string[] = [];
  for (const path of detected.unknown) {
    if (pages.has(pattern(path)) && /\d/.test(path)) {
      warnings.push(`${path}: taken for ftrace pages because of its name; its content is damaged`);
      detected.raw.push({ path, at: path, size: sizeOf(path), format: ftracePagesFormat });
    } else left.push(path);
  }
  detected.unknown = left;
}

function isCompressed(path: string): boolean {
  const source = new FileSource(path);
  try {
    const head = new Uint8Array(4);
    return isGzip(head.subarray(0, source.read(0, head)));
  } finally {
    source.close();
  }
}

function sizeOf(path: string): number {
  const source = new FileSource(path);
  source.close();
  return source.size;
}

function foreign(path: string, head: Uint8Array): TraceError {
  const packed = PACKED.find(({ magic, at = 0 }) => magic.every((byte, i) => head[at + i] === byte));
  if (packed !== undefined) {
    return new TraceError('E_FOREIGN', 'must be unpacked first', {
      source: path,
      expected: 'a raw file, or one compressed with gzip',
      got: packed.name,
    });
  }
  const bytes = Array.from(head.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return new TraceError('E_FOREIGN', 'is of no format that is known', {
    source: path,
    expected: RAW_FORMATS.map((format) => format.name).join(', '),
    got: `a file that begins with ${bytes}`,
  });
}

/** Containers that are not opened, to say what to do. */
const PACKED: readonly { name: string; magic: readonly number[]; at?: number }[] = [
  { name: 'an xz file', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a] },
  { name: 'a zstd file', magic: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: 'a bzip2 file', magic: [0x42, 0x5a, 0x68] },
  { name: 'a zip file', magic: [0x50, 0x4b, 3, 4] },
  { name: 'a tar archive', magic: [0x75, 0x73, 0x74, 0x61, 0x72], at: 257 },
];
