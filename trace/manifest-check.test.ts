import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { emptyManifest, emptySource } from '../fixtures/small-trace.ts';
import { TraceError } from './errors.ts';
import { checkManifest } from './manifest-check.ts';
import type { Manifest } from './manifest.ts';

/** A manifest with every optional field set. */
const FULL: Manifest = {
  ...emptyManifest(),
  host: {
    xenVersion: '4.20',
    linuxVersion: '6.12',
    machine: 'aarch64',
    counterHz: 62_500_000,
    deviceModel: 'QEMU',
  },
  domid: 5,
  vcpus: 1,
  devices: [
    { name: 'blk0', kind: 'blk', base: 0x02000000, size: 0x200, spi: 33, origin: 'events', spiDerived: true },
  ],
  deviceModels: [{ pid: 1858, name: 'qemu-xen', threads: [1858, 1861] }],
  tasks: { '1': 'xinit' },
  sources: [
    {
      ...emptySource('xen'),
      files: ['xentrace.bin'],
      clock: { name: 'xen', unit: 'ticks', epoch: '18446744073709551615', hz: 62_500_000 },
      kinds: { 'xen.wake': 3 },
      rawNames: { TRC_SCHED_WAKE: 3 },
      losses: [
        { cpu: 0, count: 3, ts: 17.5 },
        { count: 0, ts: null },
      ],
      strings: ['a'],
      errors: [{ code: 'E_TRUNCATED', message: 'cut' }],
    },
  ],
  unknownFiles: ['x'],
  findings: {
    from: '[1]',
    domid: 5,
    vcpus: 2,
    pids: [1858],
    ports: [{ port: 17, vcpu: 1 }],
    portsBy: 'waits',
    answers: 371,
  },
  clock: {
    xen: 'xen',
    dom0: 'dom0',
    offsetNs: 1,
    errorNs: 2,
    maxErrorNs: 3,
    rate: 0,
    referenceDom0Ns: '1',
    methods: [{ name: 'wake', pairs: 3 }],
    exact: true,
    estimate: { offsetNs: 2, errorNs: 5, maxErrorNs: 6, rate: 0, methods: [{ name: 'wake', pairs: 3 }] },
    warning: 'w',
  },
  logClock: {
    log: 'dm-log',
    dom0: 'dom0',
    offsetNs: '1795347485112496096',
    errorNs: 2,
    maxErrorNs: 3,
    steadyErrorNs: 1,
    rate: 0,
    referenceDom0Ns: '1',
    pairs: 7,
    warning: 'w',
  },
  warnings: ['w'],
};

type Path = (string | number)[];

function paths(value: unknown, at: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [at];
  return [
    at,
    ...Object.entries(value).flatMap(([key, item]) =>
      paths(item, [...at, Array.isArray(value) ? Number(key) : key]),
    ),
  ];
}

function replaced(path: Path, by: unknown): unknown {
  const copy = JSON.parse(JSON.stringify(FULL)) as Record<string | number, unknown>;
  if (path.length === 0) return by;
  let place = copy;
  for (const step of path.slice(0, -1)) place = place[step] as Record<string | number, unknown>;
  place[path.at(-1)!] = by;
  return copy;
}

const jsonPath = (path: Path): string =>
  path.reduce<string>((text, step) => text + (typeof step === 'number' ? `[${step}]` : `.${step}`), '$');

function refusal(raw: unknown): string | undefined {
  try {
    checkManifest(raw, 'manifest.json');
    return undefined;
  } catch (error) {
    if (error instanceof TraceError && error.code === 'E_TRACE_DAMAGED') return error.message;
    throw error;
  }
}

describe('checkManifest', () => {
  it('gives a valid manifest back unchanged, without fields it does not know', () => {
    expect(JSON.parse(JSON.stringify(checkManifest({ ...FULL, extra: 1 }, 'm')))).toEqual(
      JSON.parse(JSON.stringify(FULL)),
    );
    expect(checkManifest(emptyManifest(), 'm')).toEqual(emptyManifest());
  });

  it('names the path of any field of a wrong type', () => {
    for (const path of paths(FULL)) {
      for (const wrong of [[[]], null]) {
        if (wrong === null && path.at(-1) === 'ts') continue;
        const message = refusal(replaced(path, wrong));
        expect(message, jsonPath(path)).toContain(jsonPath(path));
        expect(message).toMatch(/; expected .+, got .+/);
      }
    }
  });

  it.each<[string, Path, unknown]>([
    ['traversal in a source id', ['sources', 0, 'id'], '../../etc/passwd'],
    ['an empty source id', ['sources', 0, 'id'], ''],
    ['a negative count', ['sources', 0, 'rows'], -1],
    ['a fraction of a row', ['sources', 0, 'rows'], 1.5],
    ['an absurd count', ['sources', 0, 'records'], 1e300],
    ['an address beyond the architecture', ['devices', 0, 'base'], 2 ** 53],
    ['an SPI that is none', ['devices', 0, 'spi'], 1e9],
    ['a domid that is none', ['domid'], 70_000],
    ['a clock of 0 Hz', ['host', 'counterHz'], 0],
    ['an epoch that is no number', ['sources', 0, 'clock', 'epoch'], '0x12'],
    ['a unit that is none', ['sources', 0, 'clock', 'unit'], 'days'],
    ['another version', ['version'], 2],
    ['another format', ['format'], 'perfetto'],
  ])('refuses %s', (_, path, value) => {
    expect(refusal(replaced(path, value))).toContain(jsonPath(path));
  });

  it('refuses two sources of one id', () => {
    expect(refusal({ ...FULL, sources: [emptySource('a'), emptySource('a')] })).toContain('$.sources[1].id');
  });

  it('keeps names that mean something to JavaScript plain', () => {
    const raw = JSON.parse('{"tasks":{"__proto__":"evil","constructor":"x"}}') as Partial<Manifest>;
    const { tasks } = checkManifest({ ...emptyManifest(), ...raw }, 'm');
    expect(Object.entries(tasks)).toEqual([
      ['__proto__', 'evil'],
      ['constructor', 'x'],
    ]);
    expect(Object.getPrototypeOf(tasks)).toBeNull();
  });

  it('never fails otherwise on any JSON', () => {
    fc.assert(
      fc.property(fc.constantFrom(...paths(FULL)), fc.jsonValue(), (path, value) => {
        refusal(replaced(path, value));
      }),
      { numRuns: 500 },
    );
  });
});
