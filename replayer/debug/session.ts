import type { QueueState } from '../../devices/queue/queue.ts';
import type { Recording } from '../recording/load.ts';
import type { Divergence } from '../result.ts';
import type { ReplaySetup, ReplayTarget } from '../target.ts';
import {
  conditionOf,
  firstMatch,
  holdsWith,
  needsRequests,
  parseBreakpoint,
  type Breakpoint,
} from './breakpoints.ts';
import { DriverView } from './driver-view.ts';
import { chainsOf, type Place } from './inspect.ts';
import { Moments } from './moments.ts';
import type { PeekedChain } from './rings.ts';
import { Steps } from './steps.ts';

/** One replay under way: ReplayRun, as far as a debugger needs it. */
export interface DebugRun {
  readonly target: ReplayTarget;
  readonly setup: ReplaySetup;
  readonly divergences: readonly Divergence[];
  /** First row that was not fed yet. */
  readonly next: number;
  /** Set when the replay gave up before the end of the recording. */
  readonly stopped: { step: number; why: string } | undefined;
  start(): Promise<void>;
  /** Feeds every row before `row` that was not fed yet. */
  run(row: number): Promise<void>;
  flush(): void | Promise<void>;
  finish(): Promise<{ equal: boolean }>;
  /** Where the comparison stands, and back to there; beside the target's checkpoints. */
  save(): unknown;
  restore(saved: unknown): void;
  stop(): void | Promise<void>;
}

/** A replay from its begin, not started; each with disks of its own. */
export type NewRun = () => DebugRun | Promise<DebugRun>;

export type Stop =
  | { why: 'step' | 'end' | 'begin' | 'interrupted' }
  /** The replay gave up: it does not go on from here. */
  | { why: 'gave up'; text: string }
  | { why: 'breakpoint'; breakpoint: Breakpoint }
  | { why: 'divergence'; divergence: Divergence };

/** Accesses between two looks at interrupts and divergences. */
const LEAP = 256;
/**
 * A replay that can be stopped before any access, looked at, and taken back. It stands at a position (Steps):
 * everything before that access has happened. Going back replays from the latest moment kept before that position
 * (Moments), or from the begin where the target keeps none, which gives the same state because a replay is deterministic.
 */
export class DebugSession {
  readonly steps: Steps;
  readonly view: DriverView;
  /** Names of the devices, in the order of their slots. */
  readonly devices: readonly string[];
  readonly breakpoints: Breakpoint[] = [];
  /** Whether forward runs stop where the replay differs from the recording. */
  catchDivergences = true;
  /** Set from elsewhere: a run ends as soon as it can. Whoever sets it clears it when the run has ended. */
  interrupted = false;
  position = 0;
  private readonly newRun: NewRun;
  private run: DebugRun;
  private moments: Moments | undefined;
  private nextId = 1;
  /** Whether what is left at the end was compared. */
  finished = false;

  private readonly every: number | undefined;

  private constructor(recording: Recording, newRun: NewRun, run: DebugRun, every?: number) {
    const { devices } = run.setup;
    this.newRun = newRun;
    this.every = every;
    this.run = run;
    this.steps = new Steps(recording, devices);
    this.view = new DriverView(this.steps, devices);
    this.devices = devices.map(({ transport }) => this.steps.deviceName(transport));
  }

  /**
   * Starts a replay and stops before the first access. Rejects as ReplayTarget.start does. `every`: accesses between
   * two moments that are kept, at first.
   */
  static async open(recording: Recording, newRun: NewRun, every?: number): Promise<DebugSession> {
    const run = await newRun();
    const session = new DebugSession(recording, newRun, run, every);
    await session.begin(run);
    return session;
  }

  private async begin(run: DebugRun): Promise<void> {
    this.run = run;
    this.finished = false;
    try {
      await run.start();
      await run.run(this.steps.row[0]!);
      await run.flush();
      const { checkpoints } = run.target;
      this.moments = checkpoints === undefined ? undefined : new Moments(checkpoints, this.every);
      this.view.moveTo(0);
      this.keep();
    } catch (error) {
      await run.stop();
      throw error;
    }
  }

  /** What going back is made of; undefined where every way back is a replay from the begin. */
  get kept(): { moments: number; every: number; bytes: number } | undefined {
    const { moments } = this;
    return moments && { moments: moments.positions.length, every: moments.every, bytes: moments.bytes };
  }

  get target(): ReplayTarget {
    return this.run.target;
  }

  get atEnd(): boolean {
    return this.position === this.steps.count;
  }

  /** Differences found so far, in the order in which they were found. */
  get divergences(): readonly Divergence[] {
    return this.run.divergences;
  }

