import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { batchesOf, shared, sharedPresent } from './testing/recordings.ts';
import { spoilt } from './testing/spoilt.ts';
import { Recording } from './recording/load.ts';
import { replayRecording } from './replay.ts';
import type { ManyOptions } from './replay.ts';
import type { ReplayResult } from './result.ts';
import type { MakeTarget } from './target.ts';
import { builtinTarget } from './targets/builtin.ts';

const LEGACY = 'xen-arm-replay/blk-legacy.jsonl';
const MODERN = 'qemu-virt/modern-blk-net-serial-gpu.jsonl';
const present = sharedPresent(LEGACY) && sharedPresent(MODERN);

const legacyDisks = (): Map<number, Uint8Array> => new Map([[0, shared('xen-arm-replay/disk-start.img')]]);
const legacyEnds = (): Map<number, Uint8Array> => new Map([[0, shared('xen-arm-replay/disk-end.img')]]);
const modernDisks = (): Map<number, Uint8Array> => new Map([[0, shared('qemu-virt/disk-start.img')]]);

const replayed = (
  jsonl: Uint8Array | string,
  options: ManyOptions,
  make: MakeTarget = builtinTarget(),
): Promise<ReplayResult> => replayRecording(new Recording(batchesOf(jsonl)), make, options);

/** Lines of a recording with one of them changed. */
function changed(text: string, step: number, change: (record: Record<string, unknown>) => void): string {
  const lines = text.trimEnd().split('\n');
  const record = JSON.parse(lines[step]!) as Record<string, unknown>;
  expect(record['i']).toBe(step);
  change(record);
  lines[step] = JSON.stringify(record);
  return lines.join('\n');
}

const stepOf = (text: string, test: (line: string) => boolean): number => text.split('\n').findIndex(test);

interface Used {
  used: number;
  num: number;
  el: { id: number; len: number; bufs: [number, string][] }[];
}

