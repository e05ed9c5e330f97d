import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { UnpackDirectory } from './unpack.ts';

const work = mkdtempSync(join(tmpdir(), 'ioreq-unpack-'));
const unpacked = new UnpackDirectory();
afterAll(() => {
  unpacked.remove();
  rmSync(work, { recursive: true, force: true });
});

// Some 500 KB that a compressor cannot make nothing of.
const lines = Array.from({ length: 20_000 }, (_, i) => `event ${i} ${(i * 7_919) % 100_003}`).join('\n');
const packed = gzipSync(lines);

async function unpack(bytes: Uint8Array): Promise<{ text: string; code: string | undefined }> {
  const path = join(work, 'a.gz');
  writeFileSync(path, bytes);
  const { path: target, error } = await unpacked.unpack(path);
  return { text: readFileSync(target, 'utf8'), code: error?.code };
}

describe('a gzip file', () => {
  it('is unpacked whole', async () => {
    expect(await unpack(packed)).toEqual({ text: lines, code: undefined });
  });

  it('that is cut off gives all that came before the cut, each time', async () => {
    for (const part of [0.05, 0.3, 0.7, 0.99]) {
      const cut = packed.subarray(0, Math.floor(packed.length * part));
      const first = await unpack(cut);
      expect(first.code).toBe('E_TRUNCATED');
      // The compressor works in blocks: what is in whole ones is there.
      expect(first.text.length).toBeGreaterThan(lines.length * part * 0.5 - 70_000);
      expect(lines.startsWith(first.text)).toBe(true);
      for (let again = 0; again < 5; again++) expect(await unpack(cut)).toEqual(first);
    }
    const last = await unpack(packed.subarray(0, packed.length - 20));
    expect(last.text.length).toBeGreaterThan(lines.length * 0.9);
  });

  it('that is damaged gives what came before, and says so', async () => {
    const damaged = Buffer.from(packed);
    damaged.fill(0xff, packed.length - 2000, packed.length - 1000);
    const { text, code } = await unpack(damaged);
    expect(code).toBe('E_BAD_RECORD');
    expect(lines.startsWith(text.slice(0, 1000))).toBe(true);
  });
});
