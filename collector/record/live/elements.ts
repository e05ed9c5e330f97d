import { NO_DEVICE } from '../../../trace/spans.ts';

const SLOTS = 4096;
const PROBES = 8;
const MAX_QUEUES = 64;
const MAX_VDEVS = 32;

/**
 * Virtqueue elements that the device model has popped and not filled yet, by their address in it: a table of fixed
 * size, in which a new element takes the place of the oldest of PROBES where there is no room (counted).
 */
export class Elements {
  dropped = 0;
  readonly popped = new Float64Array(SLOTS).fill(NaN);
  readonly device = new Uint16Array(SLOTS);
  private readonly low = new Uint32Array(SLOTS);
  private readonly high = new Uint32Array(SLOTS);

  pop(lo: number, hi: number, ts: number, device: number): void {
    const from = home(lo, hi);
    let slot = -1;
    let oldest = from;
    for (let p = 0; p < PROBES; p++) {
      const s = (from + p) & (SLOTS - 1);
      const since = this.popped[s]!;
      if (Number.isNaN(since)) {
        if (slot < 0) slot = s;
      } else if (this.low[s] === lo && this.high[s] === hi) {
        slot = s;
        break;
      } else if (!(since >= this.popped[oldest]!)) oldest = s;
    }
    if (slot < 0) {
      slot = oldest;
      this.dropped++;
    }
    this.low[slot] = lo;
    this.high[slot] = hi;
    this.popped[slot] = ts;
    this.device[slot] = device;
  }

  /** Slot of a popped element, -1 if it is not there. The caller frees it by making `popped` NaN. */
  find(lo: number, hi: number): number {
    const from = home(lo, hi);
    for (let p = 0; p < PROBES; p++) {
      const s = (from + p) & (SLOTS - 1);
      if (this.low[s] === lo && this.high[s] === hi && !Number.isNaN(this.popped[s]!)) return s;
    }
    return -1;
  }

  clear(): void {
    this.popped.fill(NaN);
  }
}

function home(lo: number, hi: number): number {
  return Math.imul(lo ^ Math.imul(hi, 0x85ebca6b), 0x9e3779b1) >>> 20;
}

/**
 * Which device a queue of the device model's trace belongs to. Its pointers tell nothing; but it handles a notify of
 * queue n when the guest has written n to the QueueNotify of one device: the device for which that was so most often.
 */
export class QueueDevices {
  private readonly devices: number;
  /** The queue last notified at each device that the device model has not handled since; -1: none. */
  private readonly kicked: Int32Array;
  private readonly votes: Uint32Array;
  private vdevs = 0;
  private readonly vdevLow = new Uint32Array(MAX_VDEVS);
  private readonly vdevHigh = new Uint32Array(MAX_VDEVS);
  private queues = 0;
  private readonly queueLow = new Uint32Array(MAX_QUEUES);
  private readonly queueHigh = new Uint32Array(MAX_QUEUES);
  private readonly queueVdev = new Uint8Array(MAX_QUEUES);

  constructor(devices: number) {
    this.devices = devices;
    this.kicked = new Int32Array(devices).fill(-1);
    this.votes = new Uint32Array(devices * MAX_VDEVS);
  }

  /** The guest writes `queue` to the QueueNotify register of `device`. */
  kick(device: number, queue: number): void {
    this.kicked[device] = queue | 0;
  }

  /** The device model handles a notify of `queue`. */
  notified(vdevLo: number, vdevHi: number, vqLo: number, vqHi: number, queue: number): void {
    const vdev = this.vdev(vdevLo, vdevHi);
    if (vdev < 0) return;
    if (this.findQueue(vqLo, vqHi) < 0 && this.queues < MAX_QUEUES) {
      this.queueLow[this.queues] = vqLo;
      this.queueHigh[this.queues] = vqHi;
      this.queueVdev[this.queues++] = vdev;
    }
    for (let d = 0; d < this.devices; d++) {
      if (this.kicked[d] === queue) this.votes[vdev * this.devices + d]!++;
    }
    const device = this.best(vdev);
    if (device !== NO_DEVICE && this.kicked[device] === queue) this.kicked[device] = -1;
  }

  deviceOf(vqLo: number, vqHi: number): number {
    if (this.devices === 1) return 0;
    const queue = this.findQueue(vqLo, vqHi);
    return queue < 0 ? NO_DEVICE : this.best(this.queueVdev[queue]!);
  }

  private best(vdev: number): number {
    let best: number = NO_DEVICE;
    let most = 0;
    for (let d = 0; d < this.devices; d++) {
      const votes = this.votes[vdev * this.devices + d]!;
      if (votes > most) {
        most = votes;
        best = d;
      }
    }
    return best;
  }

  private vdev(lo: number, hi: number): number {
    for (let v = 0; v < this.vdevs; v++) if (this.vdevLow[v] === lo && this.vdevHigh[v] === hi) return v;
    if (this.vdevs === MAX_VDEVS) return -1;
    this.vdevLow[this.vdevs] = lo;
    this.vdevHigh[this.vdevs] = hi;
    return this.vdevs++;
  }

  private findQueue(lo: number, hi: number): number {
    for (let q = 0; q < this.queues; q++) if (this.queueLow[q] === lo && this.queueHigh[q] === hi) return q;
    return -1;
  }
}
