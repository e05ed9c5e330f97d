import type { EventColumns } from '../../trace/columns.ts';
import { K } from '../../trace/events.ts';
import { NO_DEVICE } from '../../trace/spans.ts';
import type { DeviceMap } from './device-map.ts';
import type { TapeWriter } from './dom0-tape.ts';
import { Q, Q_WIDTH, TAPE } from './dom0-tape.ts';
import { QueueDepths } from './queue-depth.ts';
import { RecordQueue } from './record-queue.ts';
import { RequestStore, STATE } from './request-store.ts';
import type { QueueState } from './vq-table.ts';
import { VqTable } from './vq-table.ts';

// Module constants: a loop over events must not look a property up for every row.
const { DM_BLK_DONE, DM_BLK_READ, DM_BLK_WRITE, DM_FILL, DM_FLUSH, DM_NOTIFY, DM_POP, DM_QUEUE_NOTIFY } = K;

/** virtio-blk request types (VIRTIO 1.2, 5.2.6); UNKNOWN where the source does not show one. */
export const REQUEST_TYPE = { IN: 0, OUT: 1, UNKNOWN: 255 } as const;
const SECTOR_BYTES = 512;
/** Used requests that wait for an interrupt; more means the device raises none (or it is not traced). */
const MAX_UNINTERRUPTED = 4096;
/**
 * Requests held at most: more than all queues of a guest have descriptors. Popped and never seen again (their ends
 * were lost), they would fill the memory of a long trace.
 */
const MAX_HELD = 16_384;
/** Notifies whose guest time is remembered until their requests end. Power of two. */
export const NOTIFY_RING = 1 << 16;

export interface RequestCounts {
  popped: number;
  used: number;
  /** Ended without an element that was popped: begun before the trace. */
  unknownElement: number;
}

/** One virtqueue as the device model's trace names it: addresses as decimal numbers. */
export interface KnownQueue {
  vdev: string;
  vq: string;
  device: number;
  queue: number;
}

/** Group of a request that no interrupt announced. */
const NO_GROUP = 0xffffffff;

/**
 * Virtio requests from the device model's trace: QueueNotify → popped → used → interrupt, many to many: one
 * notify may start many requests, one interrupt may complete many.
 *
 * `used` is the flush that publishes the used index (virtqueue_flush); where only the block layer is traced, the
 * completion (virtio_blk_req_complete), which comes right before it. Queues that the device fills by itself
 * (net and console receive) have no notify that starts a request: their notify is NaN.
 */
export class Requests {
  readonly counts: RequestCounts = { popped: 0, used: 0, unknownElement: 0 };
  readonly depths = new QueueDepths();
  private readonly out: TapeWriter;
  private readonly devices: DeviceMap;
  private readonly hasPop: boolean;
  private readonly hasFlush: boolean;
  private readonly hasNotify: boolean;
  private readonly table = new VqTable();
  private readonly store = new RequestStore();
  private readonly finished = new RecordQueue(Q_WIDTH);
  private readonly record = new Float64Array(Q_WIDTH);
  /** QueueNotify accesses the device model has not acted on yet, oldest first: seq, device, queue. */
  private readonly kicks = new RecordQueue(3);
  private readonly kick = new Float64Array(3);
  private interruptGroup = 0;
  private uninterrupted = 0;
  private untold = 0;

  constructor(out: TapeWriter, devices: DeviceMap, hooks: { pop: boolean; flush: boolean; notify: boolean }) {
    this.hasNotify = hooks.notify;
    this.out = out;
    this.devices = devices;
    this.hasPop = hooks.pop;
    this.hasFlush = hooks.flush;
  }

  /** A QueueNotify was answered in Dom0: `seq` is the ioreq's number there. */
  notified(seq: number, device: number, queue: number): void {
    this.kick[0] = seq;
    this.kick[1] = device;
    this.kick[2] = queue;
    if (this.kicks.length >= NOTIFY_RING) this.kicks.shift();
    this.kicks.push(this.kick);
  }

