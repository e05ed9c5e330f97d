import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fileOf, record, window } from '../fixtures/xentrace-bytes.ts';
import { TraceError } from '../trace/errors.ts';
import { K } from '../trace/events.ts';
import type { Manifest } from '../trace/manifest.ts';
import { openTrace } from '../trace/open.ts';
import { importCapture } from './import.ts';
import type { ImportOptions, ImportResult } from './import.ts';

const ROOT = join(import.meta.dirname, '..');
const CAPTURES = join(ROOT, '../shared/captures/xen-arm');
const TOOL = { name: 'test', version: '1' };

let scratch: string;
let count = 0;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-import-'));
  for (const name of ['P1', 'A2']) {
    execFileSync('tar', ['xf', join(ROOT, `fixtures/captures/${name}.tar.gz`), '-C', scratch]);
  }
});
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});
const fresh = (): string => join(scratch, `out${count++}`);

const run = (paths: string[], out: string, options: Partial<ImportOptions> = {}): Promise<ImportResult> =>
  importCapture(paths, out, { tool: TOOL, ...options });

async function failure(promise: Promise<unknown>): Promise<TraceError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof TraceError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** What must not depend on names, order or compression of the files. */
function essence(manifest: Manifest): object {
  const { host, domid, vcpus, devices, deviceModels, clock } = manifest;
  const sources = manifest.sources.map((facts) => ({ ...facts, files: [] }));
  return { host, domid, vcpus, devices, deviceModels, clock, sources };
}

function kindCount(out: string, id: string, kind: number): number {
  let rows = 0;
  for (const batch of openTrace(out).source(id).batches()) {
    for (let i = 0; i < batch.length; i++) if (batch.kind[i] === kind) rows++;
  }
  return rows;
}

