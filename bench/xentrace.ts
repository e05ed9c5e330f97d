import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HypervisorEvents } from '../analyzer/passes/hypervisor-events.ts';
import { XenWaits, X } from '../analyzer/passes/xen-waits.ts';
import { Histogram } from '../analyzer/stats/histogram.ts';
import { FileSource } from '../collector/input/file-source.ts';
import { XentraceDecoder } from '../collector/sources/xentrace.ts';
import { generateScenario } from '../fixtures/scenario/index.ts';
import { EventBatch } from '../trace/columns.ts';
import type { Cost } from './measure.ts';
import { best, havePeers, rateRow, rateTitle, timed, timedPeer } from './measure.ts';
import type { Comparison } from './peers/comparison.ts';
import { ratioOf } from './peers/comparison.ts';

/**
 * How fast a recording of Xen's trace buffers is decoded and analysed, against `xenalyze --summary` on the
 * same file, in the same run: alternating rounds, so that both meet the same load of the machine, and of
 * each side the round that took least, as other load only ever adds time. Both wall time and CPU time (user + system; for
 * ioreq-trace with the JIT compiler's and the garbage collector's threads) are measured, and the ratio is the
 * lower one of the two. xenalyze starts anew each round; ioreq-trace runs in one process, whose first round (the
 * JIT compiler at work) has a line of its own.
 *
 * Exit 1 below the goal, or if xenalyze is not installed (Debian: xen-utils-common).
 */
const GOAL = 2;
const ROUNDS = 5;
/** As a host with an unpatched Xen and credit2 writes it: three physical CPUs, Dom0, one guest of two vCPUs. */
const SCENARIO = {
  seed: 1,
  ioreqs: 600_000,
  vcpus: 2,
  pcpus: 3,
  markers: false,
  qemuLog: 'none',
  keepTruth: false,
} as const;
/** Rows a batch: small enough that what the decoder wrote is still in the core's cache for the pass. */
const BATCH = 8192;
/** The counter's frequency that xenalyze is told; it changes no amount of work. */
const CPU_HZ = 62_500_000;
const LINE = { scale: 1e9 / CPU_HZ, shift: 0 };

/** The span pass on the hypervisor's records: every ioreq wait of the domain, into a latency distribution. */
class Spans {
  readonly waits = new XenWaits(SCENARIO.vcpus, false, undefined);
  private readonly events = new HypervisorEvents(1, SCENARIO.vcpus, this.waits, undefined, undefined);
  readonly latency = new Histogram();

  consume(batch: EventBatch): void {
    const { waits, latency } = this;
    this.events.rows(batch, LINE, 0, batch.length);
    for (const queue of waits.queues) {
      while (queue.length > 0) {
        latency.record(queue.get(0, X.END) - queue.get(0, X.START));
        queue.shift();
      }
    }
  }
}

function runDecoder(path: string, expected: { records: number; ioreqs: number }): Cost {
  const source = new FileSource(path);
  const decoder = new XentraceDecoder(source);
  const batch = new EventBatch(BATCH);
  const spans = new Spans();
  let rows = 0;
  const cost = timed(() => {
    for (let more = true; more;) {
      batch.clear();
      more = decoder.fill(batch);
      rows += batch.length;
      spans.consume(batch);
    }
  });
  source.close();
  const { counts } = spans.waits;
  const waits = spans.latency.count;
  // Every wait but the ones that the end of the recording cuts is a span; nearly every ioreq is a wait.
  const whole = counts.offline - waits <= SCENARIO.vcpus && waits > 0.99 * expected.ioreqs;
  const { records, errors } = decoder.report;
  if (records < expected.records || rows === 0 || !whole || errors.length > 0) {
    throw new Error(`${records} records of ${expected.records}, ${waits} waits of ${expected.ioreqs} ioreqs`);
  }
  return cost;
}

/** `tell`: what happened, a line each. */
export function compareXentrace(tell: (line: string) => void): Comparison {
  const dir = mkdtempSync(join(tmpdir(), 'ioreq-trace-bench-'));
  try {
    const { counts } = generateScenario(SCENARIO, dir);
    const path = join(dir, 'xentrace.bin');
    const expected = { records: counts.xenRecords, ioreqs: counts.ioreqs };
    const records = counts.xenRecords;
    const megabytes = (statSync(path).size / 1e6).toFixed(0);
    tell(`${records} records, ${megabytes} MB, ${counts.ioreqs} ioreqs; best of ${ROUNDS} rounds`);
    const ours: Cost[] = [];
    const theirs: Cost[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      theirs.push(timedPeer('xenalyze', [`--cpu-hz=${CPU_HZ}`, '--summary', path]));
      ours.push(runDecoder(path, expected));
    }
    const [they, we] = [best(theirs), best(ours)];
    tell(rateTitle('rec'));
    tell(rateRow('xenalyze --summary', records, they));
    tell(rateRow('ioreq-trace, first round', records, ours[0]!));
    tell(rateRow('ioreq-trace', records, we));
    return {
      work: "Xen's records decoded, ioreq waits made",
      count: records,
      unit: 'records',
      peer: 'xenalyze --summary',
      theirs: they,
      ours: we,
      goal: GOAL,
    };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function main(): number {
  if (!havePeers({ xenalyze: 'xen-utils-common' })) return 1;
  const ratio = ratioOf(compareXentrace(console.log));
  console.log(`ratio ${ratio.toFixed(2)} (goal ${GOAL.toFixed(1)})`);
  return ratio < GOAL ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main();
