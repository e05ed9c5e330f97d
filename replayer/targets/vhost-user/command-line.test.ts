import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startImage } from '../../../fixtures/qemu-virt/disk.ts';
import { backendMissing } from './testing/live.ts';

const ROOT = join(import.meta.dirname, '../../..');
const MANY_FILES = join(ROOT, 'dist/cli/main.js');
const ONE_FILE = join(ROOT, 'dist/trace.mjs');
const RECORDING = join(ROOT, 'fixtures/recordings/blk-modern.jsonl.xz');

const built = existsSync(MANY_FILES) && existsSync(ONE_FILE);
if (!built) console.warn('SKIPPED: vhost-user from the command line: npm run build makes that');

describe.skipIf(!built)('trace replay --model vhost-user', () => {
  let dir: string;
  let work: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'ioreq-trace-vhost-'));
    work = join(dir, 'work');
    mkdirSync(work);
    mkdirSync(join(dir, 'tmp'));
    copyFileSync(ONE_FILE, join(dir, 'trace.mjs'));
    writeFileSync(join(work, 'disk.img'), startImage());
  });
  afterAll(() => {
    rmSync(dir, { recursive: true });
  });

  function replay(main: string, ...args: string[]): { code: number | null; out: string; err: string } {
    const words = [main, 'replay', RECORDING, '--model', 'vhost-user', '--disk', 'disk.img', ...args];
    const env = { ...process.env, TMPDIR: join(dir, 'tmp'), NO_COLOR: '1' };
    const child = spawnSync(process.execPath, words, { cwd: work, env, encoding: 'utf8' });
    expect(readdirSync(join(dir, 'tmp'))).toEqual([]);
    return { code: child.status, out: child.stdout, err: child.stderr };
  }

  it.skipIf(backendMissing() !== undefined)(
    'tells that a recording is equal but for the configuration',
    () => {
      const equal = replay(MANY_FILES, '--ignore', 'config', '-o', 'result.json');
      expect([equal.code, equal.err]).toEqual([0, '']);
      expect(equal.out).toContain('vhost-user (blk 0 by qemu-storage-daemon');
      const differs = replay(MANY_FILES, '-o', 'other.json');
      expect([differs.code, differs.err]).toEqual([1, '']);
      expect(differs.out).toContain('(seg_max): recorded 0x000000fe, got 0x0000007e');
    },
  );

  it('names a back-end that fails', () => {
    const { code, out, err } = replay(MANY_FILES, '--backend', `sh -c 'echo no such device >&2; exit 3'`);
    expect([code, out]).toEqual([7, '']);
    expect(err).toContain('transport 0 (blk): sh ended with exit code 3; it said: no such device');
  });

  it('as one file holds no native code, and says in one line what it needs', () => {
    const text = readFileSync(ONE_FILE, 'utf8');
    expect(text).toMatch(/import\([`'"]koffi[`'"]\)/);
    expect(text).not.toContain('koffi.dev');
    expect(readFileSync(join(ROOT, 'dist/LICENSES.txt'), 'utf8')).not.toContain('\nkoffi ');
    const { code, out, err } = replay(join(dir, 'trace.mjs'));
    expect([code, out]).toEqual([7, '']);
    expect(err).toMatch(/needs the npm package koffi, .*"npm install koffi"/);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
  });
});