  /** The device model sets the status of `vdev` while it serves `device`. */
  tie(vdevLo: number, vdevHi: number, device: number): void {
    this.table.tie(vdevLo | 0, vdevHi | 0, device);
  }

  /** Device of a vdev pointer; NO_DEVICE while it is not known. */
  deviceOf(vdevLo: number, vdevHi: number): number {
    return this.table.vdev(vdevLo | 0, vdevHi | 0).device;
  }

  /** The queues in the order in which they were met. `sure`: the device of each was known with its first notify. */
  knownQueues(): { queues: KnownQueue[]; sure: boolean } {
    const address = (lo: number, hi: number): string =>
      ((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)).toString();
    const queues = this.table.queues.map((q) => ({
      vdev: address(q.vdevLo, q.vdevHi),
      vq: address(q.vqLo, q.vqHi),
      device: q.device,
      queue: q.queue,
    }));
    return { queues, sure: this.untold === 0 && this.table.retied === 0 };
  }

  event(batch: EventColumns, i: number, t: number): void {
    // Halves of addresses as signed numbers (vq-table.ts).
    const lo = batch.addr[2 * i]! | 0;
    const hi = batch.addr[2 * i + 1]! | 0;
    const dataLo = batch.data[2 * i]! | 0;
    const dataHi = batch.data[2 * i + 1]! | 0;
    const kind = batch.kind[i]!;
    switch (kind) {
      case DM_QUEUE_NOTIFY:
        this.handleNotify(lo, hi, batch.arg0[i]!, dataLo, dataHi);
        break;
      case DM_POP:
        this.pop(this.table.find(lo, hi), dataLo, dataHi, t);
        break;
      case DM_BLK_READ:
      case DM_BLK_WRITE: {
        const type = kind === DM_BLK_READ ? REQUEST_TYPE.IN : REQUEST_TYPE.OUT;
        if (!this.hasPop) this.pop(this.table.firstOf(lo, hi), dataLo, dataHi, t);
        const slot = this.store.find(dataLo, dataHi);
        if (slot < 0) break;
        this.store.type[slot] = type;
        this.store.bytes[slot] = batch.arg2[i]! * SECTOR_BYTES;
        break;
      }
      case DM_FILL: {
        const slot = this.store.find(dataLo, dataHi);
        if (slot < 0) {
          this.counts.unknownElement++;
          break;
        }
        if (this.store.type[slot] === REQUEST_TYPE.UNKNOWN) this.store.bytes[slot] = batch.arg0[i]!;
        if (this.hasFlush) {
          this.store.set(slot, STATE.FILLED);
          this.store.used[slot] = t;
        } else this.use(slot, t);
        break;
      }
      case DM_FLUSH: {
        const queue = this.table.find(lo, hi);
        if (queue === undefined) break;
        const q = this.table.queues.indexOf(queue);
        const { store } = this;
        let left = store.count(STATE.FILLED);
        for (let s = 0; left > 0; s++) {
          if (store.state[s] !== STATE.FILLED) continue;
          left--;
          if (store.queue[s] === q) this.use(s, t);
        }
        break;
      }
      case DM_NOTIFY: {
        // Traced behind the check whether the guest wants an interrupt: suppressed ones do not show.
        const queue = this.table.find(dataLo, dataHi);
        if (queue !== undefined) this.announce(this.table.queues.indexOf(queue));
        break;
      }
      case DM_BLK_DONE:
        if (!this.hasFlush) {
          const slot = this.store.find(dataLo, dataHi);
          if (slot < 0) this.counts.unknownElement++;
          else this.use(slot, t);
        }
        break;
    }
  }

  /**
   * The device model raised the line of `device`: the end of every request that it announces. Where the device
   * model's notifies are traced those of the queue it notified for, else all that are used.
   */
  raised(device: number, t: number): void {
    const group = this.interruptGroup++;
    const wanted = this.hasNotify ? STATE.ANNOUNCED : STATE.USED;
    const { store } = this;
    let left = store.count(wanted);
    for (let s = 0; left > 0; s++) {
      if (store.state[s] !== wanted) continue;
      left--;
      if (this.table.queues[store.queue[s]!]!.device === device) this.finishRequest(s, t, group);
    }
  }

