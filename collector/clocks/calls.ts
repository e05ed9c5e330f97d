import type { Possible } from './feasible.ts';
import type { InstantRing } from './gaps.ts';
import type { LossWindows } from './windows.ts';

/** A call that Dom0 makes and that Xen records once while it lasts. */
export const CALL = { ANSWER: 0, INJECT: 1 } as const;

/**
 * Calls of Dom0's tasks that have been entered and not yet returned. The record that Xen writes during a call
 * lies between entry and return, so entry + offset <= record <= return + offset. Which record it is need not
 * be known: all that can be meant bound it from both sides.
 */
export class Calls {
  readonly pairs = [0, 0];
  /** Matched and unmatched calls by sort and key (event-channel port, or 2 * SPI + level). */
  private readonly matched = new Uint32Array(2 * KEYS);
  private readonly unmatched = new Uint32Array(2 * KEYS);
  private readonly pid = new Int32Array(PENDING);
  private readonly sort = new Uint8Array(PENDING);
  private readonly key = new Uint32Array(PENDING);
  private readonly entered = new Float64Array(PENDING);
  private pending = 0;

  enter(pid: number, sort: number, key: number, at: number): void {
    // Task 0 is the idle task of every CPU, -1 is unknown: neither makes calls.
    if (pid <= 0 || key >= KEYS) return;
    this.leave(pid);
    if (this.pending >= PENDING) return;
    const i = this.pending++;
    this.pid[i] = pid;
    this.sort[i] = sort;
    this.key[i] = key;
    this.entered[i] = at;
  }

  /** Index of the pending call of this task; -1 if it is in none. */
  find(pid: number): number {
    for (let i = 0; i < this.pending; i++) if (this.pid[i] === pid) return i;
    return -1;
  }

  sortOf(i: number): number {
    return this.sort[i]!;
  }

  keyOf(i: number): number {
    return this.key[i]!;
  }

  /** The call `i` returned at `at`: bounds the offset if its records are all there. */
  resolve(i: number, at: number, records: InstantRing | undefined, context: CallContext): void {
    const entered = this.entered[i]!;
    const sort = this.sort[i]!;
    const slot = sort * KEYS + this.key[i]!;
    this.remove(i);
    const { feasible, toU, slack, losses } = context;
    const from = entered + feasible.low(toU(entered)) - slack;
    const to = at + feasible.high(toU(at)) + slack;
    if (from < context.begin || to > context.position || losses.touches(from, to)) return;
    if (records === undefined) {
      this.unmatched[slot]!++;
      return;
    }
    if (!records.reaches(from)) return;
    const first = records.firstFrom(from);
    const last = records.lastTo(to);
    if (!(first <= to)) {
      this.unmatched[slot]!++;
      return;
    }
    // Only a single candidate speaks for the key: where many lie in the window, some always do.
    if (first === last) this.matched[slot]!++;
    if (!context.trusted[slot]) return;
    this.pairs[sort]!++;
    feasible.atLeast(toU(at), first - at - slack);
    feasible.atMost(toU(entered), last - entered + slack);
  }

  /**
   * Keys whose calls certainly are what they seem: (nearly) every one of them has a record. A port that is
   * notified for another purpose, or an interrupt that Xen refuses, has none.
   */
  trust(into: Uint8Array): void {
    for (let slot = 0; slot < into.length; slot++) {
      const good = this.matched[slot]!;
      into[slot] = good >= MIN_MATCHED && this.unmatched[slot]! <= good * MAX_UNMATCHED ? 1 : 0;
    }
  }

  /**
   * False if many answers were made and on no port do most of them have a record: then what is taken as possible
   * cannot be true.
   */
  plausible(): boolean {
    let missing = 0;
    for (let key = 0; key < KEYS; key++) {
      if (this.matched[key]! > 0 && this.matched[key]! >= this.unmatched[key]!) return true;
      missing += this.unmatched[key]!;
    }
    return missing < MIN_MISSING;
  }

  private leave(pid: number): void {
    const i = this.find(pid);
    if (i >= 0) this.remove(i);
  }

  private remove(i: number): void {
    const last = --this.pending;
    this.pid[i] = this.pid[last]!;
    this.sort[i] = this.sort[last]!;
    this.key[i] = this.key[last]!;
    this.entered[i] = this.entered[last]!;
  }
}

export interface CallContext {
  feasible: Possible;
  toU: (at: number) => number;
  slack: number;
  losses: LossWindows;
  /** Xen's records reach from here to here. */
  begin: number;
  position: number;
  trusted: Uint8Array;
}

export function noTrust(): Uint8Array {
  return new Uint8Array(2 * KEYS);
}

/** FIFO event channels have up to 2^17 ports (xen/include/public/event_channel.h). */
const KEYS = 1 << 17;
const PENDING = 64;
const MIN_MISSING = 8;
const MIN_MATCHED = 4;
const MAX_UNMATCHED = 0.005;
