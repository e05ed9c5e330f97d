import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tableFromIPC } from 'apache-arrow';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildForChild, removeBuild } from '../fixtures/child-build.ts';
import { emptyManifest, emptySource, numberedBatch, writeSmallTrace } from '../fixtures/small-trace.ts';
import { EVENT_COLUMNS } from './arrow/event-schema.ts';
import { MemoryInput } from './bytes/input.ts';
import type { EventColumns } from './columns.ts';
import { TraceError } from './errors.ts';
import { openTrace } from './open.ts';
import { readEvents, scanEvents } from './reader.ts';
import { TraceWriter } from './writer.ts';

let scratch: string;
let count = 0;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-files-'));
});
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});
const fresh = (): string => join(scratch, `t${count++}`);

/** Number of rows, having checked that every column of each holds what numberedBatch put there. */
function checkNumbered(batches: Iterable<EventColumns>): number {
  let n = 0;
  for (const batch of batches) {
    const expected = numberedBatch(n, batch.length);
    for (const { name, type } of EVENT_COLUMNS) {
      const values = batch.length * (type === 'u64' ? 2 : 1);
      expect(batch[name].length).toBe(values);
      expect(Buffer.from(bytesOf(batch[name])).equals(bytesOf(expected[name].subarray(0, values)))).toBe(
        true,
      );
    }
    n += batch.length;
  }
  return n;
}
const bytesOf = (view: ArrayBufferView): Uint8Array =>
  new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof TraceError) return error.code;
    throw error;
  }
  return 'none';
}

describe('trace directory', () => {
  it('gives back every column of every row, as written', () => {
    const dir = fresh();
    writeSmallTrace(dir, [65_536, 1, 7, 1000]);
    const trace = openTrace(dir);
    expect(trace.warnings).toEqual([]);
    expect(trace.manifest.complete).toBe(true);
    expect(trace.source('xen').scan).toMatchObject({ rows: 66_544, batches: 4, sealed: true });
    expect(checkNumbered(trace.source('xen').batches())).toBe(66_544);
    expect(readdirSync(dir).sort()).toEqual(['events-xen.arrows', 'manifest.json']);
  });

  it('is an Arrow stream that the reference library reads alike', () => {
    const dir = fresh();
    writeSmallTrace(dir, [3, 2]);
    const table = tableFromIPC(readFileSync(join(dir, 'events-xen.arrows')));
    expect(table.numRows).toBe(5);
    expect(table.schema.metadata.get('ioreq-trace.source')).toBe('xen');
    expect(table.schema.fields.map((f) => `${f.name}:${String(f.type)}:${String(f.nullable)}`))
      .toMatchInlineSnapshot(`
      [
        "ts:Float64:false",
        "kind:Uint16:false",
        "cpu:Uint16:false",
        "domid:Uint16:false",
        "vcpu:Uint16:false",
        "pid:Int32:false",
        "addr:Uint64:false",
        "data:Uint64:false",
        "arg0:Uint32:false",
        "arg1:Uint32:false",
        "arg2:Uint32:false",
        "arg3:Uint32:false",
      ]
    `);
    const row = table.get(4)!;
    expect(row['ts']).toBe(4.5);
    expect(row['addr']).toBe(0x8000000400000004n);
    expect(row['pid']).toBe(-4);
  });

  it('takes views that do not lie at a multiple of 8', () => {
    const dir = fresh();
    const whole = numberedBatch(0, 9);
    const odd: EventColumns = {
      length: 8,
      ...(Object.fromEntries(
        EVENT_COLUMNS.map(({ name, type }) => {
          const skip = type === 'u64' ? 1 : 0;
          const shifted = new (whole[name].constructor as new (n: number) => Uint32Array)(
            whole[name].length + skip,
          );
          shifted.set(whole[name], skip);
          return [name, shifted.subarray(skip)];
        }),
      ) as unknown as Omit<EventColumns, 'length'>),
    };
    const writer = TraceWriter.create(dir, emptyManifest());
    const facts = emptySource('xen');
    writer.addSource(facts).append(odd);
    facts.rows = 8;
    writer.seal({ ...emptyManifest(), sources: [facts] });
    expect(checkNumbered(openTrace(dir).source('xen').batches())).toBe(8);
  });

  it('says unfinished until it is sealed, and is readable all the time', () => {
    const dir = fresh();
    const writer = TraceWriter.create(dir, emptyManifest());
    expect(openTrace(dir).warnings.join()).toContain('names no source yet');
    const facts = emptySource('xen');
    const source = writer.addSource(facts);
    source.append(numberedBatch(0, 10));
    const trace = openTrace(dir);
    expect(trace.manifest.complete).toBe(false);
    expect(trace.warnings.join()).toContain('not finished');
    expect(trace.damage).toEqual([]);
    expect(checkNumbered(trace.source('xen').batches())).toBe(10);
    writer.abandon();
    expect(checkNumbered(openTrace(dir).source('xen').batches())).toBe(10);
  });

  it('aborting leaves nothing behind', () => {
    const dir = fresh();
    const writer = TraceWriter.create(dir, emptyManifest());
    writer.addSource(emptySource('xen')).append(numberedBatch(0, 10));
    writer.abort();
    expect(existsSync(dir)).toBe(false);
    mkdirSync(dir);
    TraceWriter.create(dir, emptyManifest()).abort();
    expect(readdirSync(dir)).toEqual([]);
  });

  it('refuses what is there already, and ids that lead elsewhere', () => {
    const dir = fresh();
    writeSmallTrace(dir, [1]);
    expect(codeOf(() => TraceWriter.create(dir, emptyManifest()))).toBe('E_EXISTS');
    expect(codeOf(() => TraceWriter.create(join(dir, 'manifest.json'), emptyManifest()))).toBe('E_EXISTS');
    expect(codeOf(() => TraceWriter.create(join(dir, 'manifest.json', 'x'), emptyManifest()))).toBe(
      'E_EXISTS',
    );
    const writer = TraceWriter.create(fresh(), emptyManifest());
    for (const id of ['../x', 'a/b', '', 'A', '-a', 'x'.repeat(65)]) {
      expect(codeOf(() => writer.addSource(emptySource(id)))).toBe('E_INTERNAL');
    }
  });

  it('names the reason when the disk is full', () => {
    if (!existsSync('/dev/full')) return;
    const dir = fresh();
    const writer = TraceWriter.create(dir, emptyManifest());
    symlinkSync('/dev/full', join(dir, 'events-full.arrows'));
    // 'wx' refuses the link, as it must; the manifest's place cannot be written when the directory is closed.
    expect(codeOf(() => writer.addSource(emptySource('full')))).toBe('E_WRITE');
    if (process.getuid?.() !== 0) {
      chmodSync(dir, 0o500);
      expect(
        codeOf(() => {
          writer.checkpoint();
        }),
      ).toBe('E_WRITE');
      chmodSync(dir, 0o700);
    }
  });
});

