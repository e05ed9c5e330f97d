import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { EventBatch } from '../../trace/columns.ts';
import { K } from '../../trace/events.ts';
import { ioreqState } from '../../trace/ioreq.ts';
import { FileSource } from '../input/file-source.ts';
import { FtracePagesDecoder } from './ftrace-pages.ts';
import { FtraceTextDecoder } from './ftrace-text.ts';
import { readFormatsDirectory } from './ftrace/format-directory.ts';
import { parseProbeDefinitions } from './ftrace/probes.ts';
import { parseTraceClock } from './ftrace/trace-clock.ts';
import type { EventDecoder } from './source.ts';
import { TraceDatDecoder } from './trace-dat.ts';

/** Whole captures of a live host, of which is known what happened (the README beside them). */
const CAPTURES = new URL('../../../shared/captures/xen-arm/', import.meta.url).pathname;
const present = existsSync(CAPTURES);
if (!present) console.warn(`SKIPPED: ftrace of whole captures, because ${CAPTURES} is not there`);

const scratch = present ? mkdtempSync(join(tmpdir(), 'ioreq-trace-ftrace-')) : '';
afterAll(() => {
  if (scratch !== '') rmSync(scratch, { recursive: true, force: true });
});

function unpack(name: string): string {
  execFileSync('tar', ['xf', join(CAPTURES, `${name}.tar.xz`), '-C', scratch]);
  return join(scratch, name);
}

function pages(dir: string): FtracePagesDecoder {
  const read = (file: string): string => readFileSync(join(dir, file), 'utf8');
  const { formats, errors } = readFormatsDirectory(join(dir, 'tracefs', 'events'));
  expect(errors).toEqual([]);
  const inputs = [0, 1].map((cpu) => ({ cpu, input: new FileSource(join(dir, `cpu${cpu}.raw`)) }));
  const probes = parseProbeDefinitions(read('kprobe_events.txt') + read('uprobe_events.txt'));
  return new FtracePagesDecoder(inputs, formats, {
    clockName: parseTraceClock(read('trace_clock.txt')),
    probes,
  });
}

interface Counts {
  kinds: Map<number, number>;
  /** Interrupts and notifies by event-channel port. */
  irqPorts: Map<number, number>;
  notifyPorts: Map<number, number>;
  states: Map<string, number>;
  inOrder: boolean;
}

function count(decoder: EventDecoder): Counts {
  const batch = new EventBatch();
  const counts: Counts = {
    kinds: new Map(),
    irqPorts: new Map(),
    notifyPorts: new Map(),
    states: new Map(),
    inOrder: true,
  };
  const add = <T>(map: Map<T, number>, key: T): unknown => map.set(key, (map.get(key) ?? 0) + 1);
  let last = 0;
  for (let more = true; more;) {
    batch.clear();
    more = decoder.fill(batch);
    for (let i = 0; i < batch.length; i++) {
      const kind = batch.kind[i]!;
      add(counts.kinds, kind);
      if (batch.ts[i]! < last) counts.inOrder = false;
      last = batch.ts[i]!;
      if (kind === K.DOM0_EVTCHN_IRQ) add(counts.irqPorts, batch.arg1[i]!);
      if (kind === K.DOM0_EVTCHN_NOTIFY) add(counts.notifyPorts, batch.arg1[i]!);
      if (kind === K.DOM0_IOREQ_DELIVERED || kind === K.DOM0_IOREQ_ANSWERED) {
        add(counts.states, `${kind} slot ${batch.vcpu[i]!} state ${ioreqState(batch.arg0[i]!)}`);
      }
    }
  }
  expect(decoder.report.errors).toEqual([]);
  expect(decoder.report.losses).toEqual([]);
  expect(counts.inOrder).toBe(true);
  return counts;
}

const logLines = (dir: string): number =>
  readFileSync(join(dir, 'qemu-trace.log'), 'latin1').split('\n').length - 1;
