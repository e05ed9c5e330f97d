import { TraceError, isTraceError } from '../trace/errors.ts';
import { REC_TAG, type RecordingBatch } from '../trace/recording.ts';
import { REG_INTERRUPT_STATUS, REG_QUEUE_NOTIFY, VIRTIO_MMIO_WINDOW } from '../trace/virtio-mmio.ts';
import { AnswerCheck } from './compare/answers.ts';
import { Divergences } from './compare/divergences.ts';
import { diskDivergence, finalFacts } from './compare/final.ts';
import { InterruptCheck, type InterruptMark } from './compare/interrupts.ts';
import { Observed } from './compare/observed.ts';
import { Policies } from './compare/policy.ts';
import { UsedCheck } from './compare/used.ts';
import { deviceFacts, NOTHING_SKIPPED, resultOf, slotNames, type Fed, type Skipped } from './outcome.ts';
import { checkTransports, prepare, setupOf, type Prepared, type PrepareOptions } from './prepare.ts';
import { address, type Recording } from './recording/load.ts';
import { lateQueues } from './recording/late.ts';
import { uncheckedOf } from './recording/unchecked.ts';
import { parseUsed } from './recording/used.ts';
import { accessesBefore } from './recording/accesses-before.ts';
import type { Divergence, ReplayResult } from './result.ts';
import type { MakeTarget, ReplaySetup, ReplaySink, ReplayTarget } from './target.ts';

export interface ReplayOptions extends PrepareOptions {
  /** Disks as they must be at the end, by transport. */
  ends?: ReadonlyMap<number, Uint8Array>;
  /** Policies (compare/policy.ts): differences that do not count. */
  ignore?: readonly string[];
  /** Whether `save` and `restore` are wanted, with checkpoints of a target that can go back. */
  checkpoints?: boolean;
  /** Ends the replay at once: the target is stopped, and what is under way rejects. */
  signal?: AbortSignal;
  /** Called some times a second, with rows done and all. */
  progress?: (row: number, rows: number) => void;
  /** What the target reports, as it does; after it was compared. */
  onAnswer?: ReplaySink['answer'];
  onLine?: ReplaySink['line'];
}

/** Accesses between two flushes of the target: what it may hold back. Below MOST_PENDING of compare/answers.ts. */
const FLUSH_EVERY = 4096;
/** Between two pauses in which keys, signals and the target's own events are heard. */
const PAUSE_MS = 50;
/** So many used records that do not come in time, and the rest is not waited for. */
const MOST_MISSING = 3;

/** Where a comparison stands. Lists that only grow are kept by their length. */
export interface RunMark {
  next: number;
  lastAccess: number;
  stoppedAt: { step: number; why: string } | undefined;
  skipped: Skipped;
  fed: Fed;
  found: number;
  answers: number;
  observed: ReturnType<Observed['save']>;
  interrupts: InterruptMark;
  used: ReturnType<UsedCheck['save']>;
  policies: readonly number[];
}

/**
 * One replay of a recording, step by step: start, run (as often as wanted), finish, stop. Rows are those of the
 * Recording; `next` is the first that was not fed. Nothing of the order of calls to the target depends on how `run` is divided.
 *
 * Rejects with TraceError: E_TARGET if the device model fails, E_TRACE_DAMAGED and E_NOT_REPLAYABLE where the
 * recording cannot be followed; the step is named. After a rejection only stop may be called.
 */
export class ReplayRun {
  readonly recording: Recording;
  readonly prepared: Prepared;
  readonly setup: ReplaySetup;
  readonly target: ReplayTarget;
  /** First row that was not fed yet. */
  next = 0;
  private readonly options: ReplayOptions;
  private readonly policies: Policies;
  private readonly found = new Divergences();
  private readonly observed = new Observed();
  private readonly answers: AnswerCheck;
  private readonly interrupts = new InterruptCheck();
  private readonly used: UsedCheck;
  /** By slot: 1 = a device that is replayed, or an empty slot; 2 = one that nothing stands in for. */
  private readonly slots: Uint8Array;
  private readonly names: readonly string[];
  private readonly withMemory: boolean;
  private readonly skipped: Skipped = { ...NOTHING_SKIPPED };
  private readonly fed: Fed = { writes: 0, memoryRecords: 0, memoryBytes: 0 };
  private sinceFlush = 0;
  private lastPause = 0;
  /** Step of the last access that was fed. */
  private lastAccess = 0;
  private stoppedAt: { step: number; why: string } | undefined;
  private wallMs = 0;

