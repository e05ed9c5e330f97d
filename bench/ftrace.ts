import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileSource } from '../collector/input/file-source.ts';
import { TraceDatDecoder } from '../collector/sources/trace-dat.ts';
import { writeRepeatedTraceDat } from '../fixtures/ftrace-pages-writer.ts';
import { EventBatch } from '../trace/columns.ts';

/**
 * How fast ring-buffer pages become event columns, against `trace-cmd report > /dev/null` on the same file
 * (version 6, pages as the kernel wrote them), in the same run: alternating rounds, so that both meet the
 * same load of the machine. Rates are events per CPU second (user + system); wall time is shown beside it.
 *
 * The events are those of a live capture (fixtures/raw/ftrace/log-backend), repeated in time.
 * Exit 1 below the goal, or if trace-cmd is not installed. Run from the repository's root.
 */
const GOAL = 10;
const ROUNDS = 3;
const SAMPLE = join('fixtures', 'raw', 'ftrace', 'log-backend');
const REPEATS = 1480;

interface Cost {
  cpu: number;
  wall: number;
  events: number;
}

function runDecoder(path: string): Cost {
  const cpu = process.cpuUsage();
  const wall = performance.now();
  const source = new FileSource(path);
  const decoder = new TraceDatDecoder(source);
  const batch = new EventBatch();
  let rows = 0;
  for (let more = true; more;) {
    batch.clear();
    more = decoder.fill(batch);
    rows += batch.length;
  }
  source.close();
  const used = process.cpuUsage(cpu);
  const { records, errors } = decoder.report;
  if (rows < records || errors.length > 0) {
    throw new Error(`decoded ${rows} rows of ${records} records; ${errors.map(String).join('; ')}`);
  }
  return {
    cpu: (used.user + used.system) / 1e6,
    wall: (performance.now() - wall) / 1e3,
    events: records,
  };
}

function runTraceCmd(path: string): Cost {
  const wall = performance.now();
  // The shell's `times` gives the child's CPU seconds; Node has no getrusage for children.
  const script = 'trace-cmd report -i "$1" >/dev/null 2>&1; code=$?; times; exit $code';
  const child = spawnSync('bash', ['-c', script, 'bash', path], { encoding: 'utf8' });
  const spent = (performance.now() - wall) / 1e3;
  if (child.status !== 0) throw new Error(`trace-cmd failed (${child.status ?? 'killed'}): ${child.stderr}`);
  const times = [...child.stdout.matchAll(/(\d+)m([\d.]+)s/g)].map((m) => Number(m[1]) * 60 + Number(m[2]));
  // Two lines: the shell itself, then its children; user and system each.
  return { cpu: times[2]! + times[3]!, wall: spent, events: 0 };
}

/** trace-cmd prints one line an event after its "cpus=" line: the two must agree on how many there are. */
function countLines(path: string): number {
  const script = 'trace-cmd report -i "$1" 2>/dev/null | grep -c "^ .*: "';
  return Number(spawnSync('bash', ['-c', script, 'bash', path], { encoding: 'utf8' }).stdout);
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function row(name: string, events: number, costs: Cost[]): string {
  const cpu = median(costs.map((c) => c.cpu));
  const wall = median(costs.map((c) => c.wall));
  const rate = (seconds: number): string => (events / seconds / 1e6).toFixed(2).padStart(12);
  const cells = [name.padEnd(20), cpu.toFixed(2).padStart(8), wall.toFixed(2).padStart(8)];
  return `${cells.join('')}${rate(cpu)}${rate(wall)}`;
}

function main(): number {
  if (spawnSync('trace-cmd', ['--version']).error !== undefined) {
    console.error('bench: trace-cmd is not installed (Debian package trace-cmd); nothing to compare with');
    return 1;
  }
  const dir = mkdtempSync(join(tmpdir(), 'ioreq-trace-bench-'));
  try {
    const path = join(dir, 'trace.dat');
    writeRepeatedTraceDat(path, SAMPLE, REPEATS);
    const ours: Cost[] = [];
    const theirs: Cost[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      theirs.push(runTraceCmd(path));
      ours.push(runDecoder(path));
    }
    const events = ours[0]!.events;
    const printed = countLines(path);
    if (printed !== events) throw new Error(`trace-cmd prints ${printed} events, decoded were ${events}`);
    const megabytes = (statSync(path).size / 1e6).toFixed(0);
    console.log(`${events} events on 2 CPUs, ${megabytes} MB; median of ${ROUNDS} rounds`);
    console.log(`${''.padEnd(20)}   CPU s  wall s  M ev/CPU s  M ev/wall s`);
    console.log(row('trace-cmd report', events, theirs));
    console.log(row('ioreq-trace', events, ours));
    const ratio = median(theirs.map((c) => c.cpu)) / median(ours.map((c) => c.cpu));
    console.log(`ratio ${ratio.toFixed(2)} (goal ${GOAL.toFixed(1)})`);
    return ratio < GOAL ? 1 : 0;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

process.exitCode = main();