  get place(): Place {
    const { steps, view, position, target } = this;
    const devices = inside(target);
    return {
      steps,
      view,
      position,
      fetch: (gpa, length) => target.view(gpa, length),
      deviceQueue: (transport, queue) => devices?.get(transport)?.state.queues[queue],
    };
  }

  transportOf(name: string): number | undefined {
    return this.run.setup.devices.find(({ transport }) => this.steps.deviceName(transport) === name)
      ?.transport;
  }

  // Moving.

  /** Goes to a position, either way. */
  async goTo(position: number): Promise<void> {
    const to = Math.max(0, Math.min(position, this.steps.count));
    if (to < this.position) await this.goBack(to);
    while (this.position < to && this.run.stopped === undefined) {
      const next = Math.min(to, this.moments?.after(this.position) ?? to);
      await this.run.run(this.steps.row[next]!);
      await this.run.flush();
      this.position = next;
      if (this.moments !== undefined && next % this.moments.every === 0) this.keep();
    }
    // A replay that gave up stands where it did so, whatever was asked for.
    while (this.position > 0 && this.steps.row[this.position]! > this.run.next) this.position--;
    this.view.moveTo(this.position);
  }

  /** To the latest position at or before `to` that can be had at once. */
  private async goBack(to: number): Promise<void> {
    const { moments } = this;
    const at = moments?.before(to);
    if (moments === undefined || at === undefined) {
      await this.run.stop();
      this.position = 0;
      await this.begin(await this.newRun());
      return;
    }
    const { run, view } = moments.back(at);
    this.run.restore(run);
    this.view.restore(view);
    this.position = at;
    this.finished = false;
  }

  /** Keeps this position to go back to. */
  private keep(): void {
    if (this.run.stopped !== undefined) return;
    this.moments?.take(this.position, () => {
      this.view.moveTo(this.position);
      return { run: this.run.save(), view: this.view.save() };
    });
  }

  /** Whether the replay gave up, and why. */
  get gaveUp(): string | undefined {
    const { stopped } = this.run;
    return stopped === undefined ? undefined : `step ${stopped.step}: ${stopped.why}`;
  }

  /** Runs on by so many accesses; breakpoints do not count, what differs shows in `divergences`. */
  async step(count = 1): Promise<Stop> {
    await this.goTo(this.position + count);
    const text = this.gaveUp;
    if (text !== undefined) return { why: 'gave up', text };
    return { why: this.atEnd ? 'end' : 'step' };
  }

  async stepBack(count = 1): Promise<Stop> {
    await this.goTo(this.position - count);
    return { why: this.position === 0 ? 'begin' : 'step' };
  }

  /** Runs until a breakpoint (or `extra`), a divergence, or the end. Breakpoints set meanwhile count. */
  async forward(extra?: Breakpoint, own = true): Promise<Stop> {
    for (;;) {
      const points = [...(own ? this.breakpoints : []), ...(extra === undefined ? [] : [extra])];
      const limit = Math.min(this.steps.count, this.position + LEAP);
      const candidate = firstMatch(points, this.position + 1, limit);
      const stopped = await this.advance(candidate ?? limit);
      if (stopped !== undefined) return stopped;
      const breakpoint = candidate === undefined ? undefined : await this.met(points);
      if (breakpoint !== undefined) return { why: 'breakpoint', breakpoint };
      if (this.atEnd) return { why: 'end' };
      if (this.interrupted) return { why: 'interrupted' };
    }
  }

  /** To a later position, unless something differs or the replay gives up before. */
  private async advance(to: number): Promise<Stop | undefined> {
    const known = this.divergences.length;
    await this.goTo(to);
    const divergence = this.catchDivergences ? firstOf(this.divergences.slice(known)) : undefined;
    if (divergence !== undefined) {
      await this.goTo(Math.min(this.positionAfter(divergence), this.position));
      return { why: 'divergence', divergence };
    }
    const text = this.gaveUp;
    if (text !== undefined) return { why: 'gave up', text };
    await new Promise((resolve) => setImmediate(resolve));
    return undefined;
  }

  /** First position at which a divergence is there to be seen. */
  positionAfter({ step }: Divergence): number {
    const k = this.steps.positionOf(step);
    return k < this.steps.count && this.steps.step[k] === step ? k + 1 : k;
  }

  /** The breakpoint that holds at this position. */
  private async met(points: readonly Breakpoint[]): Promise<Breakpoint | undefined> {
    for (const point of points) if (point.matches(this.position) && (await this.holds(point))) return point;
    return undefined;
  }

  private async holds({ condition, needsRequests }: Breakpoint): Promise<boolean> {
    if (condition === undefined) return true;
    if (this.atEnd) return false;
    const chains = needsRequests ? await this.chains() : [];
    return holdsWith(condition, this.steps, this.position, chains);
  }

