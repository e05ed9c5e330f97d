import { expect, it } from 'vitest';
import { WaitSurroundings } from './wait-surroundings.ts';

const [RUNNING, RUNNABLE, BLOCKED, OFFLINE] = [0, 1, 2, 3];

/** Feeds runstates of vCPU 0, [time, new state], and gives what the pass tells. */
function told(states: readonly (readonly [number, number])[]): number[][] {
  const list: number[][] = [];
  const pass = new WaitSurroundings(1, (...all) => list.push(all));
  let old = RUNNING;
  for (const [t, now] of states) {
    pass.runstate(0, old, now, t);
    old = now;
  }
  pass.finish();
  return list;
}

it('limits a trap by the waits before and after', () => {
  const list = told([
    [100, OFFLINE],
    [180, RUNNABLE],
    [200, RUNNING],
    [300, OFFLINE],
    [380, RUNNABLE],
    [400, RUNNING],
    [500, OFFLINE],
    [600, RUNNING],
  ]);
  expect(list).toEqual([
    [0, NaN, 100, 200, 300],
    [0, 200, 300, 400, 500],
    [0, 400, 500, 600, NaN],
  ]);
});

it('limits it by the blocks of an idle guest, and not by its preemptions', () => {
  const list = told([
    [10, BLOCKED],
    [50, RUNNABLE],
    [60, RUNNING],
    [70, RUNNABLE],
    [90, RUNNING],
    [100, OFFLINE],
    [180, RUNNABLE],
    [200, RUNNING],
    [210, RUNNABLE],
    [240, RUNNING],
    [300, BLOCKED],
  ]);
  expect(list).toEqual([[0, 50, 100, 200, 300]]);
});
