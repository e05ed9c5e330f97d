import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateScenario } from '../../fixtures/scenario/index.ts';
import { thisHost, switchPlan } from '../../fixtures/this-host.ts';
import { isTraceError } from '../../trace/errors.ts';
import { openTrace } from '../../trace/open.ts';
import type { RecordingFile } from '../../trace/recording-facts.ts';
import { sealIfNeeded } from './open-recording.ts';
import { describeRecording, isUnsealed, writeRecording } from './recording-file.ts';
import { sealRecording } from './seal.ts';

const TOOL = { name: 'ioreq-trace', version: '0' };
const work = mkdtempSync(join(tmpdir(), 'ioreq-seal-'));
const pristine = join(work, 'pristine');
let facts: RecordingFile;

beforeAll(() => {
  generateScenario({ seed: 3, ioreqs: 60, domid: 5 }, join(pristine, 'raw'));
  const view = thisHost();
  view.domain.domid = 5;
  facts = { ...describeRecording(view, switchPlan(), [], TOOL), state: 'duration' };
  writeRecording(join(pristine, 'raw'), facts);
}, 60_000);
afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

let count = 0;
/** A recording that is over and not sealed. */
function unsealed(changes: Partial<RecordingFile> = {}): string {
  const dir = join(work, `r${count++}`);
  cpSync(pristine, dir, { recursive: true });
  writeRecording(join(dir, 'raw'), { ...facts, ...changes });
  return dir;
}

async function failure(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return isTraceError(error) ? `${error.code} ${error.message}` : `not a TraceError: ${String(error)}`;
}

function rowsOf(dir: string): number[] {
  const { manifest } = openTrace(dir);
  expect(manifest.complete).toBe(true);
  return manifest.sources.map(({ rows }) => rows);
}

describe('sealing', () => {
  it('makes the trace in its place and takes the raw files away', async () => {
    const dir = unsealed();
    expect(isUnsealed(dir)).toBe(true);
    const { manifest, dir: where, interrupted } = await sealRecording(dir, { tool: TOOL });
    expect([where, interrupted, manifest.domid]).toEqual([dir, false, 5]);
    expect(isUnsealed(dir)).toBe(false);
    expect(readdirSync(dir).filter((name) => name === 'raw' || name.startsWith('.'))).toEqual([]);
    expect(Math.min(...rowsOf(dir))).toBeGreaterThan(0);
    const { recording, ended } = openTrace(dir).manifest;
    expect([recording?.state, ended]).toEqual(['duration', 'the time asked for was over']);
  });

  it('makes an empty trace of a recorder that was killed before the first record', async () => {
    const dir = join(work, 'nothing');
    mkdirSync(join(dir, 'raw'), { recursive: true });
    writeRecording(join(dir, 'raw'), {
      ...facts,
      state: 'running',
      recorder: { pid: 1, start: '', machine: '' },
    });
    const sealed = await sealIfNeeded(dir, TOOL);
    expect(sealed?.warnings).toEqual(['nothing was recorded before it ended']);
    expect(rowsOf(dir)).toEqual([]);
    expect(openTrace(dir).manifest.ended).toBe('the recorder died before it could seal the trace');
    expect(readdirSync(dir)).toEqual(['manifest.json']);
  });

  it('that was cut off at any rename is done by the next who opens it', async () => {
    const whole = unsealed();
    await sealRecording(whole, { tool: TOOL, keepRaw: true });
    expect(existsSync(join(whole, 'raw/recording.json'))).toBe(true);
    const rows = rowsOf(whole);
    const names = readdirSync(whole).filter((name) => name !== 'raw' && name !== 'manifest.json');
    expect(names.length).toBeGreaterThan(2);
    for (let moved = 0; moved <= names.length; moved++) {
      const dir = join(work, `cut${moved}`);
      cpSync(whole, dir, { recursive: true });
      mkdirSync(join(dir, '.sealing'));
      for (const name of [...names.slice(moved), 'manifest.json']) {
        renameSync(join(dir, name), join(dir, '.sealing', name));
      }
      expect(isUnsealed(dir)).toBe(true);
      const sealed = await sealIfNeeded(dir, TOOL);
      expect(sealed?.interrupted).toBe(false);
      expect(rowsOf(dir)).toEqual(rows);
      expect(readdirSync(dir).sort()).toEqual([...names, 'manifest.json'].sort());
    }
    // Behind the last rename the trace is whole, though the raw files stand.
    expect(await sealIfNeeded(whole, TOOL)).toBeUndefined();
  });

  it('keeps the raw files until the manifest stands', async () => {
    const dir = unsealed();
    const raw = readdirSync(join(dir, 'raw'));
    mkdirSync(join(dir, 'manifest.json/in-the-way'), { recursive: true });
    expect(await failure(sealRecording(dir, { tool: TOOL }))).toMatch(
      /^E_WRITE .*: cannot be written \(E\w+\)$/,
    );
    expect(readdirSync(join(dir, 'raw'))).toEqual(raw);
    rmSync(join(dir, 'manifest.json'), { recursive: true });
    await sealRecording(dir, { tool: TOOL });
    expect(existsSync(join(dir, 'raw'))).toBe(false);
  });

  it('can be stopped and done later', async () => {
    const dir = unsealed();
    const stop = new AbortController();
    const { interrupted } = await sealRecording(dir, {
      tool: TOOL,
      signal: stop.signal,
      progress: () => {
        stop.abort();
      },
    });
    expect(interrupted).toBe(true);
    expect(readdirSync(dir)).toEqual(['raw']);
    await sealIfNeeded(dir, TOOL);
    expect(Math.min(...rowsOf(dir))).toBeGreaterThan(0);
  });

  it('leaves the raw files where they hold nothing', async () => {
    const dir = join(work, 'empty');
    mkdirSync(join(dir, 'raw'), { recursive: true });
    writeRecording(join(dir, 'raw'), facts);
    expect(await failure(sealRecording(dir, { tool: TOOL }))).toMatch(/^E_FOREIGN .*no raw capture/);
    expect(readdirSync(dir)).toEqual(['raw']);
  });
});

