import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateScenario } from '../fixtures/scenario/index.ts';
import { openTrace } from '../trace/open.ts';
import { run } from './scale/run.ts';

/**
 * `trace import` of raw captures of N records (`bench:import -- 1e7`), Xen's and Dom0's together, clock relation
 * included: its time, and its peak memory (VmHWM of /proc), which must stay under the goal and next to that of a
 * tenth of the records. Every record must arrive. The files are made in a temporary directory and removed.
 *
 * Exit 1 if records are missing or the memory is over a goal.
 */
const GOAL_RSS_MB = 1000;
/** What ten times the records may take more. */
const GOAL_GROWTH_MB = 100;
/** Of the modelled hosts: records that an access of the guest leaves in both traces. */
const RECORDS_AN_IOREQ = 49.4;

const MAIN = join(dirname(fileURLToPath(import.meta.url)), '..', 'cli', 'main.js');

function measure(records: number): { rssMb: number; whole: boolean } {
  const dir = mkdtempSync(join(tmpdir(), 'ioreq-trace-import-'));
  try {
    const raw = join(dir, 'raw');
    const ioreqs = Math.ceil(records / RECORDS_AN_IOREQ);
    const { counts } = generateScenario({ seed: 1, ioreqs, keepTruth: false, qemuLog: 'none' }, raw);
    const made = counts.xenRecords + counts.ftraceEvents;
    const bytes = (folder: string): number =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .map((name) => statSync(join(folder, name)))
        .reduce((sum, stat) => sum + (stat.isFile() ? stat.size : 0), 0);
    const trace = join(dir, 'trace');
    const { wall, cpu, rssMb } = run(MAIN, 'import', raw, '-o', trace);
    const { manifest } = openTrace(trace);
    const rows = manifest.sources.reduce((sum, s) => sum + s.rows, 0);
    const joined = manifest.clock === undefined ? 'clocks NOT joined' : 'clocks joined';
    console.log(
      `${made} records (${(bytes(raw) / made).toFixed(1)} B each) -> ${rows} rows (${(bytes(trace) / rows).toFixed(1)} B each) ` +
        `in ${wall.toFixed(1)} s, ${cpu.toFixed(1)} CPU s: ${(made / wall / 1e6).toFixed(2)} M/s; peak ${rssMb.toFixed(0)} MB; ${joined}`,
    );
    return { rssMb, whole: rows >= made && manifest.clock !== undefined };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const records = Number(process.argv[2] ?? '1e7');
const tenth = measure(records / 10);
const all = measure(records);
const fits = all.rssMb <= GOAL_RSS_MB && all.rssMb - tenth.rssMb <= GOAL_GROWTH_MB;
console.log(`memory ${fits ? 'within' : 'OVER'} its goals (${GOAL_RSS_MB} MB, growth ${GOAL_GROWTH_MB} MB)`);
process.exitCode = fits && all.whole && tenth.whole ? 0 : 1;
