import { compareFtrace } from './ftrace.ts';
import { havePeers } from './measure.ts';
import type { Comparison } from './peers/comparison.ts';
import { ratioOf } from './peers/comparison.ts';
import { compareCtf } from './peers/ctf.ts';
import { compareXentrace } from './xentrace.ts';

/**
 * Every peer and ioreq-trace on equal work, the same data in the same run, as one table (Markdown). A peer that is
 * not installed is named and left out. Run from the repository's root.
 *
 * Exit 1 if a ratio is below its goal, or no peer is there at all.
 */
interface Peer {
  command: string;
  pack: string;
  compare: () => Comparison | Promise<Comparison>;
}

const quiet = (): void => undefined;
const PEERS: readonly Peer[] = [
  { command: 'xenalyze', pack: 'xen-utils-common', compare: () => compareXentrace(quiet) },
  { command: 'trace-cmd', pack: 'trace-cmd', compare: () => compareFtrace(quiet) },
  { command: 'babeltrace2', pack: 'babeltrace2', compare: compareCtf },
];

async function main(): Promise<number> {
  const done: Comparison[] = [];
  for (const { command, pack, compare } of PEERS) {
    if (havePeers({ [command]: pack })) done.push(await compare());
  }
  console.log(
    '| the same work, the same run | peer | M/s a CPU s | M/s a wall s | ours: M/s a CPU s | M/s a wall s | ratio (goal) |',
  );
  console.log('| --- | --- | --- | --- | --- | --- | --- |');
  for (const row of done) {
    const rate = (seconds: number): string => (row.count / seconds / 1e6).toFixed(2);
    const work = `${(row.count / 1e6).toFixed(1)} M ${row.work}`;
    const rates = [row.theirs.cpu, row.theirs.wall].map(rate);
    const ours = [row.ours.cpu, row.ours.wall].map(rate);
    console.log(
      `| ${[work, row.peer, ...rates, ...ours, `${ratioOf(row).toFixed(1)} (${row.goal})`].join(' | ')} |`,
    );
  }
  return done.length === 0 || done.some((row) => ratioOf(row) < row.goal) ? 1 : 0;
}

process.exitCode = await main();
