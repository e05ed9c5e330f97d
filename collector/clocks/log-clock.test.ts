import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ScenarioOptions, ScenarioTruth } from '../../fixtures/scenario/index.ts';
import { generateScenario, trueLogOffsetNs } from '../../fixtures/scenario/index.ts';
import { EventBatch, type EventColumns } from '../../trace/columns.ts';
import { K } from '../../trace/events.ts';
import { FileSource } from '../input/file-source.ts';
import { FtracePagesDecoder } from '../sources/ftrace-pages.ts';
import { readFormatsDirectory } from '../sources/ftrace/format-directory.ts';
import { parseProbeDefinitions } from '../sources/ftrace/probes.ts';
import { QemuLogDecoder } from '../sources/qemu-log.ts';
import type { EventDecoder } from '../sources/source.ts';
import { alignLog, type LogAlignment, type LogInput } from './log-clock.ts';

const scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-log-clock-'));
afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

function decodeAll(decoder: EventDecoder): EventBatch[] {
  const batches: EventBatch[] = [];
  let more: boolean;
  do {
    const batch = new EventBatch(8192);
    more = decoder.fill(batch);
    batches.push(batch);
  } while (more);
  return batches;
}

function countOf(batches: readonly EventBatch[], kind: number): number {
  return batches.reduce((sum, b) => sum + b.kind.subarray(0, b.length).filter((k) => k === kind).length, 0);
}

const OPTIONS: ScenarioOptions = { markers: false, qemuLog: 'timestamped', ioreqs: 400 };
let cases = 0;

/** Both decoded; `edit` changes the log's text, `pids` is what is known of the device model. */
function prepare(
  options: ScenarioOptions,
  edit: (text: string) => string = (text) => text,
): { truth: ScenarioTruth; input: LogInput } {
  const dir = join(scratch, String(cases++));
  const truth = generateScenario({ ...OPTIONS, ...options }, dir);
  const path = join(dir, 'qemu-trace.log');
  writeFileSync(path, edit(readFileSync(path, 'latin1')), 'latin1');
  const log = new QemuLogDecoder(new FileSource(path));
  const cpus = readdirSync(dir)
    .filter((file) => /^cpu\d+\.raw$/.test(file))
    .map((file) => ({ cpu: Number(/\d+/.exec(file)?.[0]), input: new FileSource(join(dir, file)) }));
  const clockName = truth.clock.dom0Clock;
  const dom0 = new FtracePagesDecoder(cpus, readFormatsDirectory(join(dir, 'tracefs/events')).formats, {
    clockName,
    probes: parseProbeDefinitions(readFileSync(join(dir, 'kprobe_events.txt'), 'utf8')),
  });
  const [logBatches, dom0Batches] = [decodeAll(log), decodeAll(dom0)];
  const lost = truth.losses.reduce((sum, loss) => sum + (loss.source === 'ftrace' ? loss.count : 0), 0);
  rmSync(dir, { recursive: true });
  const input: LogInput = {
    log: {
      batches: () => logBatches,
      epoch: log.clock.epoch,
      unit: 'us',
      ioreqs: countOf(logBatches, K.DM_IOREQ),
      id: 'dm-log',
    },
    dom0: { batches: () => dom0Batches, epoch: dom0.clock.epoch, unit: 'ns', clockName, lost, id: 'dom0' },
    pids: truth.dmThreads,
  };
  return { truth, input };
}