describe('a capture of a patched host (P1)', () => {
  let out: string;
  let result: ImportResult;
  beforeAll(async () => {
    out = fresh();
    result = await run([join(scratch, 'P1')], out);
  });

  it('is sealed, without errors or warnings', () => {
    expect([result.errors, result.warnings, result.interrupted]).toEqual([[], [], false]);
    const trace = openTrace(out);
    expect([trace.warnings, trace.damage]).toEqual([[], []]);
    expect(trace.manifest).toEqual(JSON.parse(JSON.stringify(result.manifest)));
    expect(result.manifest).toMatchObject({ complete: true, ended: 'complete', tool: TOOL });
  });

  it('has the facts that are known of it', () => {
    expect(result.manifest).toMatchObject({
      host: { xenVersion: '4.20.4-pre', linuxVersion: '6.12.107+deb13-arm64', counterHz: 62_500_000 },
      domid: 1,
      vcpus: 1,
      devices: [{ name: 'blk0', kind: 'blk', base: 0x02000000, size: 0x200, spi: 33 }],
      deviceModels: [{ pid: 272, name: 'qemu-xen' }],
    });
    expect(result.manifest.deviceModels[0]!.threads).toContain(272);
    expect(result.manifest.tasks['272']).toBe('qemu-xen');
    expect(result.manifest.sources.map(({ id, format, lost }) => [id, format, lost])).toEqual([
      ['xen', 'xentrace', 0],
      ['dom0', 'ftrace-pages', 0],
      ['dm-log', 'qemu-log', 0],
    ]);
  });

  it('has the events that are known of it', () => {
    const [xen, dom0, log] = result.manifest.sources;
    expect(xen!.records).toBe(192_855);
    expect(xen!.kinds).toMatchObject({ 'arm.ioreq_send': 372, 'arm.ioreq_done': 372 });
    expect(dom0!.kinds).toMatchObject({ 'dm.ioreq': 372, 'dom0.set_irq_level': 203 });
    expect(log!.kinds).toMatchObject({ 'dm.blk_read': 51, 'dm.blk_write': 50 });
    expect(dom0!.clock).toMatchObject({ name: 'mono_raw', unit: 'ns' });
    expect(kindCount(out, 'xen', K.ARM_IOREQ_SEND)).toBe(372);
    for (const { rows, kinds } of result.manifest.sources) {
      expect(Object.values(kinds).reduce((sum, n) => sum + n, 0)).toBe(rows);
    }
  });

  it('has clocks that are joined around the true offset', () => {
    const clock = result.manifest.clock!;
    const xl = readFileSync(join(scratch, 'P1/clk-start.txt'), 'utf8');
    const [, cntvct, raw] = /cntvct=(\d+) mono_raw=(\d+)/.exec(xl.split('\n')[3]!)!;
    // CNTPCT - CNTVCT of Dom0 is 16955021 ticks: what Xen printed ("d0: CNTVOFF").
    const trueOffset = (Number(cntvct) + 16_955_021) * 16 - Number(raw);
    const drift = clock.rate * (Number(raw) - Number(clock.referenceDom0Ns));
    expect(Math.abs(clock.offsetNs + drift - trueOffset)).toBeLessThan(clock.maxErrorNs + 2000);
    expect(clock.maxErrorNs).toBeLessThan(100_000);
  });

  it('is the same whatever the files are called, with some compressed', async () => {
    const dir = join(scratch, 'renamed');
    cpSync(join(scratch, 'P1'), dir, { recursive: true });
    readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .forEach(({ name }, i) => {
        const cpu = /cpu\d/.exec(name)?.[0];
        renameSync(
          join(dir, name),
          join(dir, cpu === undefined ? `file-${'x'.repeat(i)}` : `${cpu}-${name.length}`),
        );
      });
    for (const name of readdirSync(dir)) {
      const path = join(dir, name);
      if (name === 'tracefs' || !name.endsWith('x')) continue;
      writeFileSync(path, gzipSync(readFileSync(path), { level: 1 }));
    }
    const renamed = await run([dir], fresh());
    expect(essence(renamed.manifest)).toEqual(essence(result.manifest));
  });

  it('tells how far it is', async () => {
    const steps: number[] = [];
    let total = 0;
    await run([join(scratch, 'P1/xentrace.bin')], fresh(), {
      progress: (done, all) => {
        steps.push(done);
        total = all;
      },
    });
    expect(steps.at(-1)).toBe(total);
    expect(steps).toEqual(steps.toSorted((a, b) => a - b));
  });

  it('keeps what it has when it is stopped', async () => {
    const stop = new AbortController();
    const partial = fresh();
    const stopped = await run([join(scratch, 'P1')], partial, {
      signal: stop.signal,
      progress: () => {
        stop.abort();
      },
    });
    expect(stopped.interrupted).toBe(true);
    const trace = openTrace(partial);
    expect(trace.manifest).toMatchObject({ complete: false, ended: 'interrupted' });
    expect(trace.source('xen').scan.rows).toBeGreaterThan(0);
    expect(trace.damage).toEqual([]);
  });
});

describe('damaged raw files', () => {
  it('are imported as far as they go, and the rest whole', async () => {
    const dir = join(scratch, 'damaged');
    cpSync(join(scratch, 'A2'), dir, { recursive: true });
    truncateSync(join(dir, 'cpu1.raw'), 1_000_001);
    const out = fresh();
    const result = await run([dir], out);
    expect(result.errors.map((error) => error.code)).toEqual(['E_TRUNCATED']);
    expect(result.errors[0]!.message).toMatch(/cpu1\.raw at byte \d+: .*; expected .*, got /);
    const trace = openTrace(out);
    expect([trace.manifest.complete, trace.manifest.ended]).toEqual([true, 'imported with errors']);
    expect(trace.damage).toEqual([]);
    expect(trace.source('dom0').facts.errors).toEqual([
      { code: 'E_TRUNCATED', message: result.errors[0]!.message },
    ]);
    expect(trace.source('dom0').facts.rows).toBeGreaterThan(10_000);
    expect(trace.source('xen').facts.errors).toEqual([]);
  });

  it('with pages but no formats: the other sources, and E_NO_FORMATS', async () => {
    const dir = join(scratch, 'noformats');
    mkdirSync(dir);
    for (const name of ['cpu0.raw', 'cpu1.raw', 'xentrace.bin'])
      cpSync(join(scratch, 'A2', name), join(dir, name));
    const { errors, manifest, warnings } = await run([dir], fresh());
    expect(errors.map((error) => error.code)).toEqual(['E_NO_FORMATS']);
    expect(manifest.sources.map(({ id, rows }) => [id, rows > 0])).toEqual([
      ['xen', true],
      ['dom0', false],
    ]);
    expect(warnings.join()).toContain('no trace_clock file');
    const alone = fresh();
    expect((await failure(run([join(dir, 'cpu0.raw')], alone))).code).toBe('E_NO_FORMATS');
    expect(existsSync(alone)).toBe(false);
  });

  it('count what the kernel lost and the pages do not show', async () => {
    const dir = join(scratch, 'lossy');
    cpSync(join(scratch, 'A2'), dir, { recursive: true });
    writeFileSync(
      join(dir, 'cpu0.stats'),
      'entries: 5\noverrun: 123\ncommit overrun: 0\ndropped events: 4\n',
    );
    const { manifest, warnings } = await run([dir], fresh());
    const dom0 = manifest.sources.find((source) => source.id === 'dom0')!;
    expect([dom0.lost, dom0.losses]).toEqual([127, [{ cpu: 0, count: 127, ts: null }]]);
    expect(warnings.join()).toContain('the kernel lost 127 events of CPU 0');
  });
});

