import { inflateSync } from 'node:zlib';
import { decompress as zstdDecompress } from 'fzstd';
import { TraceError } from '../../../trace/errors.ts';

/** Compression of a trace.dat version 7 file, as its header names it. */
export type DatCompression = 'none' | 'zlib' | 'zstd';

/** Unpacks one block to exactly `size` bytes. Throws E_BAD_RECORD for anything else. */
export function inflate(
  algorithm: DatCompression,
  packed: Uint8Array,
  size: number,
  source: string,
  offset: number,
): Uint8Array {
  let got: Uint8Array;
  try {
    if (algorithm === 'zlib') got = inflateSync(packed, { maxOutputLength: size + 1 });
    else if (algorithm === 'zstd') got = unpackZstd(packed, size);
    else got = packed;
  } catch (error) {
    throw new TraceError('E_BAD_RECORD', 'compressed block cannot be unpacked', {
      source,
      offset,
      expected: `${algorithm} data of ${size} bytes`,
      got: error instanceof Error ? error.message : String(error),
    });
  }
  if (got.length !== size) {
    throw new TraceError('E_BAD_RECORD', 'compressed block has another size than it states', {
      source,
      offset,
      expected: `${size} bytes`,
      got: `${got.length}`,
    });
  }
  return got;
}

/**
 * Into a buffer of the stated size, with the frame's own statement checked first: the library would believe
 * whatever the frame says and allocate that much.
 */
function unpackZstd(packed: Uint8Array, size: number): Uint8Array {
  const stated = zstdContentSize(packed);
  if (stated !== undefined && stated !== size) throw new Error(`frame states ${stated} bytes`);
  return zstdDecompress(packed, new Uint8Array(size));
}

/** Frame_Content_Size of a zstd frame (RFC 8878, 3.1.1.1); undefined if it has none. */
function zstdContentSize(packed: Uint8Array): number | undefined {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  if (packed.length < 6 || view.getUint32(0, true) !== 0xfd2fb528) throw new Error('no zstd frame');
  const descriptor = view.getUint8(4);
  const single = (descriptor & 0x20) !== 0;
  const at = 5 + (single ? 0 : 1) + ([0, 1, 2, 4][descriptor & 3] ?? 0);
  const bytes = [single ? 1 : 0, 2, 4, 8][descriptor >>> 6] ?? 0;
  if (bytes === 0) return undefined;
  if (at + bytes > packed.length) throw new Error('frame header is cut');
  if (bytes === 1) return view.getUint8(at);
  if (bytes === 2) return view.getUint16(at, true) + 256;
  if (bytes === 4) return view.getUint32(at, true);
  return Number(view.getBigUint64(at, true));
}