/** Checks the relation against the truth at all ioreqs; gives errorNs and maxErrorNs. */
function check({ relation, refusal }: LogAlignment, { clock, ioreqs }: ScenarioTruth): [number, number] {
  if (relation === undefined) throw new Error(refusal);
  const reference = Number(relation.referenceDom0Ns);
  const offset = Number(BigInt(relation.offsetNs) - BigInt(clock.logStartUs) * 1000n);
  const line = (t: number): number =>
    offset + relation.rate * (clock.dom0StartNs + t * clock.dom0Rate - reference);
  // The relation is that of stamps, half a microsecond before the clock on average. 1 ns: Dom0's is cut.
  const distance = (t: number): number => Math.abs(trueLogOffsetNs(clock, t) - 500 - line(t));
  const first = (reference - clock.dom0StartNs) / clock.dom0Rate;
  expect(distance(first)).toBeLessThanOrEqual(relation.errorNs - 500 + 1);
  expect(relation.steadyErrorNs).toBeLessThanOrEqual(relation.maxErrorNs);
  for (const { service } of ioreqs) {
    if (Number.isNaN(service)) continue;
    // The generator's clocks keep their rate.
    expect(distance(service)).toBeLessThanOrEqual(relation.steadyErrorNs! - 500 + 1);
    expect(distance(service)).toBeLessThanOrEqual(relation.maxErrorNs - 500 + 1);
    // The place of a logged event: from its stamp back to Dom0's clock.
    const stamp = Math.floor((service * clock.logRate) / 1000) * 1000;
    const at = (stamp - offset + relation.rate * reference) / (1 + relation.rate);
    expect(Math.abs(at - clock.dom0StartNs - service * clock.dom0Rate)).toBeLessThanOrEqual(
      relation.maxErrorNs + 1,
    );
  }
  return [relation.errorNs, relation.maxErrorNs];
}