const prints = ({ report }: EventDecoder): number =>
  [...report.byName].filter(([name]) => name.startsWith('print')).reduce((sum, [, n]) => sum + n, 0);

describe.skipIf(!present)('whole captures', () => {
  it('A1: every log line is a print, every ioreq an interrupt and a notify', () => {
    const dir = unpack('A1');
    const decoder = pages(dir);
    const { kinds, irqPorts } = count(decoder);
    expect(decoder.report.records).toBe(217_091);
    expect([prints(decoder), logLines(dir)]).toEqual([15_126, 15_126]);
    expect(kinds.get(K.DM_IOREQ)).toBe(1272);
    expect([...irqPorts.values()]).toContain(1272);
    // 401 virtio interrupts: raised and lowered once each, and once more at start.
    expect([kinds.get(K.DOM0_SET_IRQ_LEVEL), kinds.get(K.DM_SET_IRQ)]).toEqual([803, 803]);
    expect(kinds.get(K.DOM0_MARKER)).toBeUndefined();
  });
  it('A2: uprobes', () => {
    const decoder = pages(unpack('A2'));
    const { kinds } = count(decoder);
    expect(decoder.report.byName.get('handle_ioreq')).toBe(372);
    expect(decoder.report.byName.get('set_irq')).toBe(203);
    expect(kinds.get(K.DOM0_SET_IRQ_LEVEL)).toBe(203);
  });
  it('C: trace.dat', () => {
    const decoder = new TraceDatDecoder(new FileSource(join(unpack('C'), 'trace.dat')));
    const { kinds } = count(decoder);
    expect(decoder.report.records).toBe(135_394);
    expect([kinds.get(K.DM_IOREQ), kinds.get(K.DM_SET_IRQ)]).toEqual([372, 203]);
    const names = [
      'privcmd',
      'privcmd_ret',
      'evtchn_irq',
      'evtchn_ioctl',
      'evtchn_write',
      'evtchn_read',
      'lateeoi',
    ];
    expect(names.map((name) => decoder.report.byName.get(name))).toEqual([534, 534, 453, 563, 453, 453, 453]);
    expect(decoder.tasks.get(3442)).toBe('qemu-xen');
  });
  it('D: text; every ioreq is READY when read and RESP_READY when answered', () => {
    const { states, kinds } = count(new FtraceTextDecoder(new FileSource(join(unpack('D'), 'trace.txt'))));
    expect([...states]).toEqual([
      [`${K.DOM0_IOREQ_DELIVERED} slot 0 state 1`, 372],
      [`${K.DOM0_IOREQ_ANSWERED} slot 0 state 3`, 372],
    ]);
    expect([kinds.get(K.DOM0_EVTCHN_READ), kinds.get(K.DOM0_EVTCHN_NOTIFY)]).toEqual([372, 372]);
  });
  it('P1: fetches of two slots, one in use', () => {
    const decoder = pages(unpack('P1'));
    const { kinds, states } = count(decoder);
    expect([prints(decoder), kinds.get(K.DM_IOREQ)]).toEqual([2811, 372]);
    expect(states.get(`${K.DOM0_IOREQ_DELIVERED} slot 0 state 1`)).toBe(372);
    expect(states.get(`${K.DOM0_IOREQ_ANSWERED} slot 0 state 3`)).toBe(372);
    expect(states.get(`${K.DOM0_IOREQ_ANSWERED} slot 1 state 0`)).toBe(372);
    expect(kinds.get(K.DOM0_SET_IRQ_LEVEL)).toBe(203);
  });
  it('P3: two vCPUs, three devices', () => {
    const decoder = pages(unpack('P3'));
    const { kinds, states } = count(decoder);
    expect([prints(decoder), kinds.get(K.DM_IOREQ)]).toEqual([7861, 1175]);
    const answered = [0, 1].map((slot) => states.get(`${K.DOM0_IOREQ_ANSWERED} slot ${slot} state 3`) ?? 0);
    // Each ioreq is answered once; the other vCPU's may be waiting at that moment.
    expect(answered).toEqual([826, 349]);
  });
});