describe('without the files about the host', () => {
  it('says that hypervisor times cannot be joined, unless the frequency is given', async () => {
    const dir = join(scratch, 'bare');
    cpSync(join(scratch, 'A2'), dir, { recursive: true });
    for (const name of readdirSync(dir)) {
      if (/^(clk|xl|xenstore|qemu-(cmd|tids))/.test(name)) rmSync(join(dir, name));
    }
    const without = await run([dir], fresh());
    expect(without.warnings.join()).toContain("frequency of Xen's counter is not known");
    expect(without.manifest.clock).toBeUndefined();
    const { manifest } = await run([dir], fresh(), { counterHz: 62_500_000, domid: 7 });
    expect(manifest.clock!.maxErrorNs).toBeLessThan(100_000);
    expect(manifest.domid).toBe(7);
    expect(manifest.devices).toMatchObject([{ name: 'blk0', spi: 33, spiDerived: true, origin: 'events' }]);
    expect(manifest.deviceModels.map((model) => model.name)).toEqual(['qemu-xen']);
  });
});

describe('the output', () => {
  const raw = (): string => {
    const path = join(scratch, `tiny${count++}.bin`);
    writeFileSync(path, fileOf(window(0, [record(0x2f004, [5, 0], 100), record(0x2f004, [5, 0], 200)])));
    return path;
  };

  it('is never something else overwritten; a trace only with force', async () => {
    const input = raw();
    const out = fresh();
    await run([input], out);
    expect((await failure(run([input], out))).code).toBe('E_EXISTS');
    const again = await run([input], out, { force: true });
    expect(again.manifest.sources[0]!.rows).toBe(2);
    writeFileSync(join(out, 'precious'), 'x');
    expect((await failure(run([input], out, { force: true }))).message).toContain('"precious"');
    const other = fresh();
    mkdirSync(other);
    writeFileSync(join(other, 'precious'), 'x');
    expect((await failure(run([input], other, { force: true }))).code).toBe('E_EXISTS');
    expect((await failure(run([input], input, { force: true }))).code).toBe('E_EXISTS');
    expect(readdirSync(other)).toEqual(['precious']);
  });

  it('takes an empty directory', async () => {
    const out = fresh();
    mkdirSync(out);
    expect((await run([raw()], out)).manifest.complete).toBe(true);
  });

  it('is not left behind when there is nothing to import', async () => {
    const out = fresh();
    const dir = fresh();
    mkdirSync(dir);
    expect((await failure(run([dir], out))).code).toBe('E_FOREIGN');
    writeFileSync(join(dir, 'nothing'), '');
    expect((await failure(run([dir], out))).code).toBe('E_EMPTY');
    writeFileSync(join(dir, 'foreign'), 'hello');
    expect((await failure(run([dir], out))).code).toBe('E_FOREIGN');
    expect((await failure(run([join(dir, 'foreign')], out))).code).toBe('E_FOREIGN');
    expect((await failure(run([join(dir, 'missing')], out))).code).toBe('E_NOT_FOUND');
    expect(existsSync(out)).toBe(false);
  });

  it('may not hold the input, nor be made of a trace', async () => {
    const out = fresh();
    await run([raw()], out);
    expect((await failure(run([out], fresh()))).message).toContain('is an ioreq-trace already');
    expect((await failure(run([join(out, 'manifest.json')], out, { force: true }))).code).toBe('E_USAGE');
    expect(openTrace(out).warnings).toEqual([]);
  });

  it('that cannot be written is E_WRITE', async () => {
    const blocked = join('/proc', 'ioreq-trace-cannot-be-here');
    expect((await failure(run([raw()], blocked))).code).toBe('E_WRITE');
  });
});

