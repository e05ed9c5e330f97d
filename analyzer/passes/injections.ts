import { K, RUNSTATE, VIRQ_FLAG } from '../../trace/events.ts';
import { DIR_UNKNOWN, NO_DEVICE, SPAN_FLAG, TARGET_UNKNOWN } from '../../trace/spans.ts';
import type { DeviceMap } from './device-map.ts';
import type { LossWindows } from './loss-windows.ts';
import { RecordQueue } from './record-queue.ts';
import type { SpanSink } from './span-sink.ts';
import type { VcpuStates } from './vcpu-states.ts';

// Module constants: a loop over events must not look a property up for every row.
const { ARM_VIRQ_ACTIVE, ARM_VIRQ_INJECT, ARM_VIRQ_LR, ARM_VIRQ_MERGED, ARM_VIRQ_RETIRED } = K;
const { RUNNING, BLOCKED, OFFLINE } = RUNSTATE;

/** Counts of one SPI's injection records. INJECT(level 1) = LR + re-pended + merged + already queued. */
export interface InjectionCounts {
  spi: number;
  injected: number;
  lr: number;
  /** Pending again while active: delivered once more without a new list register. */
  repended: number;
  /** Merged into one that was still pending in its list register. */
  merged: number;
  /** Injected while one was queued already: no effect. */
  alreadyQueued: number;
  /** Level-0 calls, which the vGIC ignores. */
  lowered: number;
  retired: number;
}

/** What the edges of the trace leave over of one SPI's counts. */
export interface InjectionEdges {
  /** Queued when the trace ended: 0 or 1. */
  queuedAtEnd: number;
  /** In a list register when it ended: 0 or 1. */
  filledAtEnd: number;
  /** Left the queue without an injection, or a list register without a fill, in the trace: from before it, or lost. */
  queuedBefore: number;
  filledBefore: number;
}

/** Fields of a delivery: one interrupt that the guest sees. */
export const I = {
  INJECT: 0,
  /** The target vCPU runs: at INJECT if it did so already. */
  RUNS: 1,
  LR: 2,
  ACTIVE: 3,
  RETIRED: 4,
  RAISES: 5,
  VCPU: 6,
  /** 1: a list register was filled, 0: pended again. */
  FILLED: 7,
  /** RUNSTATE of the target vCPU when it was injected. */
  TARGET: 8,
  /** Preemption of the vCPU from RUNS to LR, ns. */
  LOST_RUNS: 9,
  /** VcpuStates.preempted at LR; while it is queued, at RUNS. */
  PREEMPTED: 10,
  /** Number of the delivery on its line. */
  SEQ: 11,
  /** 1 until the target's first runstate record after INJECT. */
  FRESH: 12,
} as const;
export const I_WIDTH = 13;

/** Deliveries kept for the join with the guest's reads; older ones were never read. */
const MAX_UNCLAIMED = 4096;

class SpiState {
  readonly counts: InjectionCounts;
  readonly edges: InjectionEdges = { queuedAtEnd: 0, filledAtEnd: 0, queuedBefore: 0, filledBefore: 0 };
  readonly device: number;
  /** Deliveries begun, and those of them about which no more will be learned. */
  begun = 0;
  closed = 0;
  /** A list register was seen filled, and not yet retired. */
  filled = false;
  /** ACTIVE and RETIRED of the last MAX_UNCLAIMED deliveries, by SEQ. */
  readonly ends = new Float64Array(2 * MAX_UNCLAIMED);
  /** Injected, not yet in a list register. */
  readonly queued = new Float64Array(I_WIDTH).fill(NaN);
  /** In a list register. */
  readonly current = new Float64Array(I_WIDTH).fill(NaN);
  /** Deliveries (list register filled or re-pended) that no InterruptStatus read has claimed yet. */
  readonly deliveries = new RecordQueue(I_WIDTH);

  constructor(spi: number, device: number) {
    this.counts = {
      spi,
      injected: 0,
      lr: 0,
      repended: 0,
      merged: 0,
      alreadyQueued: 0,
      lowered: 0,
      retired: 0,
    };
    this.device = device;
  }
}

/** Flags of an ACTIVE record that made the interrupt pending as well (gic_update_one_lr). */
const PENDED_AGAIN = VIRQ_FLAG.QUEUED | VIRQ_FLAG.ENABLED;