  private announce(queue: number): void {
    const { store } = this;
    let left = store.count(STATE.USED);
    for (let s = 0; left > 0; s++) {
      if (store.state[s] !== STATE.USED) continue;
      left--;
      if (store.queue[s] === queue) store.set(s, STATE.ANNOUNCED);
    }
  }

  /** Gives out what ended before `watermark` (axis ns): by then the guest's time of its notify is known. */
  drain(watermark: number): void {
    while (this.finished.length > 0 && !(this.finished.get(0, Q.USED) >= watermark)) this.emit();
  }

  finish(): void {
    for (let s = 0; s < this.store.top; s++) {
      if (this.store.state[s] !== STATE.FREE) this.finishRequest(s, NaN, this.interruptGroup);
    }
    this.drain(Infinity);
  }

  private handleNotify(vdevLo: number, vdevHi: number, queue: number, vqLo: number, vqHi: number): void {
    const state = this.table.ofNotify(vdevLo, vdevHi, queue, vqLo, vqHi);
    let match = -1;
    let device: number = NO_DEVICE;
    let several = false;
    for (let n = 0; n < this.kicks.length; n++) {
      if (this.kicks.get(n, 2) !== queue) continue;
      const d = this.kicks.get(n, 1);
      if (state.device !== NO_DEVICE && d !== state.device) continue;
      if (match < 0) {
        match = n;
        device = d;
      } else if (d !== device) several = true;
    }
    if (match < 0 || several) {
      // A kick of the device model's own, or one that cannot be told: what it pops has no known notify.
      state.notifySeq = -1;
      if (state.device === NO_DEVICE) this.untold++;
      return;
    }
    if (state.device === NO_DEVICE) this.table.tie(vdevLo, vdevHi, device);
    // Kicks of one queue coalesce in its eventfd: one run of the handler answers all that came before.
    state.notifyServed = false;
    this.polled(state);
    let left = this.kicks.length;
    while (left-- > 0) {
      const same = this.kicks.get(0, 2) === queue && this.kicks.get(0, 1) === device;
      for (let f = 0; f < 3; f++) this.kick[f] = this.kicks.get(0, f);
      this.kicks.shift();
      if (!same) this.kicks.push(this.kick);
      else if (state.notifySeq < this.kick[0]!) state.notifySeq = this.kick[0]!;
    }
  }

  private pop(queue: QueueState | undefined, lo: number, hi: number, t: number): void {
    if (queue === undefined) return;
    this.counts.popped++;
    const { store } = this;
    if (store.held >= MAX_HELD) this.giveUpOldest(t);
    const stale = store.find(lo, hi);
    const s = stale >= 0 ? stale : store.take();
    if (stale >= 0) this.depths.change(queue.device, queue.queue, t, -1);
    store.set(s, STATE.POPPED);
    store.elemLo[s] = lo;
    store.elemHi[s] = hi;
    store.queue[s] = this.table.queues.indexOf(queue);
    store.notifySeq[s] = this.startedBy(queue);
    store.popped[s] = t;
    store.used[s] = NaN;
    store.bytes[s] = 0;
    store.type[s] = REQUEST_TYPE.UNKNOWN;
    store.depth[s] = this.depths.change(queue.device, queue.queue, t, 1);
  }

  /** Ends the older half of what was popped and not used: its end is not to be seen any more. */
  private giveUpOldest(t: number): void {
    const { store } = this;
    const popped: number[] = [];
    for (let s = 0; s < store.top; s++) {
      if (store.state[s] === STATE.POPPED || store.state[s] === STATE.FILLED) popped.push(s);
    }
    popped.sort((a, b) => store.popped[a]! - store.popped[b]!);
    for (const s of popped.slice(0, Math.ceil(popped.length / 2))) {
      const { device, queue } = this.table.queues[store.queue[s]!]!;
      this.depths.change(device, queue, t, -1);
      this.finishRequest(s, NaN, NO_GROUP);
    }
  }

