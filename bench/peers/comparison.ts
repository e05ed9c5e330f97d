import type { Cost } from '../measure.ts';

/** One piece of work that a peer and ioreq-trace did on the same data, the best of alternating rounds each. */
export interface Comparison {
  /** What both did. */
  work: string;
  /** Records or events; rates are those per second. */
  count: number;
  unit: string;
  peer: string;
  theirs: Cost;
  ours: Cost;
  /** Least ratio that is asked for. */
  goal: number;
}

/** How many times as fast ours is: the lower one of CPU time and wall time. */
export function ratioOf({ theirs, ours }: Comparison): number {
  return Math.min(theirs.cpu / ours.cpu, theirs.wall / ours.wall);
}