/** The path from that sync to the abort record varies (decoding, cache misses), but not by more than this. */
const SAME_EXIT_FACTOR = 4;

/**
 * Interrupt injection by the old vGIC, from the Arm trace points (xen/arch/arm/vgic.c, gic-vgic.c):
 * vgic_inject_irq → list register filled → first exit that saw it active → first exit that saw it gone.
 * The last two are upper bounds: Xen only looks at list registers on the vCPU's next exit. Rows come from
 * HypervisorEvents.
 *
 * A target that does not run has to be woken first. What it did when the interrupt was injected is told by its first
 * runstate record after that; one that runs and then sleeps or waits before it is seen to counts as what it went into.
 */
export class Injections {
  private readonly sink: SpanSink;
  private readonly losses: LossWindows;
  private readonly states: SpiState[] = [];
  private readonly stateOf = new Int16Array(1024).fill(-1);
  private readonly byDevice: (SpiState | undefined)[] = [];
  /** undefined without runstates: targets are unknown then. */
  private readonly vcpus: VcpuStates | undefined;
  /** By vCPU: injections that wait for it. */
  private readonly queuedOn = new Int32Array(128);
  private readonly boundaries: Int8Array;
  private readonly scratch = new Float64Array(I_WIDTH);
  /** Shortest time from a record of the list registers' sync to the abort record of the same exit, ns. */
  private exitGap = Infinity;
  private readonly lastActive = new Float64Array(128).fill(NaN);

  constructor(devices: DeviceMap, sink: SpanSink, losses: LossWindows, vcpus: VcpuStates | undefined) {
    this.sink = sink;
    this.losses = losses;
    this.vcpus = vcpus;
    const field: Readonly<Record<string, number>> = {
      inject: I.INJECT,
      runs: I.RUNS,
      lr: I.LR,
      active: I.ACTIVE,
      retired: I.RETIRED,
    };
    this.boundaries = Int8Array.from(sink.plan.boundaries, (b) => field[b.name]!);
    for (const [d, { spi }] of devices.devices.entries()) {
      if (spi <= 0 || spi >= this.stateOf.length) continue;
      this.stateOf[spi] = this.states.length;
      const state = new SpiState(spi, d);
      this.states.push(state);
      this.byDevice[d] ??= state;
    }
  }

  get counts(): InjectionCounts[] {
    return this.states.map((s) => s.counts);
  }

  /** In the order of `counts`, once the pass is finished. */
  get edges(): InjectionEdges[] {
    return this.states.map((s) => s.edges);
  }

  /**
   * Deliveries on device lines: list register filled or pended again. The guest takes as many interrupts or
   * fewer: one that is pended again twice while active is taken once.
   */
  get delivered(): number {
    return this.states.reduce((sum, s) => sum + s.counts.lr + s.counts.repended, 0);
  }

  /** An ARM_VIRQ_* row. `vcpu` is the target's. */
  record(kind: number, virq: number, flags: number, vcpu: number, t: number): void {
    if (kind === ARM_VIRQ_ACTIVE && vcpu < this.lastActive.length) this.lastActive[vcpu] = t;
    const at = virq < this.stateOf.length ? this.stateOf[virq]! : -1;
    if (at >= 0) this.ofLine(this.states[at]!, kind, flags, vcpu, t);
  }

  /** A stage-2 abort: the end of the sync of the list registers on the same exit. */
  abort(vcpu: number, t: number): void {
    if (vcpu >= this.lastActive.length) return;
    const gap = t - this.lastActive[vcpu]!;
    if (gap < this.exitGap) this.exitGap = gap;
    this.lastActive[vcpu] = NaN;
  }

  /** A runstate record of a vCPU, that VcpuStates has seen. */
  runstate(vcpu: number, old: number, now: number, t: number): void {
    if (vcpu >= this.queuedOn.length || this.queuedOn[vcpu] === 0) return;
    for (const { queued: q } of this.states) {
      if (q[I.VCPU] !== vcpu) continue;
      if (q[I.FRESH] === 1) {
        q[I.FRESH] = 0;
        q[I.TARGET] = old;
        q[I.RUNS] = old === RUNNING ? q[I.INJECT]! : NaN;
      }
      if (now === RUNNING) {
        if (!Number.isNaN(q[I.RUNS]!)) continue;
        q[I.RUNS] = t;
        q[I.PREEMPTED] = this.vcpus!.preempted[vcpu]!;
      } else if (old === RUNNING && (now === BLOCKED || now === OFFLINE)) {
        q[I.TARGET] = now;
        q[I.RUNS] = NaN;
      }
    }
  }