describe('opening a recording that was never sealed', () => {
  const mine = (): RecordingFile['recorder'] => facts.recorder;

  it('is refused while its recorder records, or seals it', async () => {
    const dir = unsealed({ state: 'running' });
    expect(await failure(sealIfNeeded(dir, TOOL))).toBe(
      `E_HOST_BUSY ${dir}: is still being recorded; got process ${process.pid}`,
    );
    const other = spawn('sleep', ['60']);
    try {
      const stat = readFileSync(`/proc/${other.pid}/stat`, 'latin1');
      const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]!;
      for (const state of ['running', 'duration'] as const) {
        const busy = unsealed({ state, recorder: { pid: other.pid!, start, machine: hostname() } });
        expect(await failure(sealIfNeeded(busy, TOOL))).toMatch(/^E_HOST_BUSY /);
        expect(readdirSync(busy)).toEqual(['raw']);
      }
    } finally {
      other.kill('SIGKILL');
    }
  });

  it.each<[string, () => RecordingFile['recorder']]>([
    ['is dead', () => ({ ...mine(), pid: 2 ** 22 + 5 })],
    ['is dead and its pid taken by another', () => ({ ...mine(), start: '1' })],
    ['is of another machine', () => ({ ...mine(), machine: 'another.example' })],
  ])('seals it if its recorder %s', async (_, recorder) => {
    const dir = unsealed({ state: 'running', recorder: recorder() });
    const sealed = await sealIfNeeded(dir, TOOL);
    expect(sealed?.manifest.ended).toBe('the recorder died before it could seal the trace');
    expect(existsSync(join(dir, 'raw'))).toBe(false);
  });

  const died = { pid: 2 ** 22 + 5, start: '7', machine: hostname() };

  it('is done once by two commands at the same time', async () => {
    const dir = unsealed({ state: 'running', recorder: died });
    const both = [sealIfNeeded(dir, TOOL), sealIfNeeded(dir, TOOL)];
    const [first, second] = await Promise.allSettled(both);
    expect(first!.status).toBe('fulfilled');
    expect(second).toMatchObject({ status: 'rejected', reason: { code: 'E_HOST_BUSY' } });
    expect(Math.min(...rowsOf(dir))).toBeGreaterThan(0);
    expect(readdirSync(dir).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it.each([
    ['of a process that died', `${died.pid} 7 ${hostname()}\n`],
    ['of a process whose pid is taken by another', `${process.pid} 1 ${hostname()}\n`],
    ['that is none', ''],
  ])('takes over a lock %s', async (_, content) => {
    const dir = unsealed({ state: 'running', recorder: died });
    writeFileSync(join(dir, '.sealing.lock'), content);
    await sealIfNeeded(dir, TOOL);
    expect(Math.min(...rowsOf(dir))).toBeGreaterThan(0);
    expect(readdirSync(dir).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('is refused while a living process seals it', async () => {
    const dir = unsealed({ state: 'running', recorder: died });
    const lock = `${process.pid} ${mine().start} ${hostname()}\n`;
    writeFileSync(join(dir, '.sealing.lock'), lock);
    expect(await failure(sealIfNeeded(dir, TOOL))).toBe(
      `E_HOST_BUSY ${dir}: is being sealed by another command; got process ${process.pid}`,
    );
    expect(readFileSync(join(dir, '.sealing.lock'), 'utf8')).toBe(lock);
    expect(readdirSync(dir).sort()).toEqual(['.sealing.lock', 'raw']);
  });

  it('says what is damaged and leaves it alone', async () => {
    const dir = unsealed();
    writeFileSync(join(dir, 'raw/recording.json'), '{"format": "ioreq-trace-recording", "st');
    expect(await failure(sealIfNeeded(dir, TOOL))).toMatch(/^E_TRACE_DAMAGED .*raw\/recording\.json: /);
    expect(existsSync(join(dir, 'raw/cpu0.raw'))).toBe(true);
    expect(await sealIfNeeded(join(work, 'nowhere'), TOOL)).toBeUndefined();
  });
});