  /** Throws what `prepare` throws, and E_USAGE for unknown policies. */
  constructor(
    recording: Recording,
    make: MakeTarget,
    options: ReplayOptions = {},
    prepared: Prepared = prepare(recording, options),
  ) {
    this.recording = recording;
    this.options = options;
    this.prepared = prepared;
    this.policies = new Policies(options.ignore ?? []);
    checkTransports(options.ends ?? new Map<number, Uint8Array>(), prepared.devices, '--end');
    this.withMemory = prepared.level === 'rings and memory';
    if (!this.withMemory && (options.ends?.size ?? 0) > 0)
      throw new TraceError('E_USAGE', '--end: without guest memory nothing is written to a disk', {
        expected: 'a recording with the contents of buffers',
        got: prepared.levelReason ?? '',
      });
    this.setup = {
      ...setupOf(prepared),
      ...(options.checkpoints === true ? { checkpoints: true } : {}),
      ...(options.ignore === undefined ? {} : { ignore: options.ignore }),
    };
    this.slots = new Uint8Array(recording.layout.slots).fill(1);
    for (const { transport } of prepared.unserved) this.slots[transport] = 2;
    this.names = slotNames(recording, prepared);
    const ids = new Map(prepared.devices.map(({ transport, deviceId }) => [transport, deviceId]));
    const name = (slot: number): string => this.names[slot] ?? `slot ${slot}`;
    this.answers = new AnswerCheck(this.policies, this.found, this.observed, (slot) => ({
      name: name(slot),
      deviceId: ids.get(slot) ?? 0,
    }));
    this.used = new UsedCheck(this.setup, this.policies, this.found, this.observed, name);
    const { onAnswer, onLine } = options;
    this.target = make(this.setup, {
      answer: (step, value, high) => {
        this.answers.answer(step, value, high);
        onAnswer?.(step, value, high);
      },
      line: (step, transport, level) => {
        this.interrupts.got(step, transport, level);
        onLine?.(step, transport, level);
      },
    });
  }

  get divergences(): readonly Divergence[] {
    return this.found.list;
  }

  /** All of them, also those beyond the list's length. */
  get divergenceCount(): number {
    return this.found.count;
  }

  /** Set when the replay ended before the recording; `run` then does nothing more. */
  get stopped(): { step: number; why: string } | undefined {
    return this.stoppedAt;
  }

  async start(): Promise<void> {
    await this.target.start();
  }

  /** Feeds the rows from `next` up to `toRow` (all unless given). */
  async run(toRow = this.recording.rows): Promise<void> {
    const begin = performance.now();
    const end = Math.min(toRow, this.recording.rows);
    while (this.next < end && this.stoppedAt === undefined) {
      const { batch, i } = this.recording.at(this.next);
      const rows = Math.min(batch.length - i, end - this.next);
      await this.feed(batch, i, i + rows);
    }
    this.wallMs += performance.now() - begin;
  }

  /** Feeds rows of one batch. Runs of accesses and memory go without a wait between them. */
  private async feed(batch: RecordingBatch, from: number, to: number): Promise<void> {
    for (let i = from; i < to && this.stoppedAt === undefined;) {
      const done = this.feedPlain(batch, i, to);
      this.next += done - i;
      i = done;
      if (this.sinceFlush >= FLUSH_EVERY) await this.breathe();
      else if (i < to) {
        await this.compareUsed(batch, i);
        this.next++;
        i++;
      }
    }
  }

  /** Up to the first used record, or until the target should be flushed; gives the row where it stopped. */
  private feedPlain(batch: RecordingBatch, from: number, to: number): number {
    let i = from;
    try {
      for (; i < to && this.sinceFlush < FLUSH_EVERY; i++) {
        switch (batch.tag[i]) {
          case REC_TAG.READ:
            this.access(batch, i, false);
            break;
          case REC_TAG.WRITE:
            this.access(batch, i, true);
            break;
          case REC_TAG.MEMORY:
            this.memory(batch, i);
            break;
          case REC_TAG.NOTIFY:
            this.late(batch, i);
            break;
          case REC_TAG.KICK:
            this.kick(batch, i, batch.queue[i]!);
            break;
          case REC_TAG.USED:
            return i;
          case REC_TAG.IRQ:
            this.interrupt(batch, i);
            break;
          default:
            this.skipped.unknown++;
        }
      }
      return i;
    } catch (error) {
      throw atStep(error, batch.step[i]!);
    }
  }