  /**
   * The delivery that an InterruptStatus read at `guest` answers: the oldest unclaimed one that was in its list
   * register by then. Gives it in `out` (fields I, without its ends), with the raises of all that it stands for; NaN
   * if there is none.
   *
   * What was pended again at an earlier exit than this read's found the interrupt pending still, for its handler
   * begins with the read: it had no effect of its own (gic_update_one_lr sets a bit that is set).
   */
  claim(device: number, guest: number, out: Float64Array): void {
    out.fill(NaN);
    const deliveries = this.byDevice[device]?.deliveries;
    if (deliveries === undefined || !(deliveries.get(0, I.LR) <= guest)) return;
    // A list register is only filled anew once the delivery before is retired: that one was never read.
    while (deliveries.get(1, I.LR) <= guest && deliveries.get(1, I.FILLED) === 1) deliveries.shift();
    for (let f = 0; f < I_WIDTH; f++) out[f] = deliveries.get(0, f);
    deliveries.shift();
    const sameExit = SAME_EXIT_FACTOR * this.exitGap;
    while (deliveries.get(0, I.LR) < guest - sameExit && deliveries.get(0, I.FILLED) === 0) {
      out[I.RAISES]! += deliveries.get(0, I.RAISES);
      out[I.SEQ] = deliveries.get(0, I.SEQ);
      deliveries.shift();
    }
  }

  /** Whether nothing more will be learned of delivery `seq` of `device`; if so its ends go into `out`. */
  ended(device: number, seq: number, out: Float64Array): boolean {
    const s = this.byDevice[device];
    if (s === undefined || !(seq < s.closed)) return false;
    const kept = s.begun - seq <= MAX_UNCLAIMED;
    const at = 2 * (seq % MAX_UNCLAIMED);
    out[I.ACTIVE] = kept ? s.ends[at]! : NaN;
    out[I.RETIRED] = kept ? s.ends[at + 1]! : NaN;
    return true;
  }

  finish(): void {
    for (const s of this.states) {
      if (!Number.isNaN(s.current[I.LR]!)) {
        this.close(s, SPAN_FLAG.CUT);
      }
      if (s.filled) s.edges.filledAtEnd = 1;
      if (!Number.isNaN(s.queued[I.INJECT]!)) s.edges.queuedAtEnd = 1;
    }
  }

  private ofLine(s: SpiState, kind: number, flags: number, vcpu: number, t: number): void {
    switch (kind) {
      case ARM_VIRQ_INJECT:
        if ((flags & VIRQ_FLAG.LEVEL) === 0) {
          s.counts.lowered++;
          return;
        }
        s.counts.injected++;
        if ((flags & VIRQ_FLAG.QUEUED) !== 0) {
          s.counts.alreadyQueued++;
          s.queued[I.RAISES] = (s.queued[I.RAISES] || 1) + 1;
          return;
        }
        this.queue(s, vcpu, t);
        return;
      case ARM_VIRQ_LR:
        s.counts.lr++;
        if (!Number.isNaN(s.current[I.LR]!)) this.close(s, SPAN_FLAG.CUT);
        this.deliver(s, vcpu, t, 1);
        return;
      case ARM_VIRQ_ACTIVE:
        // Of one that was pended again Xen does not notice when it becomes active: this is still the one before it.
        if (s.current[I.FILLED] === 1 && Number.isNaN(s.current[I.ACTIVE]!)) s.current[I.ACTIVE] = t;
        // A line that is disabled stays queued until it is enabled.
        if ((flags & PENDED_AGAIN) === PENDED_AGAIN) {
          s.counts.repended++;
          this.close(s, 0);
          this.deliver(s, vcpu, t, 0);
        }
        return;
      case ARM_VIRQ_MERGED:
        s.counts.merged++;
        s.current[I.RAISES] = (s.current[I.RAISES] || 0) + (s.queued[I.RAISES] || 1);
        this.unqueue(s);
        return;
      case ARM_VIRQ_RETIRED:
        s.counts.retired++;
        if (!s.filled) s.edges.filledBefore++;
        s.filled = false;
        s.current[I.RETIRED] = t;
        this.close(s, 0);
    }
  }

