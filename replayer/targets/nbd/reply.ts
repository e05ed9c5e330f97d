import * as nbd from './protocol.ts';

/** The answer to a request: parts that are sent one after the other, each in one piece. */
export type Reply = readonly Buffer[];

/** Chunks without meaning in front of the last one. */
const SPARE = 4;

/**
 * A simple reply, or a structured one with spare chunks.
 *
 * QEMU's client (block/nbd.c) ends a request only when it has taken the lock of its receiver once more, and another
 * request of it may hold that lock until the next reply comes. A server that answers as it goes does not see
 * this; one that holds replies back waits forever for a request to end that it has answered. So the answer comes
 * in several chunks, in one piece: whoever holds the lock reads the next one and passes the lock on.
 */
export function reply(
  structured: boolean,
  handle: Buffer,
  error: number,
  data?: { offset: number; bytes: Uint8Array },
): Reply {
  if (!structured) {
    const head = Buffer.alloc(16);
    head.writeUInt32BE(nbd.NBD_REPLY_MAGIC, 0);
    head.writeUInt32BE(error, 4);
    head.set(handle, 8);
    return error !== 0 || data === undefined ? [head] : [Buffer.concat([head, data.bytes])];
  }
  if (error !== 0) {
    const payload = Buffer.alloc(6);
    payload.writeUInt32BE(error);
    return [chunk(handle, nbd.NBD_CHUNK.ERROR, payload, true)];
  }
  const done = chunk(handle, nbd.NBD_CHUNK.NONE, NOTHING, true);
  if (data === undefined) {
    const spare = chunk(handle, nbd.NBD_CHUNK.OFFSET_HOLE, NOTHING, false);
    return [Buffer.concat([...new Array<Buffer>(SPARE).fill(spare), done])];
  }
  const part = (bytes: Uint8Array): Buffer => {
    const place = Buffer.alloc(8);
    place.writeBigUInt64BE(BigInt(data.offset));
    return chunk(handle, nbd.NBD_CHUNK.OFFSET_DATA, Buffer.concat([place, bytes]), false);
  };
  const first = part(data.bytes.subarray(0, 1));
  return [part(data.bytes), Buffer.concat([...new Array<Buffer>(SPARE).fill(first), done])];
}

const NOTHING = Buffer.alloc(0);

function chunk(handle: Buffer, type: number, payload: Buffer, done: boolean): Buffer {
  const head = Buffer.alloc(20);
  head.writeUInt32BE(nbd.NBD_STRUCTURED_REPLY_MAGIC, 0);
  head.writeUInt16BE(done ? nbd.NBD_REPLY_FLAG_DONE : 0, 4);
  head.writeUInt16BE(type, 6);
  head.set(handle, 8);
  head.writeUInt32BE(payload.length, 16);
  return Buffer.concat([head, payload]);
}