describe('recorded accesses', () => {
  it('tell what a device is, also where the recorder put them together', async () => {
    const input = join(scratch, 'attached.jsonl');
    writeFileSync(
      input,
      '{"t":"R","a":33554952,"s":4,"v":1,"synth":true,"i":0}\n{"t":"W","a":33555024,"s":4,"v":0,"i":1}\n',
    );
    const { manifest } = await run([input], fresh());
    expect(manifest.sources[0]!.kinds).toEqual({ 'rec.write': 1 });
    expect(manifest.devices.map(({ name, kind, base }) => [name, kind, base])).toEqual([
      ['net0', 'net', 0x0200_0200],
    ]);
  });

  it('become events and a recording without loss', async () => {
    const input = join(ROOT, 'fixtures/raw/access-jsonl/virt-modern.jsonl');
    const out = fresh();
    const { manifest } = await run([input], out);
    expect(manifest.sources[0]).toMatchObject({ id: 'rec', format: 'access-jsonl', clock: { unit: 'none' } });
    const records = readFileSync(input, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const trace = openTrace(out);
    let n = 0;
    for (const batch of trace.recording('rec')!) {
      for (let i = 0; i < batch.length; i++, n++) {
        const { t, a, b } = records[n]!;
        expect(String.fromCharCode(batch.tag[i]!)).toBe(t);
        if (typeof a === 'number') expect(batch.addr[2 * i]! + batch.addr[2 * i + 1]! * 2 ** 32).toBe(a);
        if (t === 'M') expect(Buffer.from(batch.payload(i)).toString('base64')).toBe(b);
      }
    }
    expect(n).toBe(records.length);
    expect(trace.recording('nothing')).toBeUndefined();
    expect(trace.recording('../rec')).toBeUndefined();
    const path = join(out, 'recording-rec.arrows');
    truncateSync(path, readFileSync(path).length - 20);
    expect(() => [...openTrace(out).recording('rec')!]).toThrow('ends inside a record batch');
  });
});

describe.skipIf(!existsSync(CAPTURES))('real captures beside the repository', () => {
  it.each([
    ['A1', { domid: 5, devices: ['blk0 33'], sources: ['xen', 'dom0', 'dm-log'], clock: true }],
    ['C', { domid: 8, devices: ['unknown0 33'], sources: ['dom0', 'dom0-2'], clock: false }],
    ['D', { domid: undefined, devices: ['blk0 33'], sources: ['dom0', 'dm-log'], clock: false }],
    [
      'P3',
      {
        domid: 1,
        devices: ['blk0 33', 'net0 34', 'console0 35'],
        sources: ['xen', 'dom0', 'dm-log'],
        clock: true,
      },
    ],
  ])('%s', async (name, expected) => {
    execFileSync('tar', ['xf', join(CAPTURES, `${name}.tar.xz`), '-C', scratch]);
    const { manifest, errors } = await run([join(scratch, name)], fresh());
    expect(errors).toEqual([]);
    expect({
      domid: manifest.domid,
      devices: manifest.devices.map((device) => `${device.name} ${device.spi}`),
      sources: manifest.sources.map((source) => source.id),
      clock: manifest.clock !== undefined,
    }).toEqual(expected);
    if (name === 'A1') expect(manifest.sources[2]!.records).toBe(15_126);
    if (name === 'P3') expect(manifest.sources[0]!.records).toBe(1_040_322);
  });
});
if (!existsSync(CAPTURES)) console.warn(`SKIPPED: import of real captures, because ${CAPTURES} is not there`);