  private queue(s: SpiState, vcpu: number, t: number): void {
    const q = s.queued;
    // The one before left the queue unseen.
    if (!Number.isNaN(q[I.INJECT]!)) this.unqueue(s);
    q[I.INJECT] = t;
    q[I.RAISES] = 1;
    q[I.VCPU] = vcpu;
    if (vcpu >= this.queuedOn.length) return;
    this.queuedOn[vcpu]!++;
    if (this.vcpus === undefined || vcpu >= this.vcpus.state.length) return;
    q[I.FRESH] = 1;
    q[I.PREEMPTED] = this.vcpus.preempted[vcpu]!;
  }

  /** It leaves the queue, for a list register or for nothing. */
  private unqueue(s: SpiState): void {
    const q = s.queued;
    if (Number.isNaN(q[I.INJECT]!)) s.edges.queuedBefore++;
    else if (q[I.VCPU]! < this.queuedOn.length) this.queuedOn[q[I.VCPU]!]!--;
    q.fill(NaN);
  }

  /** The queued injection goes into the list register at `t`, of the vCPU that runs. */
  private deliver(s: SpiState, vcpu: number, t: number, filled: number): void {
    const q = s.queued;
    const d = this.scratch;
    d.set(q);
    this.unqueue(s);
    if (this.vcpus !== undefined && vcpu < this.vcpus.state.length) {
      const preempted = this.vcpus.preempted[vcpu]!;
      if (d[I.FRESH] === 1) {
        // It has run ever since: nothing was recorded of it.
        d[I.TARGET] = RUNNING;
        d[I.RUNS] = d[I.INJECT]!;
      }
      d[I.LOST_RUNS] = d[I.VCPU] === vcpu ? preempted - d[I.PREEMPTED]! : NaN;
      d[I.PREEMPTED] = preempted;
    }
    d[I.FILLED] = filled;
    d[I.LR] = t;
    d[I.VCPU] = vcpu;
    d[I.SEQ] = s.begun++;
    s.current.set(d);
    if (filled === 1) s.filled = true;
    if (s.deliveries.length >= MAX_UNCLAIMED) s.deliveries.shift();
    s.deliveries.push(d);
  }

  /** No more will be learned of the delivery in the list register. */
  private close(s: SpiState, flags: number): void {
    const r = s.current;
    if (!Number.isNaN(r[I.LR]!)) {
      const at = 2 * (r[I.SEQ]! % MAX_UNCLAIMED);
      s.ends[at] = r[I.ACTIVE]!;
      s.ends[at + 1] = r[I.RETIRED]!;
      s.closed = r[I.SEQ]! + 1;
      this.emit(s, flags);
    }
    r.fill(NaN);
  }

  private emit(s: SpiState, flags: number): void {
    const c = this.sink.columns;
    const row = this.sink.row();
    const r = s.current;
    let f = flags;
    for (let b = 0; b < this.boundaries.length; b++) {
      const at = r[this.boundaries[b]!]!;
      c.at[b]![row] = at;
      if (Number.isNaN(at)) f |= SPAN_FLAG.INCOMPLETE;
    }
    if (c.preempted.length > 0) c.preempted[0]![row] = r[I.LOST_RUNS]!;
    const start = Number.isNaN(r[I.INJECT]!) ? r[I.LR]! : r[I.INJECT]!;
    const end = Number.isNaN(r[I.RETIRED]!) ? r[I.LR]! : r[I.RETIRED]!;
    if (this.losses.touches(start, end)) f |= SPAN_FLAG.LOSS;
    c.start[row] = start;
    c.total[row] = r[I.LR]! - r[I.INJECT]!;
    c.device[row] = s.device < 0 ? NO_DEVICE : s.device;
    c.key[row] = s.counts.spi;
    c.vcpu[row] = r[I.VCPU]!;
    c.dir[row] = DIR_UNKNOWN;
    c.type[row] = Number.isNaN(r[I.TARGET]!) ? TARGET_UNKNOWN : r[I.TARGET]!;
    c.flags[row] = f;
    c.amount[row] = r[I.RAISES] || 1;
    c.value[row] = 0;
    c.group[row] = 0;
    this.sink.commit();
  }
}
