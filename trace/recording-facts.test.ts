import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isTraceError } from './errors.ts';
import type { RecordingFile } from './recording-facts.ts';
import { ENDED, howItEnded, parseRecordingFile, recordingFacts } from './recording-facts.ts';

const FILE: RecordingFile = {
  format: 'ioreq-trace-recording',
  tool: { name: 'ioreq-trace', version: '0.1.0' },
  started: '2026-11-22T12:00:00.000Z',
  state: 'deviceModel',
  recorder: { pid: 4711, start: '99301', machine: 'board' },
  detail: 'process 812 ended',
  triggered: 'mmio > 2ms: blk0 vCPU 1 took 3.412 ms',
  tracePoints: 'all',
  dom0Offset: '16955021',
  memory: {
    payload: true,
    ioreqs: 205,
    lines: 106,
    slower: 2.62,
    synthesised: 3,
    inFlight: 0,
    racy: 2,
    lost: 0,
  },
  domid: 3,
  domain: 'g1',
  vcpus: 2,
  counterHz: 62_500_000,
  xenVersion: '4.20',
  linuxVersion: '6.12.0',
  machine: 'aarch64',
  hooks: ['ioreq', 'sched'],
  refused: [{ hook: 'xen', why: 'xentrace is not installed' }],
  devices: [{ kind: 'blk', base: 0x2000000, spi: 33 }],
  deviceModels: [{ pid: 812, name: 'qemu', threads: [{ tid: 815, name: 'IO iothread0' }] }],
  changes: [{ what: '/sys/kernel/tracing/kprobe_events', value: 'p:x/y z', undo: '-:x/y' }],
  warnings: ['one'],
};

function parsed(value: unknown): RecordingFile {
  return parseRecordingFile(JSON.stringify(value), 'recording.json');
}

function refusal(value: unknown): string {
  try {
    parsed(value);
    return 'taken';
  } catch (error) {
    return isTraceError(error) ? `${error.code} ${error.message}` : `not a TraceError: ${String(error)}`;
  }
}

describe("the recorder's file", () => {
  it('is read as it was written, with and without what may be missing', () => {
    expect(parsed(FILE)).toEqual(FILE);
    const least = { ...FILE };
    delete least.detail;
    delete least.triggered;
    delete least.counterHz;
    delete least.xenVersion;
    delete least.tracePoints;
    delete least.dom0Offset;
    delete least.memory;
    expect(parsed(least)).toEqual(least);
    expect(parsed({ ...least, future: 1 })).toEqual(least);
    expect(Object.keys(recordingFacts(FILE)).sort()).toEqual([
      ...['detail', 'domain', 'hooks', 'memory', 'refused', 'started', 'state', 'tracePoints', 'triggered'],
    ]);
    expect(recordingFacts(least)).not.toHaveProperty('detail');
  });

  it('says in words how it ended', () => {
    expect(howItEnded(FILE)).toBe('the device model is gone (process 812 ended)');
    expect(howItEnded({ state: 'domain' })).toBe('the domain is gone');
    for (const state of Object.keys(ENDED) as (keyof typeof ENDED)[]) {
      expect(parsed({ ...FILE, state }).state).toBe(state);
    }
  });

  it.each<[string, unknown, RegExp]>([
    ['another format', { ...FILE, format: 'ioreq-trace' }, /\$\.format is not/],
    ['another end', { ...FILE, state: 'constructor' }, /\$\.state is not/],
    ['an end inherited', { ...FILE, state: '__proto__' }, /\$\.state is not/],
    ['trace points of no kind', { ...FILE, tracePoints: 'nine' }, /\$\.tracePoints is not/],
    ['an offset that is no number', { ...FILE, dom0Offset: '0x12' }, /\$\.dom0Offset is not/],
    ['no recorder', { ...FILE, recorder: null }, /\$\.recorder\S* is not/],
    [
      'a process that is none',
      { ...FILE, recorder: { ...FILE.recorder, pid: -1 } },
      /\$\.recorder\.pid is not/,
    ],
    [
      'a share of a process',
      { ...FILE, recorder: { ...FILE.recorder, pid: 1.5 } },
      /\$\.recorder\.pid is not/,
    ],
    ['a domain above all', { ...FILE, domid: 0x8000 }, /\$\.domid is not/],
    ['a domain in words', { ...FILE, domid: '3' }, /\$\.domid is not/],
    ['a counter that stands', { ...FILE, counterHz: 0 }, /\$\.counterHz is not/],
    ['devices in a table', { ...FILE, devices: { 0: FILE.devices[0] } }, /\$\.devices is not/],
    [
      'a device below zero',
      { ...FILE, devices: [{ kind: 'blk', base: -1, spi: 33 }] },
      /\$\.devices\[0\]\.base/,
    ],
    ['an endless name', { ...FILE, domain: 'x'.repeat(5000) }, /\$\.domain is not/],
    ['a hook that is none', { ...FILE, hooks: [7] }, /\$\.hooks\[0\] is not/],
    ['hooks without end', { ...FILE, hooks: Array.from({ length: 65 }, () => 'x') }, /\$\.hooks is not/],
    ['nothing', null, /\$\S* is not/],
    ['a list', [FILE], /\$\S* is not/],
  ])('is refused with the path: %s', (_, value, expected) => {
    expect(refusal(value)).toMatch(/^E_TRACE_DAMAGED recording\.json: /);
    expect(refusal(value)).toMatch(expected);
  });

  it('that was cut off is refused', () => {
    const text = JSON.stringify(FILE);
    for (let length = 0; length < text.length; length += 7) {
      expect(() => parseRecordingFile(text.slice(0, length), 'recording.json')).toThrow(/E_TRACE|whole JSON/);
    }
  });

  it('of anybody is taken whole or refused, and nothing else', () => {
    const members = Object.keys(FILE) as (keyof RecordingFile)[];
    const hostile = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom(-0, 1e308, '\0', '__proto__', [[[]]], { length: 1e9 }, { toString: 1 }),
    );
    fc.assert(
      fc.property(fc.constantFrom(...members), hostile, (member, value) => {
        const result = refusal({ ...FILE, [member]: value });
        if (result !== 'taken') expect(result).toMatch(/^E_TRACE_DAMAGED /);
      }),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(() => parseRecordingFile(text, 'f')).toThrow(/^f: /);
      }),
    );
  });
});