describe('alignLog', () => {
  it.each(Array.from({ length: 24 }, (_, i) => i + 1))('holds the truth, seed %i', (seed) => {
    const { truth, input } = prepare({
      seed,
      vcpus: 1 + (seed % 4),
      hogs: seed % 3 === 0 ? 2 : 0,
      logDriftPpm: [0, 37, -480, 900][seed % 4]!,
      ...(seed % 5 === 0 ? { dom0Clock: 'mono', driftPpm: -90 } : {}),
    });
    const aligned = alignLog(input);
    const figures = check(aligned, truth);
    expect(aligned.relation!.pairs).toBe(truth.counts.ioreqs);
    expect(aligned.relation!.warning).toBeUndefined();
    // Read and answer are some 4 us apart, a stamp is 1 us long, and the rate may change between two ioreqs.
    expect(figures[0]).toBeLessThan(4000);
    expect(figures[1]).toBeLessThan(8000);
  });

  it('holds the truth of a clock whose rate changes in the middle, and says nothing of one rate', () => {
    // Slewed by 900 ppm from the middle on.
    const change = (text: string): string => {
      const lines = text.split('\n');
      const from = usOf(lines[lines.length >> 1]!);
      return shifted(lines, (us) => Math.floor(Math.max(0, us - from) * 900e-6));
    };
    const { truth, input } = prepare({ seed: 38, thinkNs: 300_000 }, change);
    const { relation, refusal } = alignLog(input);
    if (relation === undefined) throw new Error(refusal);
    expect(relation.steadyErrorNs).toBeUndefined();
    const { clock, ioreqs } = truth;
    const services = ioreqs.map((q) => q.service).sort((a, b) => a - b);
    const offset = Number(BigInt(relation.offsetNs) - input.log.epoch * 1000n);
    const reference = Number(relation.referenceDom0Ns);
    let n = 0;
    for (const b of input.log.batches()) {
      for (let i = 0; i < b.length; i++) {
        if (b.kind[i] !== K.DM_IOREQ) continue;
        const at = (b.ts[i]! * 1000 - offset + relation.rate * reference) / (1 + relation.rate);
        const true0 = clock.dom0StartNs + services[n++]! * clock.dom0Rate;
        expect(Math.abs(at - true0)).toBeLessThanOrEqual(relation.maxErrorNs + 1);
      }
    }
    expect(n).toBe(truth.counts.ioreqs);
  });

  it('finds the thread that answers by its number of answers', () => {
    const { truth, input } = prepare({ seed: 31 });
    check(alignLog({ ...input, pids: [] }), truth);
  });

  it('does with interrupts and answers where the reads are not traced', () => {
    const { truth, input } = prepare({ seed: 32 });
    const unread = without(input.dom0.batches(), [K.DOM0_EVTCHN_READ]);
    const [error] = check(alignLog({ ...input, dom0: { ...input.dom0, batches: () => unread } }), truth);
    const [withReads] = check(alignLog(input), truth);
    expect(error).toBeGreaterThan(withReads);
    const answers = without(unread, [K.DOM0_EVTCHN_IRQ]);
    check(alignLog({ ...input, dom0: { ...input.dom0, batches: () => answers } }), truth);
  });

  it("takes Dom0's time in microseconds too", () => {
    const { truth, input } = prepare({ seed: 33 });
    const coarse = [...input.dom0.batches()].map((b) => {
      const copy = copyOf(b);
      // Cut on the absolute clock: the epoch is no whole number of microseconds.
      const rest = Number(input.dom0.epoch % 1000n);
      for (let i = 0; i < copy.length; i++) copy.ts[i] = Math.floor((b.ts[i]! + rest) / 1000);
      return copy;
    });
    const epoch = input.dom0.epoch / 1000n;
    const dom0: LogInput['dom0'] = { ...input.dom0, unit: 'us', epoch, batches: () => coarse };
    const [error] = check(alignLog({ ...input, dom0 }), truth);
    expect(error).toBeLessThan(5000);
  });

  it.each([5_000_000, 30, -5_000_000, -30])('gives none if the clock was set by %i us', (step) => {
    const { input } = prepare({ seed: 34, vcpus: 1 }, (text) => stepped(text, step));
    const { relation, refusal } = alignLog(input);
    expect(relation).toBeUndefined();
    expect(refusal).toMatch(/contradicts what was before/);
  });

  it('gives none for a clock that runs faster than any that is slewed', () => {
    expect(alignLog(prepare({ seed: 35, logDriftPpm: 5000 }).input).refusal).toMatch(/contradicts/);
  });

  it('gives none if the counts differ, or it cannot be told who answered', () => {
    const { input } = prepare({ seed: 36 });
    const { log, pids } = input;
    expect(alignLog({ ...input, log: { ...log, ioreqs: log.ioreqs + 1 } }).refusal).toBe(
      `it has ${log.ioreqs + 1} ioreqs, and answered were: by thread ${pids[0]!} ${log.ioreqs}`,
    );
    expect(alignLog({ ...input, pids: [99] }).refusal).toMatch(/nobody answered any/);
    const twins = [...input.dom0.batches()].flatMap((b) => [b, withPid(b, 99)]);
    const dom0 = { ...input.dom0, batches: () => twins };
    expect(alignLog({ ...input, pids: [], dom0 }).refusal).toMatch(/2 threads answered as often/);
  });

  it('gives none without stamps, or on a clock that is no time', () => {
    const plain = prepare({ seed: 37, qemuLog: 'plain' });
    expect(alignLog(plain.input).refusal).toBe('not all of its ioreqs have a stamp');
    const { input } = plain;
    const uptime = { ...input.dom0, clockName: 'uptime' };
    expect(alignLog({ ...input, dom0: uptime }).refusal).toMatch(/jiffies/);
  });
});

/** Ioreqs by hand: read, stamp (us) and answer. */
function byHand(ioreqs: readonly (readonly [number, number, number])[], lost = 0): LogInput {
  const dom0 = new EventBatch(256);
  const log = new EventBatch(256);
  for (const [read, stamp, answer] of ioreqs) {
    dom0.push(read, K.DOM0_EVTCHN_READ, 0, 0, 0, 7);
    dom0.arg1[dom0.push(answer, K.DOM0_EVTCHN_NOTIFY, 0, 0, 0, 7)] = 4;
    log.push(stamp, K.DM_IOREQ, 0, 0, 0, 7);
  }
  return {
    log: {
      batches: () => [log],
      epoch: 1_795_347_896_287_217n,
      unit: 'us',
      ioreqs: ioreqs.length,
      id: 'log',
    },
    dom0: {
      batches: () => [dom0],
      epoch: 5_000_000_000n,
      unit: 'ns',
      clockName: 'mono_raw',
      lost,
      id: 'dom0',
    },
    pids: [7],
  };
}

