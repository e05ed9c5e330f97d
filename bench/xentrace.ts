import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileSource } from '../collector/input/file-source.ts';
import { XentraceDecoder } from '../collector/sources/xentrace.ts';
import { writeSyntheticXentrace } from '../fixtures/xentrace-writer.ts';
import { EventBatch } from '../trace/columns.ts';

/**
 * How fast a recording of Xen's trace buffers is decoded and analysed, against `xenalyze --summary` on the
 * same file, in the same run: alternating rounds, so that both meet the same load of the machine. Rates are
 * records per CPU second (user + system); wall time is shown beside it.
 *
 * Exit 1 below the goal, or if xenalyze is not installed (Debian: xen-utils-common).
 */
const GOAL = 2;
const ROUNDS = 3;
const SPEC = { records: 10_000_000, cpus: 4, windowBytes: 64 << 10 };
/** The counter's frequency that xenalyze is told; it changes no amount of work. */
const CPU_HZ = 62_500_000;

/**
 * THE ANALYSIS: one pass over every row. To be replaced by the span pass; what stands here only reads the
 * columns that pass reads, so that decoding alone is not the figure.
 */
function consume(batch: EventBatch): number {
  const { length, kind, ts, domid, vcpu, arg0, arg1 } = batch;
  let sum = 0;
  for (let i = 0; i < length; i++) {
    if (kind[i] === 1 && arg0[i] === 0 && arg1[i] === 2) sum += ts[i]! * (domid[i]! + vcpu[i]!);
  }
  return sum;
}

interface Cost {
  cpu: number;
  wall: number;
}

function runDecoder(path: string, expected: number): Cost {
  const cpu = process.cpuUsage();
  const wall = performance.now();
  const source = new FileSource(path);
  const decoder = new XentraceDecoder(source);
  const batch = new EventBatch();
  let rows = 0;
  let sum = 0;
  for (let more = true; more;) {
    batch.clear();
    more = decoder.fill(batch);
    rows += batch.length;
    sum += consume(batch);
  }
  source.close();
  const used = process.cpuUsage(cpu);
  const cost = { cpu: (used.user + used.system) / 1e6, wall: (performance.now() - wall) / 1e3 };
  if (rows !== expected || !Number.isFinite(sum) || decoder.report.errors.length > 0) {
    throw new Error(`decoded ${rows} rows of ${expected}, ${decoder.report.errors.length} errors`);
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

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function row(name: string, records: number, costs: Cost[]): string {
  const cpu = median(costs.map((c) => c.cpu));
  const wall = median(costs.map((c) => c.wall));
  const rate = (seconds: number): string => (records / seconds / 1e6).toFixed(1).padStart(12);
  const cells = [name.padEnd(20), cpu.toFixed(2).padStart(8), wall.toFixed(2).padStart(8)];
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
    const path = join(dir, 'xentrace.bin');
    const { records } = writeSyntheticXentrace(path, SPEC);
    const megabytes = (statSync(path).size / 1e6).toFixed(0);
    console.log(`${records} records on ${SPEC.cpus} CPUs, ${megabytes} MB; median of ${ROUNDS} rounds`);
    const ours: Cost[] = [];
    const theirs: Cost[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      theirs.push(runXenalyze(path));
      ours.push(runDecoder(path, records));
    }
    console.log(`${''.padEnd(20)}   CPU s  wall s  M rec/CPU s  M rec/wall s`);
    console.log(row('xenalyze --summary', records, theirs));
    console.log(row('ioreq-trace', records, ours));
    const ratio = median(theirs.map((c) => c.cpu)) / median(ours.map((c) => c.cpu));
    console.log(`ratio ${ratio.toFixed(2)} (goal ${GOAL.toFixed(1)})`);
    return ratio < GOAL ? 1 : 0;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

process.exitCode = main();
