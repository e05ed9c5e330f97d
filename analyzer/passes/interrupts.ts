import { DIR_READ, DIR_WRITE } from '../../trace/ioreq.ts';
import { DIR_UNKNOWN, SPAN_FLAG } from '../../trace/spans.ts';
import { REG_INTERRUPT_ACK, REG_INTERRUPT_STATUS } from '../../trace/virtio-mmio.ts';
import type { DeviceMap } from './device-map.ts';
import type { Injections } from './injections.ts';
import type { LossWindows } from './loss-windows.ts';
import type { InterruptMark } from './plans.ts';
import { RecordQueue } from './record-queue.ts';
import type { SpanSink } from './span-sink.ts';

interface DeviceState {
  /** Raises that no handler run has seen yet: axis ns, and 1 if by an irqfd. */
  readonly raises: RecordQueue;
  /** The open span: one run of the guest's handler. */
  open: boolean;
  raise: number;
  byKernel: boolean;
  raiseCount: number;
  inject: number;
  lr: number;
  statusRead: number;
  status: number;
  ack: number;
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

/**
 * One span a run of the guest's interrupt handler (an InterruptStatus read): from the raise of the line that
 * started it to its read and its acknowledge. Several raises can stand behind one run: `amount`.
 *
 * With trace points the vGIC's record of the delivery says which raise it was. Without them it is the first
 * raise since the run before; a run whose raise cannot be told (pended again by one that came while the run
 * before had not read yet) has none, and is left out. `clockError` in ns.
 */
export class Interrupts {
  readonly counts: InterruptCounts = { raises: 0, inKernel: 0, statusReads: 0, acks: 0 };
  private readonly sink: SpanSink;
  private readonly marks: readonly InterruptMark[];
  private readonly devices: DeviceMap;
  private readonly losses: readonly LossWindows[];
  private readonly injections: Injections | undefined;
  private readonly states: DeviceState[];
  private readonly claimed = new Float64Array(3);
  private readonly clockError: number;
  private readonly scratch = new Float64Array(2);
  private group = 0;

  constructor(
    sink: SpanSink,
    marks: readonly InterruptMark[],
    devices: DeviceMap,
    losses: readonly LossWindows[],
    injections: Injections | undefined,
    clockError: number,
  ) {
    this.clockError = clockError;
    this.sink = sink;
    this.marks = marks;
    this.devices = devices;
    this.losses = losses;
    this.injections = injections;
    this.states = devices.devices.map(() => ({
      raises: new RecordQueue(2),
      ...closed(),
    }));
  }

  /** The line of `device` is raised at `t` (axis ns), by the device model or by an irqfd in the kernel. */
  raise(device: number, t: number, inKernel: boolean): void {
    const state = this.states[device];
    if (state === undefined) return;
    this.counts.raises++;
    if (inKernel) this.counts.inKernel++;
    this.scratch[0] = t;
    this.scratch[1] = inKernel ? 1 : 0;
    if (state.raises.length >= MAX_PENDING_RAISES) state.raises.shift();
    state.raises.push(this.scratch);
  }

  access(device: number, register: number, dir: number, value: number, guest: number, seen: number): void {
    const state = this.states[device];
    if (state === undefined) return;
    if (register === REG_INTERRUPT_STATUS && dir === DIR_READ) {
      this.emit(device, state);
      this.counts.statusReads++;
      state.open = true;
      state.statusRead = guest;
      state.status = value;
      if (this.injections === undefined) this.takeRaises(state, seen);
      else this.takeDelivery(state, device, seen);
    } else if (register === REG_INTERRUPT_ACK && dir === DIR_WRITE) {
      this.counts.acks++;
      if (!state.open) return;
      state.ack = guest;
      this.emit(device, state);
    }
  }

  /** Every raise before the guest was in its handler: a later one finds the interrupt active and pends anew. */
  private takeRaises(state: DeviceState, seen: number): void {
    while (state.raises.length > 0 && state.raises.get(0, 0) <= seen) {
      if (state.raiseCount === 0) takeFirst(state);
      state.raiseCount++;
      state.raises.shift();
    }
  }

  /** The vGIC's own record of the delivery tells which raise it was: the last one before its injection. */
  private takeDelivery(state: DeviceState, device: number, guest: number): void {
    this.injections!.claim(device, guest, this.claimed);
    state.inject = this.claimed[0]!;
    state.lr = this.claimed[1]!;
    if (Number.isNaN(state.inject)) return;
    while (state.raises.length > 0 && state.raises.get(0, 0) <= state.inject + this.clockError) {
      takeFirst(state);
      state.raises.shift();
    }
    state.raiseCount = this.claimed[2]!;
  }

  finish(): void {
    for (const [d, state] of this.states.entries()) this.emit(d, state);
  }

  private emit(device: number, state: DeviceState): void {
    if (!state.open) return;
    const c = this.sink.columns;
    const row = this.sink.row();
    let complete = true;
    let first = NaN;
    let last = NaN;
    for (const [b, mark] of this.marks.entries()) {
      const time = instant(state, mark);
      c.at[b]![row] = time;
      if (Number.isNaN(time)) complete = false;
      else {
        if (Number.isNaN(first)) first = time;
        last = time;
      }
    }
    let flags = complete ? 0 : SPAN_FLAG.INCOMPLETE;
    if (state.byKernel) flags |= SPAN_FLAG.KERNEL;
    for (const windows of this.losses) if (windows.touches(first, last)) flags |= SPAN_FLAG.LOSS;
    const { plan } = this.sink;
    c.start[row] = first;
    c.total[row] = c.at[plan.totalTo]![row]! - c.at[plan.totalFrom]![row]!;
    c.device[row] = device;
    c.key[row] = this.devices.devices[device]!.spi;
    c.vcpu[row] = 0xffff;
    c.dir[row] = DIR_UNKNOWN;
    c.type[row] = 0;
    c.flags[row] = flags;
    c.amount[row] = state.raiseCount;
    c.value[row] = state.status;
    c.group[row] = this.group++;
    Object.assign(state, closed());
    this.sink.commit();
  }
}

function takeFirst(state: DeviceState): void {
  state.raise = state.raises.get(0, 0);
  state.byKernel = state.raises.get(0, 1) === 1;
}

function closed(): Omit<DeviceState, 'raises'> {
  return {
    open: false,
    raise: NaN,
    byKernel: false,
    raiseCount: 0,
    inject: NaN,
    lr: NaN,
    statusRead: NaN,
    status: 0,
    ack: NaN,
  };
}

function instant(state: DeviceState, mark: InterruptMark): number {
  switch (mark) {
    case 'raise':
      return state.raise;
    case 'inject':
      return state.inject;
    case 'lr':
      return state.lr;
    case 'status_read':
      return state.statusRead;
    case 'ack':
      return state.ack;
  }
}
