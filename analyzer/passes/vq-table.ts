import { NO_DEVICE } from '../../trace/spans.ts';

/** One virtqueue of the device model, named by its address there. */
export interface QueueState {
  vqLo: number;
  vqHi: number;
  vdevLo: number;
  vdevHi: number;
  device: number;
  queue: number;
  /** Dom0's number of the QueueNotify that the device model last acted on for this queue, -1 if none. */
  notifySeq: number;
  /** Something was popped for that notify already. */
  notifyServed: boolean;
}

interface Vdev {
  lo: number;
  hi: number;
  device: number;
}

/**
 * The device model's pointers, as its trace shows them, to devices and queues. Few entries; looked up linearly
 * with the last hit first, so that no hash is taken an event. Halves of addresses are signed 32-bit numbers (| 0): a
 * larger one would be put into memory of its own at every call.
 *
 * A vdev is tied to a device when its status is set while the device model serves that device's Status
 * register, or when it handles a notify of queue n and exactly one device has an unhandled QueueNotify of n.
 */
export class VqTable {
  readonly queues: QueueState[] = [];
  /** Times that a vdev was tied to another device than before. */
  retied = 0;
  private readonly vdevs: Vdev[] = [];
  private lastQueue = 0;

  vdev(lo: number, hi: number): Vdev {
    let found = this.vdevs.find((v) => v.lo === lo && v.hi === hi);
    if (found === undefined) {
      found = { lo, hi, device: NO_DEVICE };
      this.vdevs.push(found);
    }
    return found;
  }

  tie(lo: number, hi: number, device: number): void {
    const vdev = this.vdev(lo, hi);
    if (vdev.device === device) return;
    if (vdev.device !== NO_DEVICE) this.retied++;
    vdev.device = device;
    for (const q of this.queues) if (q.vdevLo === lo && q.vdevHi === hi) q.device = device;
  }

  /** The queue at vq address lo, hi; undefined if no notify has told which queue it is. */
  find(lo: number, hi: number): QueueState | undefined {
    const last = this.queues[this.lastQueue];
    if (last?.vqLo === lo && last.vqHi === hi) return last;
    for (let n = 0; n < this.queues.length; n++) {
      const q = this.queues[n]!;
      if (q.vqLo === lo && q.vqHi === hi) {
        this.lastQueue = n;
        return q;
      }
    }
    return undefined;
  }

  /** The queue `queue` of a vdev, made if it is new. */
  ofNotify(vdevLo: number, vdevHi: number, queue: number, vqLo: number, vqHi: number): QueueState {
    let q = this.queues.find((s) => s.vdevLo === vdevLo && s.vdevHi === vdevHi && s.queue === queue);
    if (q === undefined) {
      const { device } = this.vdev(vdevLo, vdevHi);
      q = { vqLo, vqHi, vdevLo, vdevHi, device, queue, notifySeq: -1, notifyServed: false };
      this.queues.push(q);
    } else if (vqLo !== 0 || vqHi !== 0) {
      q.vqLo = vqLo;
      q.vqHi = vqHi;
    }
    return q;
  }

  /** Whether queue number `queue` of the same vdev has been seen. */
  has(sibling: QueueState, queue: number): boolean {
    return this.queues.some(
      (q) => q.vdevLo === sibling.vdevLo && q.vdevHi === sibling.vdevHi && q.queue === queue,
    );
  }

  /** The first queue of a vdev: where a block request goes whose queue the trace does not name. */
  firstOf(vdevLo: number, vdevHi: number): QueueState | undefined {
    return this.queues.find((s) => s.vdevLo === vdevLo && s.vdevHi === vdevHi);
  }
}