  private access(batch: RecordingBatch, i: number, write: boolean): void {
    const step = batch.step[i]!;
    const at = address(batch, i);
    const inside = at - this.recording.layout.base;
    const slot = Math.floor(inside / VIRTIO_MMIO_WINDOW);
    const kind = this.slots[slot];
    if (kind !== 1) {
      if (kind === 2) this.skipped.unserved++;
      else this.skipped.outside++;
      return;
    }
    const size = batch.size[i]!;
    const offset = inside - slot * VIRTIO_MMIO_WINDOW;
    const low = batch.value[2 * i]!;
    const high = batch.value[2 * i + 1]!;
    this.lastAccess = step;
    if (write) {
      if (!this.withMemory && offset === REG_QUEUE_NOTIFY) {
        this.skipped.notifies++;
        return;
      }
      this.sinceFlush++;
      this.fed.writes++;
      this.target.write(step, at, size, low, high);
      return;
    }
    if (!this.withMemory && offset === REG_INTERRUPT_STATUS) {
      this.skipped.status++;
      return;
    }
    const why = batch.rest[i] === '' ? undefined : uncheckedOf(batch.rest[i]!);
    if (why !== undefined) {
      this.skipped[why]++;
      return;
    }
    this.sinceFlush++;
    this.answers.expect(step, slot, offset, size, low, high);
    this.target.read(step, at, size);
  }

  private memory(batch: RecordingBatch, i: number): void {
    if (!this.withMemory) return;
    const gpa = address(batch, i);
    const bytes = batch.payload(i);
    if (!this.used.inRam(gpa, bytes.length)) {
      throw new TraceError('E_TRACE_DAMAGED', 'memory that the guest cannot have', {
        source: `recording, step ${batch.step[i]!}`,
        got: `${bytes.length} bytes at 0x${gpa.toString(16)}`,
      });
    }
    this.fed.memoryRecords++;
    this.fed.memoryBytes += bytes.length;
    this.target.setMemory(gpa, bytes);
  }

  /** Other queues of the device that had got buffers without a notify: notified now, before the one that follows. */
  private late(batch: RecordingBatch, i: number): void {
    if (!batch.rest[i]!.includes('"late"')) return;
    for (const queue of lateQueues(batch.rest[i]!, batch.step[i]!)) this.kick(batch, i, queue);
  }

  /** A notify that the guest did not make: the device had looked at the queue by itself. */
  private kick(batch: RecordingBatch, i: number, queue: number): void {
    const slot = batch.transport[i]!;
    if (!this.withMemory || this.slots[slot] !== 1) {
      this.skipped.notifies++;
      return;
    }
    const at = this.recording.layout.base + slot * VIRTIO_MMIO_WINDOW + REG_QUEUE_NOTIFY;
    this.sinceFlush++;
    this.target.write(batch.step[i]!, at, 4, queue, 0);
  }

  private interrupt(batch: RecordingBatch, i: number): void {
    const slot = address(batch, i) - this.recording.layout.firstSpi;
    if (!this.withMemory || this.slots[slot] !== 1) this.skipped.memory++;
    else this.interrupts.expect(this.lastAccess, slot, batch.value[2 * i]!);
  }

  private async compareUsed(batch: RecordingBatch, i: number): Promise<void> {
    const transport = batch.transport[i]!;
    const step = batch.step[i]!;
    if (!this.withMemory || !this.setup.devices.some((plan) => plan.transport === transport)) {
      this.skipped.memory++;
      return;
    }
    try {
      for (const ring of parseUsed(batch.rest[i]!, transport, step)) {
        const came = await this.target.used(step, ring);
        await this.used.compare(step, ring, came, this.target);
      }
    } catch (error) {
      throw atStep(error, step);
    }
    if (this.used.missing >= MOST_MISSING) {
      const seconds = this.setup.timeoutMs / 1000;
      this.stoppedAt = { step, why: `${MOST_MISSING} times nothing came within ${seconds} s` };
    }
    if (performance.now() - this.lastPause >= PAUSE_MS) await this.breathe();
  }

