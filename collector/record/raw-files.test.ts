import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { isTraceError } from '../../trace/errors.ts';
import { makeOutput, removeIfEmpty } from './output.ts';
import { RawFiles } from './raw-files.ts';

const work = mkdtempSync(join(tmpdir(), 'ioreq-raw-'));
afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

function failure(act: () => void): string {
  try {
    act();
    return 'done';
  } catch (error) {
    return isTraceError(error) ? `${error.code} ${error.message}` : `not a TraceError: ${String(error)}`;
  }
}

describe('the raw files of a recording', () => {
  it('are written as they come', () => {
    const files = new RawFiles(join(work, 'a/raw'));
    files.append('cpu0.raw', Buffer.from('one'));
    // On the disk at once, so that nothing is lost with the recorder.
    expect(readFileSync(join(files.dir, 'cpu0.raw'), 'utf8')).toBe('one');
    files.append('cpu1.raw', Buffer.from('two'));
    files.append('cpu0.raw', Buffer.alloc(3 << 20, 'x'));
    files.text('tracefs/events/sched/sched_switch/format', 'name: sched_switch\n');
    files.text('trace_clock.txt', 'a');
    files.text('trace_clock.txt', 'mono_raw');
    expect(readFileSync(join(files.dir, 'cpu0.raw')).length).toBe(3 + (3 << 20));
    expect(readFileSync(join(files.dir, 'tracefs/events/sched/sched_switch/format'), 'utf8')).toBe(
      'name: sched_switch\n',
    );
    expect(readFileSync(join(files.dir, 'trace_clock.txt'), 'utf8')).toBe('mono_raw');
    expect([files.totalBytes, files.bytes.get('cpu1.raw')]).toEqual([6 + (3 << 20), 3]);
    files.close();
    files.append('cpu1.raw', Buffer.from('!'));
    expect(readFileSync(join(files.dir, 'cpu1.raw'), 'utf8')).toBe('two!');
    files.close();
  });

  it('say where and why they cannot be written', () => {
    const full = new RawFiles('/dev');
    expect(
      failure(() => {
        full.append('full', Buffer.alloc(10));
      }),
    ).toBe('E_WRITE /dev/full: cannot be written (ENOSPC)');
    expect(full.totalBytes).toBe(0);
    full.close();
    writeFileSync(join(work, 'file'), '');
    expect(failure(() => new RawFiles(join(work, 'file/raw')))).toMatch(
      /^E_WRITE .*file\/raw: .*\(ENOTDIR\)$/,
    );
    const files = new RawFiles(join(work, 'b'));
    expect(
      failure(() => {
        files.text('x'.repeat(300), '');
      }),
    ).toMatch(/^E_WRITE .*\(ENAMETOOLONG\)$/);
  });

  it('tell when the disk has only room for sealing', () => {
    const files = new RawFiles(join(work, 'c'));
    expect(files.nearlyFull).toBe(false);
    files.bytes.set('cpu0.raw', 2 ** 60);
    expect(files.nearlyFull).toBe(true);
    rmSync(files.dir, { recursive: true });
    expect(files.nearlyFull).toBe(false);
  });
});

describe('the output directory', () => {
  it('is new or empty, and goes again if nothing was put there', () => {
    const dir = join(work, 'd/e');
    makeOutput(dir);
    makeOutput(dir);
    writeFileSync(join(dir, 'x'), '');
    expect(
      failure(() => {
        makeOutput(dir);
      }),
    ).toBe(
      `E_EXISTS ${dir}: the output cannot go there; expected a new or empty directory, got one that holds something`,
    );
    removeIfEmpty(dir);
    expect(existsSync(dir)).toBe(true);
    rmSync(join(dir, 'x'));
    removeIfEmpty(dir);
    expect(existsSync(dir)).toBe(false);
    expect(
      failure(() => {
        makeOutput(join(work, 'file'));
      }),
    ).toMatch(/^E_WRITE .*ENOTDIR/);
  });
});
