import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { recordLive } from './accuracy/live.ts';
import { captureRun, runOf } from './accuracy/run.ts';
import { accuracyTables, fillPage } from './accuracy/tables.ts';
import { WORKLOADS } from './accuracy/workloads.ts';

const ROOT = join(fileURLToPath(new URL('.', import.meta.url)), '..', '..', '..');
const PAGE = join(ROOT, 'docs', 'ACCURACY.md');

/**
 * How far the numbers of an unpatched Xen are from the exact ones, as tables in docs/ACCURACY.md. Boots the emulated
 * host with the patched Xen (IOREQ_TRACE_TRUTH_STATE: the state folder of one that runs), records each workload with
 * the command line, and compares both analyses of each trace as `trace analyze --truth` does. A committed capture comes
 * last: it holds what a recorder does not take, the device model's own trace.
 *
 *   node accuracy.js [--keep FOLDER] [--only NAME]... [--print] [TRACE...]
 *
 * --only: disk, disk-busy, all, all-busy; capture alone needs no host. --keep: leaves the traces there, so named. TRACE: these instead of new recordings, such as kept ones. --print: to stdout, not into the page.
 */
async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      keep: { type: 'string' },
      only: { type: 'string', multiple: true, default: [] },
      print: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  const { only, keep } = values;
  const names = [...WORKLOADS.map((w) => w.name), 'capture'];
  const unknown = only.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`--only ${unknown}: there are ${names.join(', ')}`);
  const wanted = (name: string): boolean => only.length === 0 || only.includes(name);
  const chosen = positionals.length > 0 ? [] : WORKLOADS.filter(({ name }) => wanted(name));
  const runs = positionals.map((dir) => runOf(titleOf(dir), dir));
  if (chosen.length > 0)
    runs.push(...(await recordLive(chosen, process.env['IOREQ_TRACE_TRUTH_STATE'], keep)));
  const missing = chosen.length + positionals.length - runs.length;
  runs.push(await captureRun(ROOT));
  const tables = accuracyTables(runs);
  if (values.print) console.log(tables);
  else writeFileSync(PAGE, fillPage(readFileSync(PAGE, 'utf8'), tables));
  const broken = runs.flatMap(({ name, report }) =>
    report.rules.filter((r) => r.certain && r.held < r.checked).map((r) => `${name}: ${r.id} is not certain`),
  );
  const missed = runs.flatMap(({ name, report }) =>
    report.clock.methods
      .filter((m) => m.holds === false)
      .map((m) => `${name}: the clock is not in the interval of "${m.name}"`),
  );
  for (const line of [...broken, ...missed]) console.error(line);
  if (missing > 0) console.error(`${missing} of ${chosen.length} workloads could not be recorded`);
  return broken.length + missed.length + missing === 0 ? 0 : 1;
}

/** A trace that --keep left is known by its workload's name. */
function titleOf(dir: string): string {
  const name = basename(dir).replace(/\.trace$/, '');
  return WORKLOADS.find((w) => w.name === name)?.title ?? name;
}

process.exitCode = await main();
