import type { AxisLine } from '../../trace/axis.ts';
import type { EventColumns } from '../../trace/columns.ts';
import { K, VIRQ_FLAG } from '../../trace/events.ts';
import { DIR_UNKNOWN, NO_DEVICE, SPAN_FLAG } from '../../trace/spans.ts';
import type { DeviceMap } from './device-map.ts';
import type { LossWindows } from './loss-windows.ts';
import { RecordQueue } from './record-queue.ts';
import type { SpanSink } from './span-sink.ts';

// Module constants: a loop over events must not look a property up for every row.
const { ARM_S2_ABORT, ARM_VIRQ_ACTIVE, ARM_VIRQ_INJECT, ARM_VIRQ_LR, ARM_VIRQ_MERGED, ARM_VIRQ_RETIRED } = K;

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

/** Fields of a delivery: one interrupt that the guest sees. */
export const I = { INJECT: 0, LR: 1, ACTIVE: 2, RETIRED: 3, RAISES: 4, VCPU: 5, FILLED: 6 } as const;
const I_WIDTH = 7;

class SpiState {
  readonly counts: InjectionCounts;
  readonly device: number;
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

/** The path from that sync to the abort record varies (decoding, cache misses), but not by more than this. */
const SAME_EXIT_FACTOR = 4;

const NOTHING = { deliveries: new RecordQueue(I_WIDTH) };

/** Deliveries kept for the join with the guest's reads; older ones were never read. */
const MAX_UNCLAIMED = 4096;

/**
 * Interrupt injection by the old vGIC, from the Arm trace points (xen/arch/arm/vgic.c, gic-vgic.c):
 * vgic_inject_irq → list register filled → first exit that saw it active → first exit that saw it gone.
 * The last two are upper bounds: Xen only looks at list registers on the vCPU's next exit.
 */
export class Injections {
  private readonly domid: number;
  private readonly sink: SpanSink;
  private readonly losses: LossWindows;
  private readonly states: SpiState[] = [];
  private readonly stateOf = new Int16Array(1024).fill(-1);
  /** Shortest time from a record of the list registers' sync to the abort record of the same exit, ns. */
  private exitGap = Infinity;
  private readonly lastActive = new Float64Array(128).fill(NaN);

  constructor(domid: number, devices: DeviceMap, sink: SpanSink, losses: LossWindows) {
    this.domid = domid;
    this.sink = sink;
    this.losses = losses;
    for (const [d, { spi }] of devices.devices.entries()) {
      if (spi <= 0 || spi >= this.stateOf.length) continue;
      this.stateOf[spi] = this.states.length;
      this.states.push(new SpiState(spi, d));
    }
  }

  get counts(): InjectionCounts[] {
    return this.states.map((s) => s.counts);
  }

  /**
   * Deliveries on device lines: list register filled or pended again. The guest takes as many interrupts or
   * fewer: one that is pended again twice while active is taken once.
   */
  get delivered(): number {
    return this.states.reduce((sum, s) => sum + s.counts.lr + s.counts.repended, 0);
  }

  rows(batch: EventColumns, line: AxisLine, from: number, to: number): void {
    const { ts } = batch;
    const { scale, shift } = line;
    const kind = batch.kind;
    for (let i = from; i < to; i++) {
      const k = kind[i]!;
      if (k < ARM_S2_ABORT || k > ARM_VIRQ_RETIRED || batch.domid[i] !== this.domid) continue;
      if (k < ARM_VIRQ_INJECT) {
        if (k === ARM_S2_ABORT) this.abort(batch.vcpu[i]!, ts[i]! * scale + shift);
        continue;
      }
      if (k === ARM_VIRQ_ACTIVE && batch.vcpu[i]! < this.lastActive.length)
        this.lastActive[batch.vcpu[i]!] = ts[i]! * scale + shift;
      const virq = batch.arg0[i]!;
      const at = virq < this.stateOf.length ? this.stateOf[virq]! : -1;
      if (at < 0) continue;
      this.record(this.states[at]!, k, batch.arg1[i]!, batch.vcpu[i]!, ts[i]! * scale + shift);
    }
  }

