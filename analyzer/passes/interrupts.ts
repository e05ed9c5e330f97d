import { DIR_READ, DIR_WRITE } from '../../trace/ioreq.ts';
import { DIR_UNKNOWN, SPAN_FLAG, TARGET_UNKNOWN } from '../../trace/spans.ts';
import { REG_INTERRUPT_ACK, REG_INTERRUPT_STATUS } from '../../trace/virtio-mmio.ts';
import type { DeviceMap } from './device-map.ts';
import type { Injections } from './injections.ts';
import { I, I_WIDTH } from './injections.ts';
import type { LossWindows } from './loss-windows.ts';
import type { InterruptMark } from './plans.ts';
import { RecordQueue } from './record-queue.ts';
import type { SpanSink } from './span-sink.ts';

/** Fields of one run of the guest's handler: those of its delivery by the vGIC, then its own. */
const R = {
  RAISE: I_WIDTH,
  /** 1: raised by an irqfd. */
  BY_KERNEL: I_WIDTH + 1,
  RAISE_COUNT: I_WIDTH + 2,
  STATUS_READ: I_WIDTH + 3,
  STATUS: I_WIDTH + 4,
  ACK: I_WIDTH + 5,
  /** vCPU whose handler ran, and VcpuStates.preempted of it at the two accesses. */
  HANDLER: I_WIDTH + 6,
  PREEMPTED_READ: I_WIDTH + 7,
  PREEMPTED_ACK: I_WIDTH + 8,
} as const;
const WIDTH = I_WIDTH + 9;

const FIELD: Readonly<Record<InterruptMark, number>> = {
  raise: R.RAISE,
  inject: I.INJECT,
  runs: I.RUNS,
  lr: I.LR,
  status_read: R.STATUS_READ,
  ack: R.ACK,
  retired: I.RETIRED,
  active: I.ACTIVE,
};

class DeviceState {
  /** Raises that no handler run has seen yet: axis ns, and 1 if by an irqfd. */
  readonly raises = new RecordQueue(2);
  open = false;
  /** The open run. */
  readonly run = new Float64Array(WIDTH);
  /** Runs that wait for the end of their delivery. */
  readonly waiting = new RecordQueue(WIDTH);
  readonly counts: LineCounts = { raises: 0, raisesWhileTraced: 0, statusReads: 0 };

  close(): void {
    this.open = false;
    this.run.fill(NaN);
    this.run[R.BY_KERNEL] = this.run[R.RAISE_COUNT] = this.run[R.STATUS] = 0;
  }
}

const MAX_PENDING_RAISES = 65_536;

export interface InterruptCounts {
  /** Raises of device lines: set_irq_level(1) calls, and signals of an irqfd. */
  raises: number;
  /** Of `raises`: by an irqfd. */
  inKernel: number;
  /** InterruptStatus reads: runs of the guest's handler. */
  statusReads: number;
  acks: number;
}

/** Of one device's line. */
export interface LineCounts {
  raises: number;
  /** Of `raises`: within the time that the hypervisor's records cover. */
  raisesWhileTraced: number;
  statusReads: number;
}

/**
 * One span a run of the guest's interrupt handler (an InterruptStatus read): from the raise of the line that
 * started it to its read and its acknowledge. Several raises can stand behind one run: `amount`.
 *
 * With trace points the vGIC's record of the delivery says which raise it was. Without them it is the first
 * raise since the run before; a run whose raise cannot be told (pended again by one that came while the run
 * before had not read yet) has none, and is left out. `clockError` in ns. `xenCovers`: axis ns.
 */
export class Interrupts {
  readonly counts: InterruptCounts = { raises: 0, inKernel: 0, statusReads: 0, acks: 0 };
  private readonly sink: SpanSink;
  private readonly field: Uint8Array;
  private readonly devices: DeviceMap;
  private readonly losses: readonly LossWindows[];
  private readonly injections: Injections | undefined;
  private readonly states: DeviceState[];
  private readonly clockError: number;
  private readonly xenCovers: readonly [number, number];
  private readonly scratch = new Float64Array(2);
  private readonly ends = new Float64Array(I_WIDTH);
  private readonly whole = new Float64Array(WIDTH);
  private group = 0;

  constructor(options: {
    sink: SpanSink;
    marks: readonly InterruptMark[];
    devices: DeviceMap;
    losses: readonly LossWindows[];
    injections: Injections | undefined;
    clockError: number;
    xenCovers: readonly [number, number];
  }) {
    this.sink = options.sink;
    this.field = Uint8Array.from(options.marks, (m) => FIELD[m]);
    this.devices = options.devices;
    this.losses = options.losses;
    this.injections = options.injections;
    this.clockError = options.clockError;
    this.xenCovers = options.xenCovers;
    this.states = options.devices.devices.map(() => {
      const state = new DeviceState();
      state.close();
      return state;
    });
  }

  /** By device. */
  get lines(): LineCounts[] {
    return this.states.map((s) => s.counts);
  }

  /** The line of `device` is raised at `t` (axis ns), by the device model or by an irqfd in the kernel. */
  raise(device: number, t: number, inKernel: boolean): void {
    const state = this.states[device];
    if (state === undefined) return;
    this.counts.raises++;
    if (inKernel) this.counts.inKernel++;
    state.counts.raises++;
    if (t >= this.xenCovers[0] && t <= this.xenCovers[1]) state.counts.raisesWhileTraced++;
    this.scratch[0] = t;
    this.scratch[1] = inKernel ? 1 : 0;
    if (state.raises.length >= MAX_PENDING_RAISES) state.raises.shift();
    state.raises.push(this.scratch);
  }

