import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeSmallTrace } from '../../fixtures/small-trace.ts';
import { recordedScenario } from '../../fixtures/qemu-virt/recordings.ts';
import { backendMissing } from '../../replayer/targets/vhost-user/testing/live.ts';
import { qemuMissing } from '../../devices/testing/qtest.ts';
import type { ReplayResult } from '../../replayer/result.ts';
import { trace } from '../testing/command-line.ts';

const NAME = 'blk-modern';
const work = mkdtempSync(join(tmpdir(), 'ioreq-trace-replay-'));
const file = join(work, 'rec.jsonl');
const disk = join(work, 'start.img');
const dir = join(work, 'rec.trace');

beforeAll(async () => {
  const { jsonl, disks } = recordedScenario(NAME);
  writeFileSync(file, jsonl);
  writeFileSync(disk, disks.get(0)!);
  expect((await trace('import', file, '-o', dir)).code).toBe(0);
});
afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

/** The recording with one used length changed: the step, and the file. */
function spoilt(): { step: number; path: string } {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  const at = lines.findIndex(
    (line, i) => i > 300 && line.startsWith('{"t":"X"') && line.includes('"len":1,'),
  );
  lines[at] = lines[at]!.replace('"len":1,', '"len":2,');
  const path = join(work, 'spoilt.jsonl');
  writeFileSync(path, `${lines.join('\n')}\n`);
  return { step: (JSON.parse(lines[at]) as { i: number }).i, path };
}

