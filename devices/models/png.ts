/** Longest stored block of a deflate stream (RFC 1951, 3.2.4). */
const MOST_STORED = 0xffff;

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = (c & 1) === 1 ? 0xedb8_8320 ^ (c >>> 1) : c >>> 1;
  return c;
});

/**
 * An image as PNG: 8-bit RGB, no filter. `rgb` has 3 bytes a pixel, row by row. Without `deflate` (a zlib
 * stream of the bytes: node:zlib's deflateSync) the data is stored uncompressed.
 */
export function png(
  width: number,
  height: number,
  rgb: Uint8Array,
  deflate: (bytes: Uint8Array) => Uint8Array = stored,
): Uint8Array {
  const rows = new Uint8Array((1 + 3 * width) * height);
  for (let y = 0; y < height; y++)
    rows.set(rgb.subarray(3 * width * y, 3 * width * (y + 1)), (1 + 3 * width) * y + 1);
  const header = new Uint8Array(13);
  const words = new DataView(header.buffer);
  words.setUint32(0, width);
  words.setUint32(4, height);
  header.set([8, 2, 0, 0, 0], 8);
  return join([
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk('IHDR', header),
    chunk('IDAT', deflate(rows)),
    chunk('IEND', new Uint8Array(0)),
  ]);
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  const words = new DataView(bytes.buffer);
  words.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = type.charCodeAt(i);
  bytes.set(data, 8);
  let crc = 0xffff_ffff;
  for (let i = 4; i < 8 + data.length; i++) crc = CRC[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  words.setUint32(8 + data.length, ~crc >>> 0);
  return bytes;
}

/** A zlib stream (RFC 1950) of stored blocks. */
function stored(data: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(0x78, 0x01)];
  for (let at = 0; at === 0 || at < data.length; at += MOST_STORED) {
    const block = data.subarray(at, at + MOST_STORED);
    const { length } = block;
    const last = at + length >= data.length ? 1 : 0;
    parts.push(Uint8Array.of(last, length & 255, length >> 8, ~length & 255, (~length >> 8) & 255), block);
  }
  let a = 1;
  let b = 0;
  for (const byte of data) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  parts.push(Uint8Array.of(b >> 8, b & 255, a >> 8, a & 255));
  return join(parts);
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