  private use(slot: number, t: number): void {
    this.counts.used++;
    const { store } = this;
    store.set(slot, STATE.USED);
    store.used[slot] = t;
    const { device, queue } = this.table.queues[store.queue[slot]!]!;
    this.depths.change(device, queue, t, -1);
    if (++this.uninterrupted > MAX_UNINTERRUPTED) {
      for (let s = 0; s < store.top; s++)
        if (store.state[s]! >= STATE.USED) this.finishRequest(s, NaN, NO_GROUP);
    }
  }

  /**
   * The guest's handler for `device` begins (it reads InterruptStatus): it takes whatever is used by now. What no
   * interrupt announced was completed behind one that had been raised before, and gets none of its own.
   */
  handlerRuns(device: number): void {
    const { store } = this;
    let left = store.count(STATE.USED);
    for (let s = 0; left > 0; s++) {
      if (store.state[s] !== STATE.USED) continue;
      left--;
      if (this.table.queues[store.queue[s]!]!.device === device) this.finishRequest(s, NaN, NO_GROUP);
    }
  }

  /** The guest notifies a queue of which everything is used and unannounced: it polls, and wants no interrupt. */
  private polled(queue: QueueState): void {
    if (this.depths.now(queue.device, queue.queue) > 0) return;
    const { store } = this;
    const q = this.table.queues.indexOf(queue);
    let left = store.count(STATE.USED);
    for (let s = 0; left > 0; s++) {
      if (store.state[s] !== STATE.USED) continue;
      left--;
      if (store.queue[s] === q) this.finishRequest(s, NaN, NO_GROUP);
    }
  }

  private finishRequest(slot: number, interrupt: number, group: number): void {
    const { store, record } = this;
    const used = store.state[slot]! >= STATE.USED;
    if (used) this.uninterrupted--;
    record[Q.QUEUE] = store.queue[slot]!;
    record[Q.SEQ] = store.notifySeq[slot]!;
    record[Q.POPPED] = store.popped[slot]!;
    record[Q.USED] = used ? store.used[slot]! : NaN;
    record[Q.INTERRUPT] = interrupt;
    record[Q.BYTES] = store.bytes[slot]!;
    record[Q.TYPE] = store.type[slot]!;
    record[Q.DEPTH] = store.depth[slot]!;
    record[Q.GROUP] = group;
    store.set(slot, STATE.FREE);
    this.finished.push(record);
  }

  private emit(): void {
    const { finished, out } = this;
    const to = out.reserve(TAPE.REQUEST) + 1;
    const { values } = out;
    const f = finished.values;
    const at = finished.offset(0);
    // A queue can be tied to its device later than to the request.
    const queue = this.table.queues[f[at + Q.QUEUE]!]!;
    for (let n = 0; n < Q_WIDTH; n++) values[to + n] = f[at + n]!;
    values[to + Q.DEVICE] = queue.device;
    values[to + Q.QUEUE] = queue.queue;
    finished.shift();
  }

  /**
   * The notify that started what is popped now, -1 if it cannot be told: an idle queue from which something is
   * popped without a new notify was filled while the device model had notifications off.
   */
  private startedBy(queue: QueueState): number {
    if (this.deviceDriven(queue)) return -1;
    const idle = this.depths.now(queue.device, queue.queue) === 0;
    if (queue.notifyServed && idle) return -1;
    queue.notifyServed = true;
    return queue.notifySeq;
  }

  /** Receive queues: the device uses buffers when it has something to say, not when it is notified. */
  private deviceDriven(queue: QueueState): boolean {
    const kind = this.devices.devices[queue.device]?.kind;
    if (kind !== 'net' && kind !== 'console') return false;
    if (queue.queue % 2 === 1) return false;
    // Receive queues have a transmit queue behind them; net's control queue, the last one, has not.
    return queue.queue === 0 || kind === 'console' || this.table.has(queue, queue.queue + 1);
  }
}
