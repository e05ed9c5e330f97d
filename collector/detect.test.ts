import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { simpletraceSample } from '../fixtures/simpletrace-writer.ts';
import { TraceError } from '../trace/errors.ts';
import { cpuOfPath } from './cpu-of-path.ts';
import { detectFiles, recognise } from './detect.ts';
import type { Detected } from './detect.ts';
import { AUX_FORMATS } from './host/index.ts';
import { MemorySource } from './input/byte-source.ts';
import { UnpackDirectory } from './input/unpack.ts';
import { findFiles } from './input/walk.ts';
import { RAW_FORMATS } from './sources/index.ts';

const RAW = join(import.meta.dirname, '../fixtures/raw');
let scratch: string;
let unpacked: UnpackDirectory;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-detect-'));
  unpacked = new UnpackDirectory();
});
afterAll(() => {
  unpacked.remove();
  rmSync(scratch, { recursive: true, force: true });
});

/** A sample of each raw format; a format without one fails below. */
function samples(): Map<string, Uint8Array[]> {
  const read = (...names: string[]): Uint8Array[] => names.map((name) => readFileSync(join(RAW, name)));
  return new Map([
    ['trace.dat', read('ftrace/trace-dat/v6.dat', 'ftrace/trace-dat/v7-zstd.dat')],
    ['simpletrace', [simpletraceSample(true).bytes, simpletraceSample(false).bytes]],
    ['xentrace', allOf('xentrace', '.bin')],
    ['ftrace-pages', read('ftrace/ioreq-fetch/cpu0.raw', 'ftrace/log-backend/cpu1.raw')],
    ['access-jsonl', allOf('access-jsonl', '.jsonl')],
    ['ftrace-text', read('ftrace/text/trace.txt')],
    ['qemu-log', allOf('qemu', '.log')],
  ]);
}

function allOf(folder: string, ending: string): Uint8Array[] {
  const names = readdirSync(join(RAW, folder)).filter((name) => name.endsWith(ending));
  return names.map((name) => readFileSync(join(RAW, folder, name)));
}

const whatIs = (bytes: Uint8Array): ReturnType<typeof recognise> =>
  recognise(bytes.subarray(0, 65_536), new MemorySource('x', bytes));
const formatOf = (bytes: Uint8Array): string | undefined => whatIs(bytes).raw?.name;

async function detect(...paths: string[]): Promise<Detected & { warnings: string[] }> {
  const warnings: string[] = [];
  return { ...(await detectFiles(findFiles(paths, warnings), unpacked, warnings)), warnings };
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof TraceError) return error.code;
    throw error;
  }
  return 'none';
}

describe('raw formats', () => {
  it.each(RAW_FORMATS.map((format) => format.name))('%s is told by its content', (name) => {
    const given = samples().get(name) ?? [];
    expect(given.length).toBeGreaterThan(0);
    for (const bytes of given) expect(formatOf(bytes)).toBe(name);
  });

  it('are told from a compressed file of any name too', async () => {
    const [bytes] = samples().get('ftrace-text')!;
    const path = join(scratch, 'notes.bin');
    writeFileSync(path, gzipSync(bytes!));
    const { raw } = await detect(path);
    expect(raw.map((file) => [file.path, file.format.name, file.size])).toEqual([
      [path, 'ftrace-text', bytes!.length],
    ]);
    expect(readFileSync(raw[0]!.at).equals(bytes!)).toBe(true);
  });

  it('are taken from a compressed file that is cut off, with an error', async () => {
    const [bytes] = samples().get('ftrace-text')!;
    const packed = gzipSync(bytes!);
    const path = join(scratch, 'cut.gz');
    writeFileSync(path, packed.subarray(0, packed.length - 20));
    const { raw } = await detect(path);
    expect(raw[0]!.format.name).toBe('ftrace-text');
    expect(raw[0]!.error).toMatchObject({ code: 'E_TRUNCATED' });
    expect(raw[0]!.size).toBeGreaterThan(0);
  });

  it('is none for other bytes, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        whatIs(bytes);
      }),
      { numRuns: 300 },
    );
    for (const text of ['hello\n', '\x7fELF\x02\x01\x01', '{"a":1}\n', 'PNG', '\0'.repeat(5000), '0 0\n']) {
      expect(formatOf(Buffer.from(text))).toBeUndefined();
    }
  });
});

