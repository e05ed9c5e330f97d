import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layLargeTrace, writeLargeTrace } from '../../fixtures/scale/large-trace.ts';
import { openTrace } from '../../trace/open.ts';
import type { Cost } from '../measure.ts';
import { best, timed, timedPeer } from '../measure.ts';
import { touch } from '../scale/touch.ts';
import type { Comparison } from './comparison.ts';
import { CtfWriter } from './ctf-writer.ts';

const ROUNDS = 3;
const EVENTS = 4e6;

/**
 * babeltrace2 knows neither Xen's nor ftrace's formats, so what can be compared is the reading of a trace that both
 * have in their own: the same events, 52 bytes each, as CTF and as a trace of ours. Both decode every field of every
 * event of one stream (nothing to be merged) and throw it away.
 */
export async function compareCtf(): Promise<Comparison> {
  const dir = mkdtempSync(join(tmpdir(), 'ioreq-trace-bench-'));
  try {
    const options = { events: 2 * EVENTS };
    const large = await layLargeTrace(options);
    const facts = large.manifest.sources.find((s) => s.id === 'dom0')!;
    const ctf = new CtfWriter(join(dir, 'ctf'));
    for (const batch of large.batches(facts.id)) ctf.append(batch, 1);
    ctf.close();
    await writeLargeTrace(join(dir, 'trace'), options);
    const counted = countEvents(join(dir, 'ctf'));
    if (counted !== facts.rows) throw new Error(`babeltrace2 reads ${counted} events of ${facts.rows}`);
    const theirs: Cost[] = [];
    const ours: Cost[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      theirs.push(timedPeer('babeltrace2', [join(dir, 'ctf'), '--component=sink.utils.dummy']));
      ours.push(
        timed(() => {
          let rows = 0;
          for (const batch of openTrace(join(dir, 'trace')).source(facts.id).batches()) {
            touch(batch);
            rows += batch.length;
          }
          if (rows !== facts.rows) throw new Error(`${rows} rows of ${facts.rows}`);
        }),
      );
    }
    return {
      work: 'events of Dom0 in their own format (CTF; Arrow), every field read',
      count: facts.rows,
      unit: 'events',
      peer: 'babeltrace2',
      theirs: best(theirs),
      ours: best(ours),
      goal: 1,
    };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function countEvents(dir: string): number {
  const args = [dir, '--component=sink.utils.counter', '--params=step=+0,hide-zero=true'];
  const { stdout } = spawnSync('babeltrace2', args, { encoding: 'utf8' });
  const counts = [...stdout.matchAll(/([\d,]+) Event messages/g)];
  return Number(counts.at(-1)?.[1]?.replaceAll(',', '') ?? 'NaN');
}