describe('opening what is not a whole trace', () => {
  it('has a code for each case', () => {
    const file = join(scratch, 'plain');
    writeFileSync(file, 'x');
    const empty = fresh();
    mkdirSync(empty);
    const noJson = fresh();
    mkdirSync(noJson);
    writeFileSync(join(noJson, 'manifest.json'), '{"format":');
    expect(codeOf(() => openTrace(join(scratch, 'nothing')))).toBe('E_NOT_FOUND');
    expect(codeOf(() => openTrace(file))).toBe('E_FOREIGN');
    expect(codeOf(() => openTrace(empty))).toBe('E_FOREIGN');
    expect(codeOf(() => openTrace(noJson))).toBe('E_TRACE_DAMAGED');
  });

  it("reads the rest when an event file is missing, foreign, another source's or short", () => {
    const cases: Record<string, (path: string) => void> = {
      'is missing': (path) => {
        rmSync(path);
      },
      'no frame of a message': (path) => {
        writeFileSync(path, 'not an arrow file at all');
      },
      'without schema': (path) => {
        writeFileSync(path, '');
      },
      'another source': (path) => {
        const bytes = readFileSync(path);
        bytes.write('xeX', bytes.indexOf('xen'));
        writeFileSync(path, bytes);
      },
      'no end mark': (path) => {
        writeFileSync(path, readFileSync(path).subarray(0, -8));
      },
    };
    for (const [message, damageFile] of Object.entries(cases)) {
      const dir = fresh();
      writeSmallTrace(dir, [5]);
      damageFile(join(dir, 'events-xen.arrows'));
      const trace = openTrace(dir);
      expect(trace.damage.map((e) => e.code)).toEqual(['E_TRACE_DAMAGED']);
      expect(trace.warnings.join()).toContain(message);
      const readable = checkNumbered(trace.source('xen').batches());
      expect(readable).toBe(trace.source('xen').scan.rows);
    }
  });
});