  /**
   * An access of the guest's. `preempted`: VcpuStates.preempted of `vcpu` when it trapped, ns, NaN if that was not
   * seen. The others as in AccessListener.
   */
  access(
    device: number,
    register: number,
    dir: number,
    value: number,
    guest: number,
    seen: number,
    vcpu: number,
    preempted: number,
  ): void {
    const state = this.states[device];
    if (state === undefined) return;
    const { run } = state;
    if (register === REG_INTERRUPT_STATUS && dir === DIR_READ) {
      this.end(device, state);
      this.counts.statusReads++;
      state.counts.statusReads++;
      state.open = true;
      if (this.injections === undefined) this.takeRaises(state, seen);
      else this.takeDelivery(state, device, seen);
      run[R.STATUS_READ] = guest;
      run[R.STATUS] = value;
      run[R.HANDLER] = vcpu;
      run[R.PREEMPTED_READ] = preempted;
    } else if (register === REG_INTERRUPT_ACK && dir === DIR_WRITE) {
      this.counts.acks++;
      if (!state.open) return;
      run[R.ACK] = guest;
      run[R.PREEMPTED_ACK] = run[R.HANDLER] === vcpu ? preempted : NaN;
      this.end(device, state);
    }
  }

  /** Every raise before the guest was in its handler: a later one finds the interrupt active and pends anew. */
  private takeRaises(state: DeviceState, seen: number): void {
    while (state.raises.length > 0 && state.raises.get(0, 0) <= seen) {
      if (state.run[R.RAISE_COUNT] === 0) takeFirst(state);
      state.run[R.RAISE_COUNT]!++;
      state.raises.shift();
    }
  }

  /** The vGIC's own record of the delivery tells which raise it was: the last one before its injection. */
  private takeDelivery(state: DeviceState, device: number, guest: number): void {
    const { run } = state;
    this.injections!.claim(device, guest, run);
    state.run[R.BY_KERNEL] = 0;
    state.run[R.RAISE_COUNT] = 0;
    const inject = run[I.INJECT]!;
    if (Number.isNaN(inject)) return;
    while (state.raises.length > 0 && state.raises.get(0, 0) <= inject + this.clockError) {
      takeFirst(state);
      state.raises.shift();
    }
    run[R.RAISE_COUNT] = run[I.RAISES]!;
  }

  /** Gives out the runs whose deliveries have ended: what both streams tell has been read. */
  settle(): void {
    for (const [d, state] of this.states.entries()) this.giveOut(d, state, false);
  }

  finish(): void {
    for (const [d, state] of this.states.entries()) {
      this.end(d, state);
      this.giveOut(d, state, true);
    }
  }

  private end(device: number, state: DeviceState): void {
    if (!state.open) return;
    if (this.injections === undefined) this.emit(device, state.run);
    else state.waiting.push(state.run);
    state.close();
  }

  private giveOut(device: number, state: DeviceState, all: boolean): void {
    const { waiting } = state;
    while (waiting.length > 0) {
      const seq = waiting.get(0, I.SEQ);
      const ended = Number.isNaN(seq) || this.injections?.ended(device, seq, this.ends) === true;
      if (!ended && !all) return;
      for (let f = 0; f < WIDTH; f++) this.whole[f] = waiting.get(0, f);
      if (ended && !Number.isNaN(seq)) {
        this.whole[I.ACTIVE] = this.ends[I.ACTIVE]!;
        this.whole[I.RETIRED] = this.ends[I.RETIRED]!;
      }
      this.emit(device, this.whole);
      waiting.shift();
    }
  }

  private emit(device: number, run: Float64Array): void {
    const c = this.sink.columns;
    const row = this.sink.row();
    const { plan } = this.sink;
    let complete = true;
    let first = NaN;
    let last = NaN;
    for (let b = 0; b < this.field.length; b++) {
      const time = run[this.field[b]!]!;
      c.at[b]![row] = time;
      if (Number.isNaN(time)) complete = false;
      else {
        if (Number.isNaN(first)) first = time;
        // What is only known as an upper bound comes after the span.
        if (plan.boundaries[b]!.bound === 'exact') last = time;
      }
    }
    if (c.preempted.length > 0) {
      c.preempted[0]![row] = run[I.LOST_RUNS]!;
      // A handler on another vCPU than the delivery's: no time of one vCPU lies between.
      c.preempted[1]![row] = run[I.VCPU] === run[R.HANDLER] ? run[R.PREEMPTED_READ]! - run[I.PREEMPTED]! : 0;
      c.preempted[2]![row] = run[R.PREEMPTED_ACK]! - run[R.PREEMPTED_READ]!;
    }
    let flags = complete ? 0 : SPAN_FLAG.INCOMPLETE;
    if (run[R.BY_KERNEL] === 1) flags |= SPAN_FLAG.KERNEL;
    for (const windows of this.losses) if (windows.touches(first, last)) flags |= SPAN_FLAG.LOSS;
    c.start[row] = first;
    c.total[row] = c.at[plan.totalTo]![row]! - c.at[plan.totalFrom]![row]!;
    c.device[row] = device;
    c.key[row] = this.devices.devices[device]!.spi;
    c.vcpu[row] = run[R.HANDLER]!;
    c.dir[row] = DIR_UNKNOWN;
    c.type[row] = Number.isNaN(run[I.TARGET]!) ? TARGET_UNKNOWN : run[I.TARGET]!;
    c.flags[row] = flags;
    c.amount[row] = run[R.RAISE_COUNT]!;
    c.value[row] = run[R.STATUS]!;
    c.group[row] = this.group++;
    this.sink.commit();
  }
}

function takeFirst(state: DeviceState): void {
  state.run[R.RAISE] = state.raises.get(0, 0);
  state.run[R.BY_KERNEL] = state.raises.get(0, 1);
}