  /**
   * The delivery that an InterruptStatus read at `guest` answers: the oldest unclaimed one that was in its list
   * register by then. Gives inject, lr and the number of raises in `out`, NaN if there is none.
   *
   * What was pended again at an earlier exit than this read's found the interrupt pending still, for its handler
   * begins with the read: it had no effect of its own (gic_update_one_lr sets a bit that is set).
   */
  claim(device: number, guest: number, out: Float64Array): void {
    out[0] = out[1] = out[2] = NaN;
    const { deliveries } = this.states.find((s) => s.device === device) ?? NOTHING;
    if (!(deliveries.get(0, I.LR) <= guest)) return;
    // A list register is only filled anew once the delivery before is retired: that one was never read.
    while (deliveries.get(1, I.LR) <= guest && deliveries.get(1, I.FILLED) === 1) deliveries.shift();
    out[0] = deliveries.get(0, I.INJECT);
    out[1] = deliveries.get(0, I.LR);
    let raises = deliveries.get(0, I.RAISES);
    deliveries.shift();
    const sameExit = SAME_EXIT_FACTOR * this.exitGap;
    while (deliveries.get(0, I.LR) < guest - sameExit && deliveries.get(0, I.FILLED) === 0) {
      raises += deliveries.get(0, I.RAISES);
      deliveries.shift();
    }
    out[2] = raises;
  }

  finish(): void {
    for (const state of this.states) if (!Number.isNaN(state.current[I.LR]!)) this.emit(state, SPAN_FLAG.CUT);
  }

  private abort(vcpu: number, t: number): void {
    if (vcpu >= this.lastActive.length) return;
    const gap = t - this.lastActive[vcpu]!;
    if (gap < this.exitGap) this.exitGap = gap;
    this.lastActive[vcpu] = NaN;
  }

  private record(s: SpiState, kind: number, flags: number, vcpu: number, t: number): void {
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
        s.queued[I.INJECT] = t;
        s.queued[I.RAISES] = 1;
        return;
      case ARM_VIRQ_LR:
        s.counts.lr++;
        if (!Number.isNaN(s.current[I.LR]!)) this.emit(s, SPAN_FLAG.CUT);
        this.deliver(s, vcpu, t, 1);
        return;
      case ARM_VIRQ_ACTIVE:
        if (Number.isNaN(s.current[I.ACTIVE]!)) s.current[I.ACTIVE] = t;
        if ((flags & VIRQ_FLAG.QUEUED) !== 0) {
          s.counts.repended++;
          this.emit(s, 0);
          this.deliver(s, vcpu, t, 0);
        }
        return;
      case ARM_VIRQ_MERGED:
        s.counts.merged++;
        s.current[I.RAISES] = (s.current[I.RAISES] || 0) + (s.queued[I.RAISES] || 1);
        s.queued.fill(NaN);
        return;
      case ARM_VIRQ_RETIRED:
        s.counts.retired++;
        s.current[I.RETIRED] = t;
        this.emit(s, 0);
    }
  }

  /** The queued injection goes into the list register at `t`. */
  private deliver(s: SpiState, vcpu: number, t: number, filled: number): void {
    s.queued[I.FILLED] = filled;
    s.queued[I.LR] = t;
    s.queued[I.VCPU] = vcpu;
    s.current.set(s.queued);
    if (s.deliveries.length >= MAX_UNCLAIMED) s.deliveries.shift();
    s.deliveries.push(s.queued);
    s.queued.fill(NaN);
  }

  private emit(s: SpiState, flags: number): void {
    const c = this.sink.columns;
    const row = this.sink.row();
    const r = s.current;
    if (Number.isNaN(r[I.LR]!)) {
      r.fill(NaN);
      return;
    }
    for (let b = 0; b < 4; b++) c.at[b]![row] = r[b]!;
    let f = flags;
    if (Number.isNaN(r[I.INJECT]!) || Number.isNaN(r[I.ACTIVE]!) || Number.isNaN(r[I.RETIRED]!))
      f |= SPAN_FLAG.INCOMPLETE;
    const start = Number.isNaN(r[I.INJECT]!) ? r[I.LR]! : r[I.INJECT]!;
    const end = Number.isNaN(r[I.RETIRED]!) ? r[I.LR]! : r[I.RETIRED]!;
    if (this.losses.touches(start, end)) f |= SPAN_FLAG.LOSS;
    c.start[row] = start;
    c.total[row] = r[I.LR]! - r[I.INJECT]!;
    c.device[row] = s.device < 0 ? NO_DEVICE : s.device;
    c.key[row] = s.counts.spi;
    c.vcpu[row] = r[I.VCPU]!;
    c.dir[row] = DIR_UNKNOWN;
    c.type[row] = 0;
    c.flags[row] = f;
    c.amount[row] = r[I.RAISES] || 1;
    c.value[row] = 0;
    c.group[row] = 0;
    r.fill(NaN);
    this.sink.commit();
  }
}
