import type { EventColumns } from '../../trace/columns.ts';
import { K, VIRQ_FLAG } from '../../trace/events.ts';
import { DIR_UNKNOWN, NO_DEVICE, SPAN_FLAG } from '../../trace/spans.ts';
import type { DeviceMap } from './device-map.ts';
import type { LossWindows } from './loss-windows.ts';
import { RecordQueue } from './record-queue.ts';
import type { SpanSink } from './span-sink.ts';

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
export const I = { INJECT: 0, LR: 1, ACTIVE: 2, RETIRED: 3, RAISES: 4, VCPU: 5 } as const;
const I_WIDTH = 6;

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

  /** Interrupts that the guest got on device lines: LR + re-pended, as its /proc/interrupts counts them. */
  get delivered(): number {
    return this.states.reduce((sum, s) => sum + s.counts.lr + s.counts.repended, 0);
  }

  rows(batch: EventColumns, t: Float64Array, from: number, to: number): void {
    const kind = batch.kind;
    for (let i = from; i < to; i++) {
      const k = kind[i]!;
      if (k < K.ARM_VIRQ_INJECT || k > K.ARM_VIRQ_RETIRED || batch.domid[i] !== this.domid) continue;
      const virq = batch.arg0[i]!;
      const at = virq < this.stateOf.length ? this.stateOf[virq]! : -1;
      if (at < 0) continue;
      this.record(this.states[at]!, k, batch.arg1[i]!, batch.vcpu[i]!, t[i]!);
    }
  }

  /**
   * The delivery that an InterruptStatus read at `guest` (axis ns) answers: the oldest unclaimed one whose list
   * register was filled by then. Gives inject, lr and the number of raises in `out`, NaN if there is none.
   */
  claim(device: number, guest: number, out: Float64Array): void {
    out[0] = out[1] = out[2] = NaN;
    const state = this.states.find((s) => s.device === device);
    if (state === undefined || state.deliveries.length === 0) return;
    if (state.deliveries.get(0, I.LR) > guest) return;
    // An older delivery that was never read (the handler was still running) gives way to the newest that fits.
    while (state.deliveries.length > 1 && state.deliveries.get(1, I.LR) <= guest) state.deliveries.shift();
    out[0] = state.deliveries.get(0, I.INJECT);
    out[1] = state.deliveries.get(0, I.LR);
    out[2] = state.deliveries.get(0, I.RAISES);
    state.deliveries.shift();
  }

  finish(): void {
    for (const state of this.states) if (!Number.isNaN(state.current[I.LR]!)) this.emit(state, SPAN_FLAG.CUT);
  }

  private record(s: SpiState, kind: number, flags: number, vcpu: number, t: number): void {
    switch (kind) {
      case K.ARM_VIRQ_INJECT:
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
      case K.ARM_VIRQ_LR:
        s.counts.lr++;
        if (!Number.isNaN(s.current[I.LR]!)) this.emit(s, SPAN_FLAG.CUT);
        this.deliver(s, vcpu, t);
        return;
      case K.ARM_VIRQ_ACTIVE:
        if (Number.isNaN(s.current[I.ACTIVE]!)) s.current[I.ACTIVE] = t;
        if ((flags & VIRQ_FLAG.QUEUED) !== 0) {
          s.counts.repended++;
          this.emit(s, 0);
          this.deliver(s, vcpu, t);
        }
        return;
      case K.ARM_VIRQ_MERGED:
        s.counts.merged++;
        s.current[I.RAISES] = (s.current[I.RAISES] || 0) + (s.queued[I.RAISES] || 1);
        s.queued.fill(NaN);
        return;
      case K.ARM_VIRQ_RETIRED:
        s.counts.retired++;
        s.current[I.RETIRED] = t;
        this.emit(s, 0);
    }
  }

  /** The queued injection goes into the list register at `t`. */
  private deliver(s: SpiState, vcpu: number, t: number): void {
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