  /** Runs back to the breakpoint (or divergence) met last before this position, else to the begin. */
  async backward(extra?: Breakpoint, own = true): Promise<Stop> {
    const points = [...(own ? this.breakpoints : []), ...(extra === undefined ? [] : [extra])];
    const from = this.position;
    let found: { position: number; stop: Stop } | undefined;
    const divergence = this.catchDivergences
      ? this.divergences.filter((item) => this.positionAfter(item) < from).at(-1)
      : undefined;
    if (divergence !== undefined)
      found = { position: this.positionAfter(divergence), stop: { why: 'divergence', divergence } };
    for (let k = from - 1; k > (found?.position ?? -1); k--) {
      const here = points.filter((point) => point.matches(k));
      if (here.length === 0) continue;
      // Conditions on requests need the memory of that position: those are tried on one way forward, below.
      if (here.some((point) => point.needsRequests)) return this.lastMet(points, k, found);
      const breakpoint = here.find(
        (p) => p.condition === undefined || holdsWith(p.condition, this.steps, k, []),
      );
      if (breakpoint !== undefined) found = { position: k, stop: { why: 'breakpoint', breakpoint } };
    }
    await this.goTo(found?.position ?? 0);
    return found?.stop ?? { why: 'begin' };
  }

  /** Goes to the last position behind `found` and up to `last` where a breakpoint holds; looks from moment to moment. */
  private async lastMet(
    points: readonly Breakpoint[],
    last: number,
    found: { position: number; stop: Stop } | undefined,
  ): Promise<Stop> {
    let best = found;
    const floor = (found?.position ?? -1) + 1;
    for (let high = last; high >= floor && best === found;) {
      const low = Math.max(floor, this.moments?.before(high) ?? floor);
      let k = firstMatch(points, low, high);
      for (; k !== undefined; k = firstMatch(points, k + 1, high)) {
        await this.goTo(k);
        await new Promise((resolve) => setImmediate(resolve));
        if (this.interrupted) return { why: 'interrupted' };
        const breakpoint = await this.met(points);
        if (breakpoint !== undefined) best = { position: k, stop: { why: 'breakpoint', breakpoint } };
      }
      high = low - 1;
    }
    await this.goTo(best?.position ?? 0);
    return best?.stop ?? { why: 'begin' };
  }

  // Breakpoints.

  /** Throws E_USAGE for a place or condition that is not understood. */
  addBreakpoint(text: string): Breakpoint {
    const breakpoint = { id: this.nextId++, ...this.parse(text) };
    this.breakpoints.push(breakpoint);
    return breakpoint;
  }

  /** One that is not in the list. */
  parse(text: string): Omit<Breakpoint, 'id'> {
    return parseBreakpoint(text, this.steps, this.devices);
  }

  /** A breakpoint before the access at a position. */
  breakpointAt(position: number, condition?: string): Breakpoint {
    const parsed = condition === undefined ? undefined : conditionOf(condition);
    return {
      id: this.nextId++,
      text: `step ${this.steps.step[position] ?? 'end'}`,
      matches: (k) => k === position,
      needsRequests: parsed !== undefined && needsRequests(parsed),
      ...(parsed === undefined ? {} : { condition: parsed }),
    };
  }

  removeBreakpoint(id: number): boolean {
    const at = this.breakpoints.findIndex((point) => point.id === id);
    if (at >= 0) this.breakpoints.splice(at, 1);
    return at >= 0;
  }

  // Looking.

  /** The chains that the notify at this position is about; none if the access is no notify. */
  async chains(): Promise<PeekedChain[]> {
    const { steps, position } = this;
    const queue = steps.notified(position);
    if (queue === undefined) return [];
    return chainsOf(this.place, steps.transport[position]!, queue, steps.added[position]!);
  }

  async memory(gpa: number, length: number): Promise<Uint8Array> {
    return Uint8Array.from(await this.target.view(gpa, length));
  }

  /** Runs to the end and compares what is left there. Does not stop anywhere. */
  async finish(): Promise<{ equal: boolean }> {
    // What is compared at the end can be compared once in a replay.
    if (this.finished) await this.goBack(this.steps.count);
    await this.goTo(this.steps.count);
    this.finished = true;
    return this.run.finish();
  }

  async close(): Promise<void> {
    await this.run.stop();
  }
}

/** The earliest by step; those found at the same step keep their order. */
function firstOf(divergences: readonly Divergence[]): Divergence | undefined {
  return [...divergences].sort((a, b) => a.step - b.step)[0];
}

interface Inside {
  devices: ReadonlyMap<number, { state: { queues: readonly QueueState[] } }>;
}

/** The devices of a target that lets one look inside. */
function inside(target: ReplayTarget): Inside['devices'] | undefined {
  const { devices } = target as Partial<Inside>;
  return devices instanceof Map ? devices : undefined;
}
