import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sampleParts } from '../fixtures/ftrace-pages-writer.ts';
import { generateScenario } from '../fixtures/scenario/index.ts';
import { traceDat6Head } from '../fixtures/trace-dat-writer.ts';
import { havePeers, timedPeer } from './measure.ts';
import type { Run } from './scale/run.ts';
import { run } from './scale/run.ts';

/**
 * `trace analyze` of 10^7 events: its rate beside the peers' on the same recording, and its memory. The peers
 * together do less: `xenalyze --summary` reads the hypervisor's half, `trace-cmd report > /dev/null` prints
 * Dom0's; neither joins the two. Rates are events per second of wall time, best of the rounds for each side.
 *
 * Memory is the peak resident size of the whole process (VmHWM of /proc: getrusage's would count what this process held
 * when it started the other), for 10^7 events and for a quarter of them: it must stay under the goal and must not grow
 * with the length of the trace.
 *
 * Exit 1 if the peers are faster, if memory is over the goal, or if a peer is not installed.
 */
const GOAL_RATIO = 1;
const GOAL_RSS_MB = 500;
/** What the larger trace may take more: the collector's whims, not the trace. */
const GOAL_GROWTH_MB = 80;
const IOREQS = 205_000;
const ROUNDS = 3;

const MAIN = join(dirname(fileURLToPath(import.meta.url)), '..', 'cli', 'main.js');
const trace = (...args: string[]): Run => run(MAIN, ...args);

interface Recording {
  raw: string;
  trace: string;
  events: number;
  ioreqs: number;
}

function record(dir: string, name: string, ioreqs: number): Recording {
  const raw = join(dir, `${name}-raw`);
  const { counts } = generateScenario({ seed: 1, ioreqs, keepTruth: false, qemuLog: 'none' }, raw);
  const out = join(dir, `${name}.trace`);
  trace('import', raw, '-o', out);
  return { raw, trace: out, events: counts.xenRecords + counts.ftraceEvents, ioreqs: counts.ioreqs };
}

/** The same pages as trace-cmd wants them. */
function traceDat(raw: string): string {
  const path = join(raw, 'bench-trace.dat');
  const pages = [0, 1].map((cpu) => readFileSync(join(raw, `cpu${cpu}.raw`)));
  writeFileSync(
    path,
    traceDat6Head(
      sampleParts(raw),
      pages.map((p) => p.length),
    ),
  );
  for (const p of pages) appendFileSync(path, p);
  return path;
}

function main(): number {
  if (!havePeers({ xenalyze: 'xen-utils-common', 'trace-cmd': 'trace-cmd' })) return 1;
  const dir = mkdtempSync(join(tmpdir(), 'ioreq-trace-bench-'));
  try {
    const quarter = record(dir, 'quarter', IOREQS / 4);
    const whole = record(dir, 'whole', IOREQS);
    const dat = traceDat(whole.raw);
    let ours = Infinity;
    let xenalyze = Infinity;
    let traceCmd = Infinity;
    let rss = 0;
    for (let round = 0; round < ROUNDS; round++) {
      xenalyze = Math.min(
        xenalyze,
        timedPeer('xenalyze', ['--cpu-hz=62500000', '--summary', join(whole.raw, 'xentrace.bin')]).wall,
      );
      traceCmd = Math.min(traceCmd, timedPeer('trace-cmd', ['report', '-i', dat]).wall);
      const took = trace('analyze', whole.trace, '--json');
      const found = (JSON.parse(took.stdout) as { counts: { ioreqs: number } }).counts.ioreqs;
      if (found !== whole.ioreqs) throw new Error(`${found} ioreqs found of ${whole.ioreqs}`);
      ours = Math.min(ours, took.wall);
      rss = Math.max(rss, took.rssMb);
    }
    const small = trace('analyze', quarter.trace, '--json').rssMb;
    const row = (name: string, seconds: number): string =>
      `${name.padEnd(40)}${seconds.toFixed(2).padStart(8)}${(whole.events / seconds / 1e6).toFixed(2).padStart(12)}`;
    console.log(`${whole.events} events, ${whole.ioreqs} ioreqs; best of ${ROUNDS} rounds`);
    console.log(`${''.padEnd(40)}       s  M events/s`);
    console.log(row('xenalyze --summary + trace-cmd report', xenalyze + traceCmd));
    console.log(row('trace analyze', ours));
    console.log(
      `peak memory ${rss.toFixed(0)} MB (goal ${GOAL_RSS_MB}); ${small.toFixed(0)} MB with a quarter of the events`,
    );
    const ratio = (xenalyze + traceCmd) / ours;
    const fits = rss <= GOAL_RSS_MB && rss - small <= GOAL_GROWTH_MB;
    console.log(
      `ratio ${ratio.toFixed(2)} (goal ${GOAL_RATIO.toFixed(1)}), memory ${fits ? 'within' : 'OVER'} its goal`,
    );
    return ratio < GOAL_RATIO || !fits ? 1 : 0;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

process.exitCode = main();
