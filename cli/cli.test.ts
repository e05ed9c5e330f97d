import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildForChild, removeBuild } from '../fixtures/child-build.ts';
import { emptyManifest, emptySource, writeSmallTrace } from '../fixtures/small-trace.ts';
import { TraceWriter } from '../trace/writer.ts';
import { run } from './run.ts';

const ROOT = join(import.meta.dirname, '..');
let scratch: string;
let build: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-cli-'));
  execFileSync('tar', ['xf', join(ROOT, 'fixtures/captures/A2.tar.gz'), '-C', scratch]);
  build = buildForChild(['trace', 'collector', 'analyzer', 'cli']);
}, 60_000);
afterAll(() => {
  removeBuild(build);
  rmSync(scratch, { recursive: true, force: true });
});

interface Ran {
  code: number;
  out: string;
  err: string;
}

async function inside(args: string[], terminal = false, env: Record<string, string> = {}): Promise<Ran> {
  const ran = { code: 0, out: '', err: '' };
  ran.code = await run(args, {
    stdout: (text) => (ran.out += text),
    stderr: (text) => (ran.err += text),
    stdoutIsTerminal: terminal,
    stderrIsTerminal: terminal,
    env,
  });
  return ran;
}

function process_(args: string[]): Ran {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(build, 'cli/main.js'), ...args], {
    encoding: 'utf8',
  });
  return { code: status ?? -1, out: stdout, err: stderr };
}

