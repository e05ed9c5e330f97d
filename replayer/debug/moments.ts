import type { Checkpoints } from '../target.ts';
import type { DriverMark } from './driver-view.ts';

/** Accesses between two moments at first, those kept at most, and bytes that they may take. */
const FIRST_EVERY = 128;
const MOST_MOMENTS = 128;
const MOST_BYTES = 256 << 20;

/** What a debugged replay keeps beside the target's own checkpoint. */
export interface MomentState {
  run: unknown;
  view: DriverMark;
}

/**
 * Positions of a debugged replay that it can go back to at once: one every so many accesses. When they become too
 * many, or too large, every second one goes, so that what lies between them doubles.
 */
export class Moments {
  /** Accesses between two. */
  every: number;
  private readonly checkpoints: Checkpoints;
  private readonly mostBytes: number;
  private readonly states = new Map<number, MomentState>();

  constructor(checkpoints: Checkpoints, every = FIRST_EVERY, mostBytes = MOST_BYTES) {
    this.checkpoints = checkpoints;
    this.every = every;
    this.mostBytes = mostBytes;
  }

  /** Those kept, rising. */
  get positions(): number[] {
    return [...this.states.keys()];
  }

  /** That are kept, about. */
  get bytes(): number {
    return this.checkpoints.bytes;
  }

  /** The next position behind this one at which to call `take`. */
  after(position: number): number {
    return (Math.floor(position / this.every) + 1) * this.every;
  }

  /** The latest one kept at or before a position. */
  before(position: number): number | undefined {
    let found: number | undefined;
    for (const at of this.states.keys()) if (at <= position) found = at;
    return found;
  }

  /** Keeps the state at a position that the replay stands at; does nothing where later ones are known. */
  take(position: number, save: () => MomentState): void {
    const last = this.positions.at(-1);
    if (last !== undefined && position <= last) return;
    this.checkpoints.take(position);
    this.states.set(position, save());
    while (
      this.states.size > MOST_MOMENTS ||
      (this.states.size > 2 && this.checkpoints.bytes > this.mostBytes)
    )
      this.thin();
  }

  /** Takes the target back to a position that is kept; the rest of its state is for the caller. */
  back(position: number): MomentState {
    this.checkpoints.back(position);
    return this.states.get(position)!;
  }

  private thin(): void {
    this.every *= 2;
    const last = this.positions.at(-1);
    for (const at of this.positions) if (at % this.every !== 0 && at !== last) this.states.delete(at);
    this.checkpoints.keep(this.positions);
  }
}