describe.skipIf(!present)('a live Xen recording of a legacy disk', () => {
  const text = shared(LEGACY).toString();

  it('is equal and proven in 20 runs, interrupts in place and disk as it was', async () => {
    const result = await replayed(text, { disks: legacyDisks(), ends: legacyEnds(), runs: 20 });
    expect(result).toMatchObject({
      equal: true,
      proven: true,
      unproven: [],
      level: 'rings and memory',
      target: 'built-in',
      compared: { reads: 83, writes: 75, usedElements: 30, bufferBytes: 307_230, interrupts: 60, disks: 1 },
      divergences: [],
      skipped: [],
      racy: { elements: 0, differing: 0 },
      ignored: [{ policy: 'irq-position', count: 0 }],
    });
    expect(result.final.disks).toMatchObject([{ transport: 0, bytes: 8_388_608, asGiven: true }]);
    expect(result.runs.length).toBe(20);
    expect(new Set(result.runs.map(({ hash }) => hash)).size).toBe(1);
  });

  it('finds a register answer that is another one', async () => {
    const step = stepOf(text, (line) => line.includes('"t":"R"') && line.includes('"a":33554528'));
    const result = await replayed(
      changed(text, step, (record) => (record['v'] = 3)),
      { disks: legacyDisks() },
    );
    expect(result.divergences).toMatchObject([
      { step, kind: 'register', register: 'InterruptStatus', expected: '0x00000003', got: '0x00000001' },
    ]);
  });

  it('finds a byte of a buffer, a head and a length of a used element', async () => {
    const steps = [...text.split('\n').entries()].filter(([, line]) => line.startsWith('{"t":"X"'));
    const step = steps[7]![0];
    const edit = (what: (used: Used) => void): Promise<ReplayResult> =>
      replayed(
        changed(text, step, ({ u }) => {
          what((u as Used[])[0]!);
        }),
        { disks: legacyDisks() },
      );
    const memory = await edit(({ el }) => {
      const bytes = Buffer.from(el[0]!.bufs[0]![1], 'base64');
      bytes[100]! ^= 0x40;
      el[0]!.bufs[0]![1] = bytes.toString('base64');
    });
    expect(memory.divergences).toMatchObject([
      { step, kind: 'memory', queue: 0, memory: { at: 100, differing: 1 } },
    ]);
    const [{ memory: context } = { memory: undefined }] = memory.divergences;
    expect(context!.start).toBe(84);
    expect(Buffer.from(context!.expected, 'hex')[16]! ^ Buffer.from(context!.got, 'hex')[16]!).toBe(0x40);
    const head = await edit(({ el }) => (el[0]!.id = 5));
    expect(head.divergences[0]).toMatchObject({
      step,
      kind: 'missing',
      expected: '8, with head 5',
      got: '7',
    });
    const length = await edit(({ el }) => (el[0]!.len += 1));
    expect(length.divergences).toMatchObject([{ step, kind: 'used', field: 'len', got: '4097' }]);
  });

  it('finds what was written to the disk at its byte, if the end is given', async () => {
    const step = stepOf(text, (line) => line.includes('"why":"out"') && line.includes('"n":4096'));
    const other = changed(text, step, (record) => {
      const bytes = Buffer.from(record['b'] as string, 'base64');
      bytes[9]! ^= 1;
      record['b'] = bytes.toString('base64');
    });
    const result = await replayed(other, { disks: legacyDisks(), ends: legacyEnds() });
    const onDisk = result.divergences.find(({ kind }) => kind === 'disk');
    expect(onDisk).toMatchObject({ kind: 'disk', transport: 0, memory: { differing: 1 } });
    expect(onDisk!.memory!.at % 512).toBe(9);
    expect(result.final.disks[0]!.asGiven).toBe(false);
  });

  it('finds a byte of the start image where it is read first', async () => {
    const disks = legacyDisks();
    disks.get(0)![5]! ^= 1;
    const result = await replayed(text, { disks });
    expect(result.divergences[0]).toMatchObject({
      step: 76,
      kind: 'memory',
      memory: { at: 5, differing: 1 },
    });
  });

  it('leaves the images that it was given alone', async () => {
    const disks = legacyDisks();
    const before = createHash('sha256').update(disks.get(0)!).digest('hex');
    await replayed(text, { disks });
    expect(createHash('sha256').update(disks.get(0)!).digest('hex')).toBe(before);
  });

  it('finds a device model that answers, interrupts, or writes otherwise, or not at all', async () => {
    const irq = await replayed(
      text,
      { disks: legacyDisks() },
      spoilt(builtinTarget(), { level: (step, _, level) => (step >= 90 && step < 94 ? undefined : level) }),
    );
    expect(irq.divergences).toMatchObject([
      { step: 89, kind: 'interrupt', expected: '60 changes, this one at step 89' },
    ]);
    const memory = await replayed(
      text,
      { disks: legacyDisks() },
      spoilt(builtinTarget(), {
        used: (step, { elements }, target) => {
          if (step === 103) (target.view(elements[0]!.buffers[0]!.gpa, 16) as Uint8Array)[3]! ^= 0xff;
          return undefined;
        },
      }),
    );
    expect(memory.divergences).toMatchObject([{ step: 103, kind: 'memory', memory: { at: 3 } }]);
    const dead = await replayed(
      text,
      { disks: legacyDisks(), timeoutMs: 100 },
      spoilt(builtinTarget(), { used: (step) => (step > 100 ? false : undefined) }),
    );
    expect(dead.stopped).toMatchObject({ why: '3 times nothing came within 0.1 s' });
    expect(dead.divergences[0]).toMatchObject({ step: 103, kind: 'missing', field: 'used index' });
    expect(dead.equal).toBe(false);
    let calls = 0;
    const unsteady = await replayed(
      text,
      { disks: legacyDisks(), runs: 3, ignore: ['irq'] },
      spoilt(builtinTarget(), {
        answer: (step, value) => (step === 78 && ++calls === 3 ? value ^ 2 : value),
      }),
    );
    expect(unsteady.equal).toBe(false);
    expect(unsteady.divergences).toMatchObject([{ kind: 'run', field: 'hash of run 3 of 3' }]);
  });

  it.each(['start', 'used', 'final', 'stop'] as const)(
    'ends when interrupted, though %s hangs',
    async (where) => {
      const stop = new AbortController();
      const hanging: MakeTarget = (setup, sink) => {
        const target = builtinTarget()(setup, sink);
        target[where] = () => {
          stop.abort();
          return new Promise<never>(() => undefined);
        };
        return target;
      };
      const begin = Date.now();
      const replay = replayed(text, { disks: legacyDisks(), signal: stop.signal }, hanging);
      if (where === 'stop') stop.abort();
      await expect(replay).rejects.toThrow('the replay was interrupted');
      expect(Date.now() - begin).toBeLessThan(20_000);
    },
  );

  it('keeps out what it is told to, counts it, and is not proven then', async () => {
    const other = spoilt(builtinTarget(), { answer: (step, value) => (step < 66 ? value ^ 0x100 : value) });
    const strict = await replayed(text, { disks: legacyDisks() }, other);
    const registers = new Set(strict.divergences.map(({ register }) => register!.replace(/\+.*/, '')));
    expect(strict.equal).toBe(false);
    const ignore = [...registers].map((name) => (name === 'Config' ? 'config' : `register:${name}`));
    const loose = await replayed(text, { disks: legacyDisks(), ignore }, other);
    expect(loose).toMatchObject({ equal: true, proven: false, divergenceCount: 0 });
    const counted = loose.ignored.reduce((sum, { count }) => sum + count, 0);
    expect(counted).toBe(strict.divergenceCount);
    expect(loose.unproven.join()).toContain('ignored by policy');
    await expect(replayed(text, { disks: legacyDisks(), ignore: ['everything'] })).rejects.toThrow(
      'unknown policy of --ignore; expected irq, config',
    );
    await expect(replayed(text, { disks: legacyDisks(), ignore: ['register:Sky'] })).rejects.toThrow(
      'unknown register',
    );
  });

  it('calls no racy chain proven', async () => {
    const step = stepOf(text, (line) => line.startsWith('{"t":"X"'));
    const racy = (len: number): string =>
      changed(text, step, ({ u }) => {
        Object.assign((u as Used[])[0]!.el[0]!, { racy: true, len });
      });
    const same = await replayed(racy(4097), { disks: legacyDisks() });
    expect(same).toMatchObject({ equal: true, proven: false, racy: { elements: 1, differing: 0 } });
    const other = await replayed(racy(4096), { disks: legacyDisks() });
    expect(other).toMatchObject({ equal: false, divergences: [{ step, racy: true }] });
    const ignored = await replayed(racy(4096), { disks: legacyDisks(), ignore: ['racy'] });
    expect(ignored).toMatchObject({ equal: true, proven: false, racy: { elements: 1, differing: 1 } });
  });

  it('compares registers alone where the recording holds no memory', async () => {
    const bare = text
      .split('\n')
      .filter((line) => !/^\{"t":"[MX]"/.test(line))
      .join('\n');
    const result = await replayed(bare, {});
    expect(result).toMatchObject({
      equal: true,
      proven: false,
      level: 'registers',
      levelReason: 'the recording holds no guest memory',
      compared: { usedElements: 0, interrupts: 0 },
    });
    expect(result.compared.reads).toBe(83 - 30);
  });

  it('wants the disk, and none that is not there', async () => {
    await expect(replayed(text, {})).rejects.toThrow(
      'the disk of transport 0 is needed; expected --disk 0=IMAGE, the image of 8388608 bytes',
    );
    await expect(replayed(text, { disks: new Map([[3, new Uint8Array(512)]]) })).rejects.toThrow(
      '--disk: transport 3 of the recording has no disk; expected 0',
    );
  });
});

describe.skipIf(!present)('a QEMU guest with disk, network, console and display', () => {
  it('is equal in 20 runs, with what the devices hold in the end', async () => {
    const result = await replayed(shared(MODERN), { disks: modernDisks(), runs: 20 });
    expect(result).toMatchObject({
      equal: true,
      proven: true,
      compared: { reads: 350, usedElements: 92, memoryRecords: 4681 },
    });
    expect(new Set(result.runs.map(({ hash }) => hash)).size).toBe(1);
    const { disks, sent, output, screens } = result.final;
    expect(disks[0]!.sha256.slice(0, 16)).toBe('adc64e8d121c69f8');
    expect(sent).toMatchObject([{ transport: 1, frames: 11 }]);
    expect(output).toMatchObject([{ transport: 2, port: 0, text: 'hello from hvc0\r\n' }]);
    expect(screens).toMatchObject([{ transport: 3, width: 1280, height: 800 }]);
    expect(screens[0]!.sha256.slice(0, 16)).toBe('308dc858a4c800b5');
  });
});