describe('what alignLog says', () => {
  const IRREGULAR = [0, 40_000, 70_000, 500_000].map((at) => [at, at / 1000, at + 3000] as const);

  it('by hand: the interval is as long as read to answer and a stamp', () => {
    const { relation } = alignLog(byHand(IRREGULAR));
    // The clock is between 3000 ns before its epoch, at the answer, and 1000 ns after it, at the read; a stamp
    // is half a microsecond less.
    const offset = Number(BigInt(relation!.offsetNs) - (1_795_347_896_287_217_000n - 5_000_000_000n));
    expect(Math.abs(offset - (-1000 - 500))).toBeLessThanOrEqual(3);
    expect(Math.abs(relation!.errorNs - 2500)).toBeLessThanOrEqual(6);
    expect(relation!.referenceDom0Ns).toBe('5000000000');
    expect(relation).toMatchObject({ log: 'log', dom0: 'dom0', pairs: 4 });
    expect(relation!.warning).toBeUndefined();
  });

  it('doubts a rhythm that fits one beat later as well, a single ioreq, and lost records', () => {
    const regular = Array.from({ length: 50 }, (_, n) => [n * 40_000, n * 40, n * 40_000 + 3000] as const);
    expect(alignLog(byHand(regular)).relation?.warning).toMatch(/taken for their neighbours/);
    expect(alignLog(byHand(regular.slice(0, 1))).relation?.warning).toMatch(/taken for their neighbours/);
    expect(alignLog(byHand(IRREGULAR, 3)).relation?.warning).toMatch(/by chance/);
  });
});

function copyOf(b: EventColumns): EventBatch {
  const copy = new EventBatch(Math.max(1, b.length));
  copy.length = b.length;
  const n = b.length;
  copy.ts.set(b.ts.subarray(0, n));
  copy.kind.set(b.kind.subarray(0, n));
  copy.pid.set(b.pid.subarray(0, n));
  copy.arg1.set(b.arg1.subarray(0, n));
  return copy;
}

/** Rows of these kinds become events of no meaning here. */
function without(batches: Iterable<EventColumns>, kinds: readonly number[]): EventBatch[] {
  return [...batches].map((b) => {
    const copy = copyOf(b);
    copy.kind.forEach((k, i) => {
      if (kinds.includes(k)) copy.kind[i] = K.DOM0_OTHER;
    });
    return copy;
  });
}

function withPid(b: EventColumns, pid: number): EventBatch {
  const copy = copyOf(b);
  copy.pid.fill(pid);
  return copy;
}

/** The log of a clock that was set in the middle. */
function stepped(text: string, us: number): string {
  const lines = text.split('\n');
  const from = lines.length / 2;
  return shifted(lines, (_, n) => (n < from ? 0 : us));
}

const STAMP = /@(\d+)\.(\d{6}):/;

function usOf(line: string): number {
  const [, seconds, fraction] = STAMP.exec(line)!;
  return Number(seconds) * 1e6 + Number(fraction);
}

/** Adds us to every line's stamp. */
function shifted(lines: readonly string[], by: (us: number, n: number) => number): string {
  return lines
    .map((line, n) => {
      if (!STAMP.test(line)) return line;
      const us = usOf(line);
      const total = String(us + by(us, n));
      return line.replace(STAMP, `@${total.slice(0, -6)}.${total.slice(-6)}:`);
    })
    .join('\n');
}
