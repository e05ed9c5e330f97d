import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FileSource } from '../collector/input/file-source.ts';
import { TraceDatDecoder } from '../collector/sources/trace-dat.ts';
import { writeRepeatedTraceDat } from '../fixtures/ftrace-pages-writer.ts';
import { EventBatch } from '../trace/columns.ts';
import type { Cost } from './measure.ts';
import { best, havePeers, rateRow, rateTitle, timed, timedPeer } from './measure.ts';
import type { Comparison } from './peers/comparison.ts';
import { ratioOf } from './peers/comparison.ts';

/**
 * How fast ring-buffer pages become event columns, against `trace-cmd report > /dev/null` on the same file
 * (version 6, pages as the kernel wrote them), in the same run: alternating rounds, so that both meet the
 * same load of the machine. Rates are events per CPU second (user + system); wall time is shown beside it.
 *
 * The events are those of a live capture (fixtures/raw/ftrace/log-backend), repeated in time.
 * Exit 1 below the goal, or if trace-cmd is not installed. Run from the repository's root.
 */
const GOAL = 10;
const ROUNDS = 5;
const SAMPLE = join('fixtures', 'raw', 'ftrace', 'log-backend');
const REPEATS = 1480;

function runDecoder(path: string): { cost: Cost; events: number } {
  const source = new FileSource(path);
  let rows = 0;
  let decoder: TraceDatDecoder | undefined;
  const cost = timed(() => {
    decoder = new TraceDatDecoder(source);
    const batch = new EventBatch();
    for (let more = true; more;) {
      batch.clear();
      more = decoder.fill(batch);
      rows += batch.length;
    }
  });
  source.close();
  const { records, errors } = decoder!.report;
  if (rows < records || errors.length > 0) {
    throw new Error(`decoded ${rows} rows of ${records} records; ${errors.map(String).join('; ')}`);
  }
  return { cost, events: records };
}

/** trace-cmd prints one line an event after its "cpus=" line: the two must agree on how many there are. */
function countLines(path: string): number {
  const script = 'trace-cmd report -i "$1" 2>/dev/null | grep -c "^ .*: "';
  return Number(spawnSync('bash', ['-c', script, 'bash', path], { encoding: 'utf8' }).stdout);
}

/** `tell`: what happened, a line each. */
export function compareFtrace(tell: (line: string) => void): Comparison {
  const dir = mkdtempSync(join(tmpdir(), 'ioreq-trace-bench-'));
  try {
    const path = join(dir, 'trace.dat');
    writeRepeatedTraceDat(path, SAMPLE, REPEATS);
    const ours: Cost[] = [];
    const theirs: Cost[] = [];
    let events = 0;
    for (let round = 0; round < ROUNDS; round++) {
      theirs.push(timedPeer('trace-cmd', ['report', '-i', path]));
      const run = runDecoder(path);
      ours.push(run.cost);
      events = run.events;
    }
    const printed = countLines(path);
    if (printed !== events) throw new Error(`trace-cmd prints ${printed} events, decoded were ${events}`);
    const megabytes = (statSync(path).size / 1e6).toFixed(0);
    tell(`${events} events on 2 CPUs, ${megabytes} MB; best of ${ROUNDS} rounds`);
    const [they, we] = [best(theirs), best(ours)];
    tell(rateTitle('ev'));
    tell(rateRow('trace-cmd report', events, they));
    tell(rateRow('ioreq-trace, first round', events, ours[0]!));
    tell(rateRow('ioreq-trace', events, we));
    return {
      work: 'events in ring-buffer pages decoded (theirs printed to nowhere, ours to columns)',
      count: events,
      unit: 'events',
      peer: 'trace-cmd report',
      theirs: they,
      ours: we,
      goal: GOAL,
    };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function main(): number {
  if (!havePeers({ 'trace-cmd': 'trace-cmd' })) return 1;
  const ratio = ratioOf(compareFtrace(console.log));
  console.log(`ratio ${ratio.toFixed(2)} (goal ${GOAL.toFixed(1)})`);
  return ratio < GOAL ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main();
