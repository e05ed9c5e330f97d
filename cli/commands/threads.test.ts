import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importCapture } from '../../collector/import.ts';
import { withCapture } from '../../fixtures/captures.ts';
import { run } from '../run.ts';
import { trace } from '../testing/command-line.ts';

const ROOT = join(import.meta.dirname, '../..');
const COMMANDS = [join(ROOT, 'dist/cli/main.js'), join(ROOT, 'dist/trace.mjs')].filter((path) =>
  existsSync(path),
);
if (COMMANDS.length === 0) console.warn('SKIPPED: two threads of the command line: npm run build makes it');

let work: string;
let dir: string;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'ioreq-trace-threads-'));
  dir = join(work, 'P1');
  await withCapture('P1', (raw) => importCapture([raw], dir, { tool: { name: 'test', version: '0' } }));
});
afterAll(() => {
  rmSync(work, { recursive: true });
});

describe('trace analyze --threads', () => {
  it.each(COMMANDS)('prints with two what it prints with one (%s)', (command) => {
    const analyze = (threads: string): [string, string, number | null] => {
      const { stdout, stderr, status } = spawnSync(
        process.execPath,
        [command, 'analyze', dir, '--by', 'device', '--json', '--threads', threads],
        { encoding: 'utf8' },
      );
      return [stdout, stderr, status];
    };
    const one = analyze('1');
    expect(one[0].length).toBeGreaterThan(10_000);
    expect(one[2]).toBe(0);
    expect(analyze('2')).toEqual(one);
  });

  it('does with one where no second one can be had', async () => {
    const ran = { out: '', err: '' };
    const code = await run(['analyze', dir, '--threads', '2'], {
      stdout: (text) => (ran.out += text),
      stderr: (text) => (ran.err += text),
      stdoutIsTerminal: false,
      stderrIsTerminal: false,
      env: {},
      script: new URL('http://nowhere.invalid/trace.mjs'),
    });
    const plain = await trace('analyze', dir);
    expect({ code, ...ran }).toEqual(plain);
  });

  it('takes 1 or 2', async () => {
    const { code, err } = await trace('analyze', dir, '--threads', '3');
    expect(code).toBe(2);
    expect(err).toContain('expected 1 or 2, got 3');
  });
});
