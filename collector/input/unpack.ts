import { createReadStream, createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { TraceError } from '../../trace/errors.ts';
import { systemReason } from '../../trace/replace-file.ts';

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