describe('damage', () => {
  const file = (): Uint8Array => {
    const dir = fresh();
    writeSmallTrace(dir, [3, 1, 4]);
    return readFileSync(join(dir, 'events-xen.arrows'));
  };

  it('cut at every byte: whole batches, then one precise place', () => {
    const bytes = file();
    const ends = [0, 0, 0, 0];
    for (let cut = 0; cut < bytes.length; cut++) {
      const input = new MemoryInput('cut', bytes.subarray(0, cut));
      const scan = scanEvents(input);
      expect(scan.sealed).toBe(false);
      expect(checkNumbered(readEvents(input))).toBe(scan.rows);
      expect([0, 3, 4, 8]).toContain(scan.rows);
      ends[scan.batches] = cut;
      if (scan.damage === undefined) {
        expect(scan.bytes).toBe(cut);
        continue;
      }
      expect(scan.damage.code).toBe('E_TRACE_DAMAGED');
      expect(scan.damage.detail.offset).toBe(scan.bytes);
      if (cut > 0)
        expect(scan.damage.message).toMatch(/the file ends inside .*; expected [0-9]+ bytes, got [0-9]+/);
    }
    expect(scanEvents(new MemoryInput('whole', bytes))).toMatchObject({ rows: 8, sealed: true });
    expect(ends[3]).toBe(bytes.length - 1);
  });

  it('with any bit flipped: reads what the frames still say, never throws', () => {
    const bytes = file();
    let noticed = 0;
    for (let at = 0; at < bytes.length; at++) {
      for (const bit of [0, 3, 7]) {
        const copy = bytes.slice();
        copy[at]! ^= 1 << bit;
        const input = new MemoryInput('flipped', copy);
        const scan = scanEvents(input);
        let rows = 0;
        for (const batch of readEvents(input)) rows += batch.length;
        expect(rows).toBe(scan.rows);
        expect(rows).toBeLessThanOrEqual(8);
        if (scan.damage !== undefined) noticed++;
      }
    }
    expect(noticed).toBeGreaterThan(1000);
  });

  it('lengths out of this world cause no allocation', () => {
    for (const word of [0xffffffff, 0x7ffffff8, 0xfffffff8, 0x10000000]) {
      const bytes = file();
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let at = 4; at + 4 <= bytes.length; at += 4) {
        const old = view.getUint32(at, true);
        view.setUint32(at, word, true);
        const input = new MemoryInput('big', bytes);
        const before = process.memoryUsage().arrayBuffers;
        for (const batch of readEvents(input)) expect(batch.length).toBeLessThanOrEqual(8);
        scanEvents(input);
        expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 << 20);
        view.setUint32(at, old, true);
      }
    }
  });
});

describe('a writer killed in the middle', () => {
  it('leaves every appended batch readable', async () => {
    const build = buildForChild(['trace']);
    const dir = fresh();
    try {
      const script = join(build, 'writer-child.mjs');
      writeFileSync(
        script,
        `import { TraceWriter } from './trace/writer.js';
         import { EventBatch } from './trace/columns.js';
         const [manifest, facts] = JSON.parse(process.argv[3]);
         const source = TraceWriter.create(process.argv[2], manifest).addSource(facts);
         const batch = new EventBatch(1000);
         let n = 0;
         for (;;) {
           batch.clear();
           while (!batch.full) batch.push(n++, 1, 0, 0, 0, 0);
           source.append(batch);
           process.stdout.write(n + '\\n');
         }`,
      );
      const child = spawn(process.execPath, [
        script,
        dir,
        JSON.stringify([emptyManifest(), emptySource('xen')]),
      ]);
      let told = 0;
      await new Promise<void>((resolve, reject) => {
        child.stderr.on('data', (text: Buffer) => {
          reject(new Error(text.toString()));
        });
        child.stdout.on('data', (text: Buffer) => {
          told = Number(text.toString().trim().split('\n').at(-1));
          if (told >= 20_000) child.kill('SIGKILL');
        });
        child.on('exit', () => {
          resolve();
        });
      });
      const trace = openTrace(dir);
      expect(trace.manifest.complete).toBe(false);
      let next = 0;
      for (const { ts, length } of trace.source('xen').batches()) {
        for (let i = 0; i < length; i++)
          if (ts[i] !== next++) throw new Error(`row ${next - 1} holds ${ts[i]}`);
      }
      expect(next).toBeGreaterThanOrEqual(told);
      expect(next % 1000).toBe(0);
    } finally {
      removeBuild(build);
    }
  });
});