describe('trace replay', () => {
  it('replays a trace, tells of it and keeps the result beside it', async () => {
    const { code, out, err } = await trace('replay', dir, '--disk', disk, '--runs', '3');
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/^EQUAL: everything that was recorded came out again\n/);
    expect(out).toContain('level: rings and memory');
    expect(out).toMatch(/3 runs of .* hashes: all the same/);
    const stored = JSON.parse(readFileSync(join(dir, 'replay.json'), 'utf8')) as ReplayResult;
    expect(stored).toMatchObject({
      format: 'ioreq-trace-replay',
      version: 1,
      equal: true,
      recording: { source: 'rec' },
      tool: { name: 'ioreq-trace' },
    });
    // The trace is one still, and can be replaced.
    expect((await trace('info', dir)).code).toBe(0);
    expect((await trace('import', '-f', file, '-o', dir)).code).toBe(0);
    expect(existsSync(join(dir, 'replay.json'))).toBe(false);
  });

  it('takes a file as it is, packed too, and prints JSON', async () => {
    const packed = join(work, 'rec.jsonl.gz');
    writeFileSync(packed, gzipSync(readFileSync(file)));
    const kept = join(work, 'result.json');
    const { code, out } = await trace('replay', packed, '--disk', `0=${disk}`, '--json', '-o', kept);
    expect(code).toBe(0);
    expect((JSON.parse(out) as ReplayResult).proven).toBe(true);
    expect(readFileSync(kept, 'utf8')).toBe(out);
  });

  it('ends with 1 where something differs, and shows where', async () => {
    const { step, path } = spoilt();
    const { code, out } = await trace('replay', path, '--disk', disk);
    expect(code).toBe(1);
    expect(out).toMatch(/^DIFFERS: 1 difference\n/);
    expect(out).toMatch(
      new RegExp(`step ${step}: blk 0: queue 0, used element \\d+ .*, len: recorded 2, got 1`),
    );
  });

  it('shows the bytes around a wrong byte of the start image', async () => {
    const image = readFileSync(disk);
    image[3]! ^= 0x80;
    const other = join(work, 'other.img');
    writeFileSync(other, image);
    const { code, out } = await trace('replay', dir, '--disk', other);
    expect(code).toBe(1);
    expect(out).toMatch(/byte 3 at 0x[0-9a-f]+: recorded 0x[0-9a-f]{2}, got 0x/);
    expect(out).toMatch(/ 1 of [\d,]+ bytes differ\n {4}0x[0-9a-f]{8} {2}recorded {2}([0-9a-f]{2} ){15}/);
  });

  it('shrinks a recording that differs to one that still does, as a trace', async () => {
    const { step, path } = spoilt();
    const out = join(work, 'short.trace');
    const shrunk = await trace(
      'replay',
      path,
      '--disk',
      disk,
      '--minimise',
      'divergence',
      '-o',
      out,
      '--limit',
      '40',
    );
    expect([shrunk.code, shrunk.err]).toEqual([0, '']);
    const [, left, all] = /^([\d,]+) of ([\d,]+) records remain/
      .exec(shrunk.out)!
      .map((n) => Number(n.replace(',', '')));
    expect(left!).toBeLessThan(all!);
    const again = await trace('replay', out, '--disk', disk);
    expect(again.code).toBe(1);
    expect(again.out).toContain(`step ${step}: `);
  });

  it('shrinks by the word of a script', async () => {
    const out = join(work, 'notify.jsonl');
    const predicate = `cmd:f() { grep -c '"t":"U"\\|"t":"N"' "$1" >/dev/null; }; f`;
    const { code } = await trace(
      'replay',
      file,
      '--disk',
      disk,
      '--minimise',
      predicate,
      '-o',
      out,
      '--limit',
      '60',
    );
    expect(code).toBe(0);
    expect(readFileSync(out, 'utf8')).toMatch(/"t":"[NU]"/);
    const never = await trace('replay', file, '--disk', disk, '--minimise', 'cmd:false');
    expect([never.code, never.err]).toEqual([3, expect.stringContaining('does not show it: cmd:false')]);
  });

  it('runs the commands of a script at a stop', async () => {
    const script = join(work, 'script.txt');
    writeFileSync(script, 'finish\n');
    const { code, err } = await trace('replay', dir, '--disk', disk, '--script', script);
    expect([code, err]).toEqual([0, '']);
  });

  it.each([
    [['--model', 'quantum'], 2, 'quantum'],
    [['--ignore', 'sky'], 2, 'unknown policy of --ignore'],
    [['--qemu', 'x'], 2, '--qemu goes with --model qemu'],
    [['--minimise', 'boredom'], 2, 'unknown predicate'],
    [['--end', '7=/dev/null'], 2, 'transport 7 of the recording has no disk'],
    [['--disk', '0=/nonexistent/image'], 4, 'no such file'],
    [['--source', 'moon'], 3, 'no source moon'],
  ])('%j ends with %i', async (args, code, words) => {
    const disks = args[0] === '--disk' ? [] : ['--disk', disk];
    const ran = await trace('replay', dir, ...disks, ...args);
    expect([ran.code, ran.out]).toEqual([code, '']);
    expect(ran.err).toContain(words);
    expect(ran.err.trimEnd().split('\n').length).toBe(1);
  });

  it('replays the registers of a trace that was not recorded for it', async () => {
    const raw = mkdtempSync(join(work, 'raw-'));
    const capture = new URL('../../fixtures/captures/P1.tar.gz', import.meta.url).pathname;
    execFileSync('tar', ['xf', capture, '-C', raw]);
    const ordinary = join(work, 'P1.trace');
    expect((await trace('import', raw, '-o', ordinary)).code).toBe(0);
    const { code, out, err } = await trace('replay', ordinary);
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/^EQUAL in all that was compared; not proven/);
    expect(out).toContain('9 register reads compared, 116 register writes fed\n');
    expect(out).toContain('not replayed: 44 answers that only the host knew');
    const stored = JSON.parse(readFileSync(join(ordinary, 'replay.json'), 'utf8')) as ReplayResult;
    expect(stored).toMatchObject({ level: 'registers', proven: false, recording: { source: 'dom0' } });
    const end = await trace('replay', ordinary, '--end', disk);
    expect([end.code, end.err]).toEqual([2, expect.stringContaining('E_USAGE: --end: without guest memory')]);
  });

  it('says what a replay lacks', async () => {
    expect(await trace('replay', dir)).toMatchObject({
      code: 3,
      out: '',
      err: expect.stringMatching(/E_NOT_REPLAYABLE: the disk of transport 0/) as string,
    });
    const events = join(work, 'events.trace');
    writeSmallTrace(events, [100]);
    const without = await trace('replay', events);
    expect([without.code, without.err]).toEqual([
      3,
      expect.stringContaining('holds no recording of accesses'),
    ]);
    const damaged = join(work, 'damaged.trace');
    expect((await trace('import', file, '-o', damaged)).code).toBe(0);
    truncateSync(join(damaged, 'recording-rec.arrows'), 200_000);
    expect(await trace('replay', damaged, '--disk', disk)).toMatchObject({
      code: 3,
      err: expect.stringMatching(/E_TRACE_DAMAGED/) as string,
    });
    const cut = join(work, 'cut.jsonl');
    writeFileSync(cut, readFileSync(file).subarray(0, 100_000));
    expect(await trace('replay', cut, '--disk', disk)).toMatchObject({
      code: 3,
      err: expect.stringMatching(/E_TRUNCATED/) as string,
    });
    expect(await trace('replay', disk)).toMatchObject({
      code: 3,
      err: expect.stringMatching(/E_FOREIGN/) as string,
    });
    expect(await trace('replay', join(work, 'nowhere'))).toMatchObject({
      code: 4,
      err: expect.stringMatching(/E_NOT_FOUND/) as string,
    });
  });
});

describe.skipIf(qemuMissing() !== undefined)('trace replay --model qemu', () => {
  it('replays into a stock QEMU', async () => {
    const console = join(work, 'console.jsonl');
    writeFileSync(console, recordedScenario('console-modern').jsonl);
    const { code, out, err } = await trace('replay', console, '--model', 'qemu');
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain(', into QEMU ');
  }, 60_000);

  it('says that there is no such QEMU', async () => {
    const { code, err } = await trace(
      'replay',
      dir,
      '--disk',
      disk,
      '--model',
      'qemu',
      '--qemu',
      '/nonexistent/qemu',
    );
    expect([code, err]).toEqual([7, expect.stringContaining('E_TARGET')]);
  }, 60_000);
});

describe.skipIf(backendMissing() !== undefined)('trace replay --model vhost-user', () => {
  it('replays into a back-end', async () => {
    const ran = await trace('replay', dir, '--disk', disk, '--model', 'vhost-user', '--ignore', 'config');
    expect([ran.code, ran.err]).toEqual([0, '']);
    expect(ran.out).toContain('into vhost-user (blk 0 by qemu-storage-daemon');
  }, 60_000);
});
