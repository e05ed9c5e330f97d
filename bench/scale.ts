import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Report } from '../analyzer/report/document.ts';
import type { LargeTruth } from '../fixtures/scale/large-trace.ts';
import { writeLargeTrace } from '../fixtures/scale/large-trace.ts';
import { checkAnswers } from '../fixtures/scale/answers.ts';
import type { Run } from './scale/run.ts';
import { run } from './scale/run.ts';

/**
 * `trace analyze` of a trace of N events (`bench:scale -- 1e8 [--patched] [--rounds 3]`): its time beside the bare
 * floor, which reads the same files and looks at every column once, and its memory. The trace is made here by
 * construction (fixtures/scale) in a temporary directory, 52 bytes an event, and removed at the end; every count
 * and percentile of the report must be what the construction says.
 *
 * Memory is the peak resident size that /proc tells of the process at its end (VmHWM), the whole of Node included.
 * CPU seconds are of all threads, the floor has one; the ratio is that of the best rounds' wall times, the two processes one after the
 * other.
 *
 * Exit 1 if an answer is wrong, the memory over its goal or the ratio over its goal.
 */
const GOAL_RSS_MB = 1000;
const GOAL_RATIO = 1.5;

const HERE = dirname(fileURLToPath(import.meta.url));
/** What is installed. */
const MAIN = join(HERE, '..', '..', '..', 'dist', 'trace.mjs');
const FLOOR = join(HERE, 'scale', 'floor.js');

async function main(argv: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: argv,
    options: {
      patched: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '3' },
      seed: { type: 'string', default: '1' },
    },
    allowPositionals: true,
  });
  const dir = mkdtempSync(join(tmpdir(), 'ioreq-trace-scale-'));
  try {
    const trace = join(dir, 'large.trace');
    const begun = performance.now();
    const truth = await writeLargeTrace(trace, {
      events: Number(positionals[0] ?? '1e7'),
      patched: values.patched,
      seed: Number(values.seed),
    });
    const bytes = readdirSync(trace).reduce((sum, name) => sum + statSync(join(trace, name)).size, 0);
    console.log(
      `${truth.events} events of ${values.patched ? 'a patched' : 'an unpatched'} host in ` +
        `${(truth.durationNs / 1e9).toFixed(1)} s of trace time, ${truth.ioreqs} ioreqs, ` +
        `${(bytes / truth.events).toFixed(1)} B an event; made in ${((performance.now() - begun) / 1e3).toFixed(1)} s`,
    );
    return measure(trace, truth, Number(values.rounds));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function measure(trace: string, truth: LargeTruth, rounds: number): number {
  const row = (name: string, { wall, cpu, rssMb }: Run): void => {
    const rate = (truth.events / wall / 1e6).toFixed(2);
    const cells = [wall.toFixed(2), cpu.toFixed(2), rate, rssMb.toFixed(0)];
    console.log(`${name.padEnd(24)}${cells.map((cell) => cell.padStart(12)).join('')}`);
  };
  console.log(`${''.padEnd(24)}      wall s       CPU s  M events/s     peak MB`);
  const best = { floor: { wall: Infinity, cpu: Infinity }, ours: { wall: Infinity, cpu: Infinity } };
  let rss = 0;
  let report: Report | undefined;
  for (let round = 0; round < rounds; round++) {
    const floor = run(FLOOR, trace);
    const ours = run(MAIN, 'analyze', trace, '--json');
    row('bare read and loop', floor);
    row('trace analyze', ours);
    for (const [kept, of] of [
      [best.floor, floor],
      [best.ours, ours],
    ] as const) {
      kept.wall = Math.min(kept.wall, of.wall);
      kept.cpu = Math.min(kept.cpu, of.cpu);
    }
    rss = Math.max(rss, ours.rssMb);
    report = JSON.parse(ours.stdout) as Report;
  }
  const ratio = best.ours.wall / best.floor.wall;
  const cpuRatio = best.ours.cpu / best.floor.cpu;
  const wrong = report === undefined ? ['no round was run'] : checkAnswers(report, truth);
  for (const line of wrong) console.log(`WRONG: ${line}`);
  if (wrong.length === 0)
    console.log('every count, minimum, maximum and percentile is as the trace was made');
  console.log(`memory ${rss.toFixed(0)} MB (goal ${GOAL_RSS_MB})`);
  console.log(
    `time ${ratio.toFixed(2)} of the floor's (goal ${GOAL_RATIO}); CPU time ${cpuRatio.toFixed(2)} of the floor's`,
  );
  return wrong.length > 0 || rss > GOAL_RSS_MB || ratio > GOAL_RATIO ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