  private async breathe(): Promise<void> {
    await this.flush();
    if (performance.now() - this.lastPause < PAUSE_MS) return;
    this.options.progress?.(this.next, this.recording.rows);
    if (this.options.signal?.aborted === true) throw new TraceError('E_TARGET', 'the replay was interrupted');
    await new Promise((done) => setImmediate(done));
    this.lastPause = performance.now();
  }

  /** What was fed so far is done, answered and compared. */
  async flush(): Promise<void> {
    this.sinceFlush = 0;
    try {
      const wait = this.target.flush();
      if (wait !== undefined) await wait;
    } catch (error) {
      throw atStep(error, this.lastAccess);
    }
    if (this.answers.pending > 0)
      throw new TraceError('E_TARGET', `the device model left ${this.answers.pending} reads without answer`, {
        source: `step ${this.lastAccess}`,
      });
  }

  /** What came of it. Once, at the end; rows that were not fed are not missed. */
  async finish(): Promise<ReplayResult> {
    const begin = performance.now();
    await this.flush();
    const state = await this.target.final();
    const { recording, prepared, policies, found, observed } = this;
    const last = this.next === 0 ? 0 : stepAt(recording, this.next - 1);
    const devices = deviceFacts(prepared, this.names);
    this.interrupts.finish(devices, accessesBefore(recording, this.slots), policies, found, last);
    this.interrupts.observe(observed);
    // Without guest memory nothing was asked of the devices: what they hold says nothing.
    const final = this.withMemory
      ? finalFacts(state, observed)
      : { disks: [], sent: [], output: [], screens: [] };
    for (const [transport, image] of this.options.ends ?? []) {
      const name = this.names[transport]!;
      const difference = diskDivergence(last, transport, name, image, state.disks.get(transport));
      if (difference !== undefined) found.add(difference);
      const facts = final.disks.find((disk) => disk.transport === transport);
      if (facts !== undefined) Object.assign(facts, { asGiven: difference === undefined });
    }
    this.wallMs += performance.now() - begin;
    return resultOf({
      recording,
      prepared,
      devices,
      target: this.target.name,
      next: this.next,
      reads: this.answers.compared,
      fed: this.fed,
      used: this.used.counts,
      interrupts: this.interrupts.compared,
      disks: this.options.ends?.size ?? 0,
      skipped: this.skipped,
      policies,
      found,
      stopped: this.stoppedAt,
      final,
      hash: observed.digest(),
      wallMs: Math.round(this.wallMs),
    });
  }

  /** Where the comparison stands, for `restore`: after a flush, and beside a checkpoint of the target. */
  save(): RunMark {
    return {
      next: this.next,
      lastAccess: this.lastAccess,
      stoppedAt: this.stoppedAt,
      skipped: { ...this.skipped },
      fed: { ...this.fed },
      found: this.found.count,
      answers: this.answers.compared,
      observed: this.observed.save(),
      interrupts: this.interrupts.mark(),
      used: this.used.save(),
      policies: this.policies.save(),
    };
  }

  /** Goes back to where it stood, also after `finish`; the target is the caller's part. */
  restore(saved: RunMark): void {
    this.next = saved.next;
    this.lastAccess = saved.lastAccess;
    this.stoppedAt = saved.stoppedAt;
    this.sinceFlush = 0;
    Object.assign(this.skipped, saved.skipped);
    Object.assign(this.fed, saved.fed);
    this.found.backTo(saved.found);
    this.answers.backTo(saved.answers);
    this.observed.restore(saved.observed);
    this.interrupts.backTo(saved.interrupts);
    this.used.restore(saved.used);
    this.policies.restore(saved.policies);
  }

  async stop(): Promise<void> {
    await this.target.stop();
  }
}

function stepAt(recording: Recording, row: number): number {
  const { batch, i } = recording.at(row);
  return batch.step[i]!;
}

/** A failure of the device model, with the step at which it showed. */
function atStep(error: unknown, step: number): unknown {
  if (!isTraceError(error) || error.code !== 'E_TARGET' || error.message.includes('step ')) return error;
  return new TraceError('E_TARGET', `${error.message} (at step ${step})`);
}
