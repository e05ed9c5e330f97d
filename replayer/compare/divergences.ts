import type { Divergence } from '../result.ts';

/** More than anybody reads: what comes behind a first difference often follows from it. */
const MOST_KEPT = 1000;

/** The differences of one replay: the first ones whole, all of them counted. */
export class Divergences {
  readonly list: Divergence[] = [];
  count = 0;

  add(divergence: Divergence): void {
    this.count++;
    if (this.list.length < MOST_KEPT) this.list.push(divergence);
  }

  /** Forgets those behind the first `count`. */
  backTo(count: number): void {
    this.count = count;
    this.list.length = Math.min(this.list.length, count);
  }
}
