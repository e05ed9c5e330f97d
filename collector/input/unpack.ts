import {
  closeSync,
  createReadStream,
  createWriteStream,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { constants, createGunzip } from 'node:zlib';
import { TraceError } from '../../trace/errors.ts';
import { systemReason } from '../../trace/replace-file.ts';

const CHUNK_BYTES = 64 * 1024;

/**
 * Writes what a damaged gzip file holds before the damage. A pipeline that fails drops what is on its way; here each
 * piece has come through before the next goes in, and the end of a file that is cut off is an end like another.
 */
async function salvage(path: string, target: string): Promise<void> {
  const gunzip = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
  // The damage itself: it is told of already. zlib never calls back for the write that met it.
  const broken = new Promise<true>((resolve) => {
    gunzip.once('error', () => {
      resolve(true);
    });
    gunzip.once('close', () => {
      resolve(true);
    });
  });
  const ended = new Promise((resolve) => gunzip.once('end', resolve));
  const fd = openSync(target, 'w');
  const input = openSync(path, 'r');
  try {
    gunzip.on('data', (chunk: Buffer) => {
      for (let at = 0; at < chunk.length;) at += writeSync(fd, chunk, at);
    });
    for (let damaged = false; !damaged;) {
      const chunk = Buffer.alloc(CHUNK_BYTES);
      const bytes = readSync(input, chunk);
      if (bytes === 0) {
        gunzip.end();
        await Promise.race([ended, broken]);
        break;
      }
      const taken = new Promise<false>((resolve) => {
        gunzip.write(chunk.subarray(0, bytes), () => {
          resolve(false);
        });
      });
      damaged = await Promise.race([broken, taken]);
      await turn();
    }
  } finally {
    closeSync(input);
    closeSync(fd);
  }
}

export function isGzip(head: Uint8Array): boolean {
  return head.length >= 3 && head[0] === 0x1f && head[1] === 0x8b && head[2] === 8;
}

/** A place for unpacked files; `remove` deletes it with all that is in it. */
export class UnpackDirectory {
  private dir: string | undefined;
  private count = 0;

  /**
   * Unpacks a gzip file in a stream. Damage in it: what came before stays, and `error` tells of it.
   * Throws E_WRITE if the unpacked file cannot be written.
   */
  async unpack(path: string): Promise<{ path: string; error: TraceError | undefined }> {
    this.dir ??= mkdtempSync(join(tmpdir(), 'ioreq-trace-unpack-'));
    const target = join(this.dir, String(this.count++));
    const gunzip = createGunzip();
    try {
      await pipeline(createReadStream(path), gunzip, createWriteStream(target));
      return { path: target, error: undefined };
    } catch (error) {
      const code = systemReason(error);
      if (!code.startsWith('Z_') && code !== 'ERR_PADDING_2') {
        throw new TraceError('E_WRITE', `cannot be unpacked (${code})`, { source: path });
      }
      const truncated = code === 'Z_BUF_ERROR';
      await salvage(path, target);
      return {
        path: target,
        error: new TraceError(
          truncated ? 'E_TRUNCATED' : 'E_BAD_RECORD',
          truncated ? 'the compressed file is cut off' : 'the compressed file is damaged',
          { source: path, offset: gunzip.bytesWritten, expected: 'whole gzip data', got: code },
        ),
      };
    }
  }

  remove(): void {
    if (this.dir !== undefined) rmSync(this.dir, { recursive: true, force: true });
    this.dir = undefined;
  }
}
