import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { XenWaits, X } from '../analyzer/passes/xen-waits.ts';
import { Histogram } from '../analyzer/stats/histogram.ts';
import { FileSource } from '../collector/input/file-source.ts';
import { XentraceDecoder } from '../collector/sources/xentrace.ts';
import { generateScenario } from '../fixtures/scenario/index.ts';
import { EventBatch } from '../trace/columns.ts';

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
  readonly waits = new XenWaits(1, SCENARIO.vcpus, false);
  readonly latency = new Histogram();

  consume(batch: EventBatch): void {
    const { waits, latency } = this;
    waits.rows(batch, LINE, 0, batch.length);
    for (const queue of waits.queues) {
      while (queue.length > 0) {
        latency.record(queue.get(0, X.END) - queue.get(0, X.START));
        queue.shift();
      }
    }
  }
}

interface Cost {
  cpu: number;
  wall: number;
}

function runDecoder(path: string, expected: { records: number; ioreqs: number }): Cost {
  const cpu = process.cpuUsage();
  const wall = performance.now();
  const source = new FileSource(path);
  const decoder = new XentraceDecoder(source);
  const batch = new EventBatch(BATCH);
  const spans = new Spans();
  let rows = 0;
  for (let more = true; more;) {
    batch.clear();
    more = decoder.fill(batch);
    rows += batch.length;
    spans.consume(batch);
  }
  source.close();
  const used = process.cpuUsage(cpu);
  const cost = { cpu: (used.user + used.system) / 1e6, wall: (performance.now() - wall) / 1e3 };
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

function runXenalyze(path: string): Cost {
  const wall = performance.now();
  // The shell's `times` gives the child's CPU seconds; Node has no getrusage for children.
  const script = 'xenalyze --cpu-hz="$1" --summary "$2" >/dev/null 2>&1; code=$?; times; exit $code';
  const child = spawnSync('bash', ['-c', script, 'bash', `${CPU_HZ}`, path], { encoding: 'utf8' });
  const spent = (performance.now() - wall) / 1e3;
  if (child.status !== 0) throw new Error(`xenalyze failed (${child.status ?? 'killed'}): ${child.stderr}`);
  const times = [...child.stdout.matchAll(/(\d+)m([\d.]+)s/g)].map((m) => Number(m[1]) * 60 + Number(m[2]));
  // Two lines: the shell itself, then its children; user and system each.
  const cpu = times[2]! + times[3]!;
  return { cpu, wall: spent };
}

/** The least of each, not always of one round. */
function best(costs: Cost[]): Cost {
  return { cpu: Math.min(...costs.map((c) => c.cpu)), wall: Math.min(...costs.map((c) => c.wall)) };
}

function row(name: string, records: number, { cpu, wall }: Cost): string {
  const rate = (seconds: number): string => (records / seconds / 1e6).toFixed(1).padStart(14);
  const cells = [name.padEnd(26), cpu.toFixed(2).padStart(8), wall.toFixed(2).padStart(8)];
  return `${cells.join('')}${rate(cpu)}${rate(wall)}`;
}

function main(): number {
  if (spawnSync('xenalyze', ['--version']).error !== undefined) {
    console.error(
      'bench: xenalyze is not installed (Debian package xen-utils-common); nothing to compare with',
    );
    return 1;
  }
  const dir = mkdtempSync(join(tmpdir(), 'ioreq-trace-bench-'));
  try {
    const { counts } = generateScenario(SCENARIO, dir);
    const path = join(dir, 'xentrace.bin');
    const expected = { records: counts.xenRecords, ioreqs: counts.ioreqs };
    const records = counts.xenRecords;
    const megabytes = (statSync(path).size / 1e6).toFixed(0);
    console.log(`${records} records, ${megabytes} MB, ${counts.ioreqs} ioreqs; best of ${ROUNDS} rounds`);
    const ours: Cost[] = [];
    const theirs: Cost[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      theirs.push(runXenalyze(path));
      ours.push(runDecoder(path, expected));
    }
    const [they, we] = [best(theirs), best(ours)];
    console.log(`${''.padEnd(26)}   CPU s  wall s   M rec/CPU s  M rec/wall s`);
    console.log(row('xenalyze --summary', records, they));
    console.log(row('ioreq-trace, first round', records, ours[0]!));
    console.log(row('ioreq-trace', records, we));
    const ratio = Math.min(they.cpu / we.cpu, they.wall / we.wall);
    console.log(`ratio ${ratio.toFixed(2)} (goal ${GOAL.toFixed(1)})`);
    return ratio < GOAL ? 1 : 0;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

process.exitCode = main();
