import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { qemuMissing } from '../../devices/testing/qtest.ts';
import { hostileGpu } from '../../replayer/testing/hostile-gpu.ts';
import { trace } from '../testing/command-line.ts';

const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-crash-'));
afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

/** Commands (le32 at the begin of what the device reads) that a recording holds, in order. */
function commandsOf(file: string): number[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => /"why":"out","b":"([^"]*)"/.exec(line)?.[1] ?? [])
    .map((bytes) => Buffer.from(bytes, 'base64').readUInt32LE());
}

const CREATE = 0x101;
const TRANSFER = 0x105;
const ATTACH = 0x106;

const ASSERTION = /SIGABRT.*Assertion `offset == 0' failed/s;

const KEPT = join(import.meta.dirname, '../../fixtures/crashes/qemu-gpu-transfer-beyond-backing.jsonl');
const missing = qemuMissing() !== undefined;
if (missing) console.warn('SKIPPED: recordings that end QEMU, because it is not installed');

describe.skipIf(missing)('a guest that ends Debian bookworm’s QEMU', () => {
  it('does so with three commands, which is what remained of a hundred', async (context) => {
    expect(commandsOf(KEPT)).toEqual([CREATE, ATTACH, TRANSFER]);
    const { code, out, err } = await trace('replay', KEPT, '--model', 'qemu', '--timeout', '500ms');
    if (err === '') {
      console.warn(`SKIPPED: this QEMU lives through it: ${out}`);
      context.skip();
    }
    expect(code).not.toBe(0);
    expect(err).toMatch(ASSERTION);
  });
});

describe('minimising a crash', () => {
  it.skipIf(missing)(
    'leaves a recording that ends QEMU in the same way, alone',
    async (context) => {
      const file = join(work, 'whole.jsonl');
      writeFileSync(file, hostileGpu(1, 80));
      const whole = await trace('replay', file, '--model', 'qemu');
      if (!whole.err.includes('Assertion')) {
        console.warn(`SKIPPED: QEMU lives through what ended Debian bookworm's: ${whole.out}${whole.err}`);
        context.skip();
      }
      expect(whole.err).toMatch(ASSERTION);
      const short = join(work, 'short.jsonl');
      const flags = ['--timeout', '150ms', '--limit', '14', '--minimise', 'crash', '-o', short];
      const found = await trace('replay', file, '--model', 'qemu', ...flags);
      expect([found.code, found.err]).toEqual([0, '']);
      expect(found.out).toContain('14 recordings tried: the limit; --limit tries more');
      // Of more commands than these, some went; those that are needed did not.
      const [before, after] = [commandsOf(file), commandsOf(short)];
      expect(after.length).toBeLessThan(before.length);
      expect([CREATE, ATTACH].every((needed) => after.includes(needed))).toBe(true);
      expect(after.at(-1)).toBe(TRANSFER);
      const alone = await trace('replay', short, '--model', 'qemu');
      expect(alone.err).toMatch(ASSERTION);
    },
    60_000,
  );
});