describe('auxiliary files', () => {
  const SAMPLES: Record<string, string> = {
    recording: '{\n "format": "ioreq-trace-recording",\n "state": "running",\n',
    'event-format':
      'name: sched_waking\nID: 67\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n',
    'header-page': '\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n',
    'header-event': '# compressed entry header\n\ttype_len    :    5 bits\n',
    'cpu-stats': 'entries: 115339\noverrun: 0\ncommit overrun: 0\nbytes: 5291220\nread events: 3903\n',
    'trace-clock': 'local global counter uptime perf mono [mono_raw] boot tai\n',
    probes:
      'p:xd/evtchn_irq xen_evtchn:evtchn_interrupt irq=$arg1:u32\nr10:xd/privcmd_ret xen_privcmd:privcmd_ioctl ret=$retval:s64\n',
    'clock-samples': 'cntfrq=62500000 cntvct=102175682925 mono_raw=1629915792112 cntvct2=102175696516\n',
    timekeeper:
      'tk_fast_raw w0=0x19594 w1=0xffffa198a61220d8 w2=0x1ffffffffffffff w3=0x11d530cf84 w4=0x1708000000 w5=0x1b571e80000000\n',
    'xl-info':
      'host                   : x\nxen_major              : 4\nxen_caps               : xen-3.0-aarch64 \n',
    'xl-list': '[\n    {\n        "domid": 0,\n        "config": {}\n    }\n]\n',
    xenstore: '/tool = ""\n/local/domain/0/name = "Domain-0"\n',
    'xl-dmesg': '(XEN) Domain heap initialised\n(XEN) Xen version 4.20\nXen 4.20\n',
    qmp: "{'QMP': {'version': {'qemu': {'micro': 13, 'minor': 0, 'major': 10}, 'package': ''}}}\n",
    'qemu-cmdline': '/usr/bin/qemu-system-aarch64 -machine xenpvh -xen-domid 5 -xen-attach',
    maps: 'aaaae2fc0000-aaaae364c000 r-xp 00000000 fe:00 6568                       /usr/bin/qemu\n',
    kallsyms: 'ffffd047bc8a0268 T xen_unmap_domain_gfn_range\n',
    'printk-formats': '0xffffd047bdd52340 : "Rescheduling interrupts"\n',
    interrupts:
      '           CPU0       CPU1       \n  0:          0      12311   xen-dyn     Edge    -event     xenbus\n',
    uname: 'Linux dom0 6.12.107 #1 SMP Debian aarch64 GNU/Linux\n',
    threads: '1858 qemu-xen\n1861 qemu-xen\n',
    'saved-cmdlines': '24 ksoftirqd/1\n1489 python3\n1 init\n',
    'set-event': 'xd:lateeoi\nirq:irq_handler_entry\n',
    'probe-profile': '  privcmd                                                 2099               0\n',
    'xl-config': 'name="g1"\nkernel="/boot/Image"\nmemory=256\nvcpus=1\n',
    console: '[    0.000000] Booting Linux\n[    0.000000] Linux version 6.12.107 (x@y)\n',
  };

  it.each(AUX_FORMATS.map((format) => format.name))(
    '%s is told by its content, and is no raw format',
    (name) => {
      const sample = SAMPLES[name] ?? '';
      expect(sample).not.toBe('');
      const what = whatIs(Buffer.from(sample));
      expect([what.raw?.name, what.aux?.name]).toEqual([undefined, name]);
    },
  );
});

describe('files that are none', () => {
  it('have their own codes when named, and are listed when met in a directory', async () => {
    const dir = mkdtempSync(join(scratch, 'd-'));
    writeFileSync(join(dir, 'empty'), '');
    writeFileSync(join(dir, 'foreign'), 'hello');
    writeFileSync(join(dir, 'image.xz'), Buffer.from('fd377a585a000004', 'hex'));
    writeFileSync(join(dir, 'a.log'), samples().get('qemu-log')![0]!);
    expect(await codeOf(detect(join(dir, 'empty')))).toBe('E_EMPTY');
    expect(await codeOf(detect(join(dir, 'foreign')))).toBe('E_FOREIGN');
    await expect(detect(join(dir, 'image.xz'))).rejects.toThrow('must be unpacked first');
    expect(await codeOf(detect(join(dir, 'nothing')))).toBe('E_NOT_FOUND');
    if (existsSync('/dev/null')) expect(await codeOf(detect('/dev/null'))).toBe('E_UNREADABLE');
    const { raw, empty, unknown } = await detect(dir);
    expect(raw.map((file) => file.path)).toEqual([join(dir, 'a.log')]);
    expect(empty).toEqual([join(dir, 'empty')]);
    expect(unknown).toEqual([join(dir, 'foreign'), join(dir, 'image.xz')]);
  });

  it('takes a damaged CPU beside a good one for what its name says', async () => {
    const dir = mkdtempSync(join(scratch, 'd-'));
    const [good] = samples().get('ftrace-pages')!;
    writeFileSync(join(dir, 'cpu0.raw'), good!);
    writeFileSync(join(dir, 'cpu1.raw'), Buffer.alloc(8192, 0xa5));
    const { raw, warnings } = await detect(dir);
    expect(raw.map((file) => file.format.name)).toEqual(['ftrace-pages', 'ftrace-pages']);
    expect(warnings.join()).toContain('taken for ftrace pages because of its name');
  });
});

describe('cpuOfPath', () => {
  it.each([
    ['cpu0.raw', 0],
    ['a/cpu12/trace_pipe_raw', 12],
    ['a/cpu1/b/cpu3.stats', 3],
    ['capture-2026/trace_pipe_raw.7', 7],
    ['CPU-4', 4],
    ['a1/raw', undefined],
  ])('%s: %s', (path, cpu) => {
    expect(cpuOfPath(path)).toBe(cpu);
  });
});
