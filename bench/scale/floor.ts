import { openTrace } from '../../trace/open.ts';
import { touch } from './touch.ts';

/**
 * The least that an analysis of this trace can cost: every batch read from its file, every row's every column that
 * the passes look at read once in a plain loop, and nothing done with it.
 */
function readAndLoop(dir: string): { rows: number; sum: number } {
  let rows = 0;
  let sum = 0;
  for (const source of openTrace(dir).sources) {
    for (const batch of source.batches()) {
      sum += touch(batch);
      rows += batch.length;
    }
  }
  return { rows, sum };
}

const [dir] = process.argv.slice(2);
if (dir === undefined) throw new Error('usage: floor TRACE');
console.log(JSON.stringify(readAndLoop(dir)));