describe('the command line', () => {
  it('imports a capture and tells of it, as a process', () => {
    const out = join(scratch, 'a2');
    const imported = process_(['import', join(scratch, 'A2'), '-o', out]);
    expect([imported.err, imported.code]).toEqual(['', 0]);
    expect(imported.out).toMatch(
      /events from xen, dom0, dm-log; domain 7; blk0; clocks joined within ±\S+ µs/,
    );
    const info = process_(['info', out]);
    expect([info.err, info.code]).toEqual(['', 0]);
    expect(info.out).toMatch(/^blk0 +blk +0x02000000 +0x200 +33 +xenstore$/m);
    expect(info.out).toMatch(
      /^dom0 +ftrace-pages +[0-9,]+ +[0-9,]+ +0 +0 +mono_raw \(ns\) +\S+ s +cpu0.raw, cpu1.raw$/m,
    );
    expect(info.out).not.toContain('\u001b');
    const json = JSON.parse(process_(['info', '--json', out]).out) as {
      manifest: { domid: number };
      files: object[];
    };
    expect([json.manifest.domid, json.files.length]).toEqual([7, 3]);
    expect(process_(['import', join(scratch, 'A2'), '-o', out])).toMatchObject({ code: 4, out: '' });
    expect(process_(['import', join(scratch, 'A2/xentrace.bin'), '-o', out, '--force']).code).toBe(0);
  });

  it('ends quietly when nobody reads on', async () => {
    const dir = join(scratch, 'pipe');
    writeSmallTrace(dir, [3]);
    const child = spawn('sh', [
      '-c',
      `"${process.execPath}" "${build}/cli/main.js" info --json "${dir}" | true`,
    ]);
    let err = '';
    child.stderr.on('data', (text: Buffer) => (err += text.toString()));
    const code = await new Promise((resolve) => child.on('exit', resolve));
    expect([code, err]).toEqual([0, '']);
  });

  it('prints version and help', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(await inside(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' });
    for (const args of [['--help'], ['help'], ['import', '--help'], ['help', 'info']]) {
      expect(await inside(args)).toMatchObject({ code: 0, err: '' });
    }
    expect((await inside(['--help'])).out).toContain('turn raw captures into a trace');
  });

  it.each([
    [['info', '--nonsense', 'x'], 'E_USAGE'],
    [['nonsense'], 'E_USAGE'],
    [['info'], 'E_USAGE'],
    [['import', 'x'], 'E_USAGE'],
    [['import', 'x', '-o', 'y', '--domid', '-1'], 'E_USAGE'],
    [['import', 'x', '-o', 'y', '--domid', '70000'], 'E_USAGE'],
    [['import', 'x', '-o', 'y', '--counter-hz', 'fast'], 'E_USAGE'],
    [['import', 'x', '-o', 'y', '--without', 'points'], 'E_USAGE'],
  ])('%j is one line and exit code 2', async (args, code) => {
    const ran = await inside(args);
    expect(ran).toMatchObject({ code: 2, out: '' });
    expect(ran.err).toMatch(new RegExp(`^trace: ${code}: [^\\n]+\\n$`));
  });

  it('without a command shows the help and exits 2', async () => {
    const ran = await inside([]);
    expect([ran.code, ran.out]).toEqual([2, '']);
    expect(ran.err).toContain('Usage: trace');
  });

  it.each<[string, (path: string) => void, number, string]>([
    ['missing', () => undefined, 4, 'E_NOT_FOUND'],
    [
      'a file',
      (path) => {
        writeFileSync(path, 'x');
      },
      3,
      'E_FOREIGN',
    ],
    [
      'an empty directory',
      (path) => {
        mkdirSync(path);
      },
      3,
      'E_FOREIGN',
    ],
    [
      'of a newer version',
      (path) => {
        mkdirSync(path);
        writeFileSync(join(path, 'manifest.json'), '{"format":"ioreq-trace","version":7}');
      },
      5,
      'E_TRACE_VERSION',
    ],
  ])('info of a trace that is %s', async (name, make, exit, code) => {
    const path = join(scratch, `bad ${name}`);
    make(path);
    const ran = await inside(['info', path]);
    expect(ran).toMatchObject({ code: exit, out: '' });
    expect(ran.err).toMatch(new RegExp(`^trace: ${code}: [^\\n]+\\n$`));
  });
});

describe('trace info', () => {
  it('of an unfinished trace warns, counts what is there and exits 0', async () => {
    const dir = join(scratch, 'unfinished');
    writeSmallTrace(dir, [3, 4]);
    const manifest = JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8')) as { sources: object[] };
    writeFileSync(
      join(dir, 'manifest.json'),
      JSON.stringify({ ...manifest, complete: false, ended: 'importing', sources: [emptySource('xen')] }),
    );
    truncateSync(join(dir, 'events-xen.arrows'), readFileSync(join(dir, 'events-xen.arrows')).length - 100);
    const ran = await inside(['info', dir]);
    expect(ran.code).toBe(0);
    expect(ran.out).toContain('NOT FINISHED');
    expect(ran.out).toMatch(/^arm\.ioreq_send +3$/m);
    expect(ran.err).toMatch(/^warning: the trace was not finished \(importing\): sources begun: xen; .*$/m);
    expect(ran.err).toContain('3 rows before it can be read');
  });

  it('of a damaged trace exits 3 and shows the rest', async () => {
    const dir = join(scratch, 'damaged');
    writeSmallTrace(dir, [3]);
    truncateSync(join(dir, 'events-xen.arrows'), 100);
    const ran = await inside(['info', dir]);
    expect(ran.code).toBe(3);
    expect(ran.err).toContain('E_TRACE_DAMAGED');
  });

  it('lets no name of the trace touch the terminal, and colours only a terminal', async () => {
    const dir = join(scratch, 'evil');
    const evil = 'x\u001b[2J\u009b1m\u202e\r\n\u0007y';
    const facts = {
      ...emptySource('xen'),
      format: evil,
      files: [evil],
      kinds: { [evil]: 1 },
      errors: [{ code: 'E', message: evil }],
    };
    const writer = TraceWriter.create(dir, emptyManifest());
    writer.addSource(facts);
    writer.seal({
      ...emptyManifest(),
      ended: evil,
      host: { xenVersion: evil },
      devices: [{ name: evil, kind: evil, base: 0, size: 1, spi: 0 }],
      deviceModels: [{ pid: 1, name: evil, threads: [] }],
      sources: [facts],
      unknownFiles: [evil],
      warnings: [evil],
    });
    const plain = await inside(['info', dir]);
    expect(plain.out + plain.err).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(plain.out).toContain('x\\x1b[2J\\x9b1m\\u{202e}\\x0d\\x0a\\x07y');
    const terminal = await inside(['info', dir], true);
    expect(terminal.out).toContain('\u001b[1mDevices\u001b[22m');
    expect((await inside(['info', dir], true, { NO_COLOR: '1' })).out).toBe(plain.out);
  });
});
