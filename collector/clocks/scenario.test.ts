import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { generateScenario, trueOffsetNs, type ScenarioOptions } from '../../fixtures/scenario/index.ts';
import { EventBatch } from '../../trace/columns.ts';
import { FileSource } from '../input/file-source.ts';
import { FtracePagesDecoder } from '../sources/ftrace-pages.ts';
import { readFormatsDirectory } from '../sources/ftrace/format-directory.ts';
import { parseProbeDefinitions } from '../sources/ftrace/probes.ts';
import type { EventDecoder } from '../sources/source.ts';
import { XentraceDecoder } from '../sources/xentrace.ts';
import { explainAlignment } from './align.ts';

/** The whole way from raw bytes, on a host model that was written for other purposes and knows its own truth. */
const scratch = mkdtempSync(join(tmpdir(), 'ioreq-trace-clocks-'));
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

const HOSTS: Record<string, ScenarioOptions> = {
  'unpatched Xen': {},
  'patched Xen, four vCPUs, CPU-bound neighbours': { patched: true, vcpus: 4, hogs: 2, pcpus: 4 },
  'kicks answered in the kernel': { kernelKicks: true },
  'answers that come before the vCPU is descheduled': { earlyAnswerEvery: 10 },
  'losses on both sides': {
    ioreqs: 3000,
    xenLoss: [
      { cpu: 0, atIoreq: 500, records: 400 },
      { cpu: 1, atIoreq: 1500, records: 3000 },
    ],
    ftraceLoss: [{ cpu: 0, atIoreq: 1000, records: 500 }],
  },
  'a slewed clock': { dom0Clock: 'mono', driftPpm: -480 },
  'a counter of no whole kHz': { counterHz: 33_333_333 },
};

it.each(Object.entries(HOSTS))('%s: the truth is inside', (name, options) => {
  const dir = join(scratch, name.replaceAll(/\W/g, '-'));
  const truth = generateScenario({ seed: 7, keepTruth: false, ...options }, dir);
  const xen = new XentraceDecoder(new FileSource(join(dir, 'xentrace.bin')));
  const inputs = readdirSync(dir)
    .filter((file) => /^cpu\d+\.raw$/.test(file))
    .map((file) => ({
      cpu: Number(/\d+/.exec(file)?.[0]),
      input: new FileSource(join(dir, file)),
    }));
  const clockName = options.dom0Clock ?? 'mono_raw';
  const { formats } = readFormatsDirectory(join(dir, 'tracefs/events'));
  const probes = parseProbeDefinitions(readFileSync(join(dir, 'kprobe_events.txt'), 'utf8'));
  const dom0 = new FtracePagesDecoder(inputs, formats, { clockName, probes });
  const [xenBatches, dom0Batches] = [decodeAll(xen), decodeAll(dom0)];
  const counterHz = options.counterHz ?? 62_500_000;
  const hz = Math.floor(counterHz / 1000) * 1000;
  const { relation, refusal } = explainAlignment({
    xen: { batches: () => xenBatches, epoch: xen.clock.epoch, hz, id: 'xen' },
    dom0: {
      batches: () => dom0Batches,
      epoch: dom0.clock.epoch,
      clockName,
      strings: dom0.strings.list,
      id: 'dom0',
    },
    domid: truth.domid,
  });
  if (relation === undefined) throw new Error(refusal);

  const { clock } = truth;
  const reference = Number(relation.referenceDom0Ns);
  const atReference = (reference - clock.dom0StartNs) / clock.dom0Rate;
  for (let i = 0; i <= 200; i++) {
    const t = atReference + ((truth.endNs - atReference) * i) / 200;
    const reading = clock.dom0StartNs + t * clock.dom0Rate;
    const offset = (reading + trueOffsetNs(clock, t)) * (counterHz / hz) - reading;
    const line = relation.offsetNs + relation.rate * (reading - reference);
    const error = i === 0 ? relation.errorNs : relation.maxErrorNs;
    // 1 ns: Dom0's reading is cut to whole ones.
    expect(Math.abs(offset - line)).toBeLessThanOrEqual(error + 1);
  }
  expect(relation.maxErrorNs).toBeLessThan(1000);
  if (clockName === 'mono_raw') expect(relation.warning).toBeUndefined();
  else expect(relation.warning).toMatch(/slewed/);
});
