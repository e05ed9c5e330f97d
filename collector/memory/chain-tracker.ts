import { REC_TAG, type RecordingBatch } from '../../trace/recording.ts';
import { REG_INTERRUPT_STATUS, REG_QUEUE_NOTIFY, VIRTIO_MMIO_WINDOW } from '../../trace/virtio-mmio.ts';
import { DeviceFollower } from './chains/device.ts';
import type { ReadGuest } from './chains/guest.ts';
import type { Lost } from './chains/queue.ts';
import { RecordOut } from './chains/record-out.ts';

export type { ReadGuest } from './chains/guest.ts';
export type { Lost } from './chains/queue.ts';

export interface ChainTrackerOptions {
  read: ReadGuest;
  /** Guest-physical address of the first register window, and how many windows of 0x200 bytes follow. */
  base: number;
  slots: number;
  /** Takes the rows (docs/ACCESS-JSONL.md) as they come; the batch is used again when it returns. */
  flush: (batch: RecordingBatch) => void;
  /**
   * False: what buffers hold is not recorded, only its length and hash. M of `out` and `gpuback` then become
   * records {"t":"H","a","n","why","sha"}, and elements have "sha":[[gpa, bytes, hex], ...] instead of "bufs".
   */
  contents?: boolean;
}

const REG_STATUS = 0x070;

/**
 * Decides what a replay needs of guest memory, from the accesses to virtio-mmio registers alone, and writes it as
 * records of the access format: rings, chains and buffers when a device is told of them, what it wrote when it
 * has used them. Pure: it is told of every access while the vCPU is held, and reads memory through a function.
 *
 * The order of calls is the order of the recording. Values of 8 bytes have their high word in `high`.
 */
export class ChainTracker {
  /** What could not be recorded; counted for all devices together. */
  readonly lost: Lost = { brokenChains: 0, brokenRings: 0, unknownElements: 0, racyElements: 0 };
  private readonly options: ChainTrackerOptions;
  private readonly out: RecordOut;
  private readonly devices: DeviceFollower[] = [];
  /** Transport whose interrupt status `reading` has looked at, for the read that follows; -1: none. */
  private looked = -1;

  constructor(options: ChainTrackerOptions) {
    this.options = options;
    const { read, flush, contents = true } = options;
    this.out = new RecordOut({ read, flush, contents });
  }

  /** Records written so far. */
  get steps(): number {
    return this.out.step;
  }

  /** Transport of an address; -1 outside of all windows. */
  transport(address: number): number {
    const slot = Math.floor((address - this.options.base) / VIRTIO_MMIO_WINDOW);
    return slot >= 0 && slot < this.options.slots ? slot : -1;
  }

  private device(transport: number): DeviceFollower {
    return (this.devices[transport] ??= new DeviceFollower(
      transport,
      this.options.read,
      this.out,
      this.lost,
    ));
  }

  /** The vCPU is held in a write that the device model has not seen. `rest`: further members, as JSON text. */
  write(vcpu: number, address: number, size: number, value: number, high = 0, rest = ''): void {
    const transport = this.transport(address);
    const offset = address - this.options.base - transport * VIRTIO_MMIO_WINDOW;
    if (transport >= 0 && offset === REG_QUEUE_NOTIFY) this.device(transport).notify(value & 0xffff);
    // Its rings are gone after a reset.
    if (transport >= 0 && offset === REG_STATUS && value === 0) this.look(transport, 'reset');
    this.out.access(REC_TAG.WRITE, vcpu, address, size, value >>> 0, high, rest);
    if (transport >= 0 && offset < 0x100 && size === 4) this.device(transport).sawWrite(offset, value >>> 0);
  }

  /** The vCPU is held in a read that has not been answered. To be followed by `read`. */
  reading(address: number): void {
    const transport = this.transport(address);
    if (
      transport < 0 ||
      address - this.options.base - transport * VIRTIO_MMIO_WINDOW !== REG_INTERRUPT_STATUS
    )
      return;
    this.device(transport).interruptStatus();
    this.looked = transport;
  }

  /** The read has been answered. Does what `reading` does if that was not called. */
  read(vcpu: number, address: number, size: number, value: number, high = 0, rest = ''): void {
    const transport = this.transport(address);
    if (transport < 0 || this.looked !== transport) this.reading(address);
    this.looked = -1;
    this.out.access(REC_TAG.READ, vcpu, address, size, value >>> 0, high, rest);
    if (transport >= 0 && size === 4)
      this.device(transport).sawRead(
        address - this.options.base - transport * VIRTIO_MMIO_WINDOW,
        value >>> 0,
      );
  }

  /** A moment at which the device may have used buffers. `at` says which, in the record: 'irq', 'eventfd'. */
  look(transport: number, at: string): void {
    this.device(transport).look(at);
  }

  /** Split rings: the device has written `count` elements and is about to move the index of the used ring. */
  using(transport: number, queue: number, count: number): void {
    this.device(transport).look('used', queue, count);
  }

  /**
   * Packed rings: the device has filled the buffers of a chain, `len` bytes, and is about to put its used element
   * into the ring. Without this, a guest that polls may have taken the buffers back before they are looked at.
   */
  filling(transport: number, queue: number, len: number): void {
    this.device(transport).filling(queue, len);
  }

  /** The device model sets its interrupt line; the guest has not seen it yet. */
  line(transport: number, spi: number, level: 0 | 1): void {
    if (level === 1) this.look(transport, 'irq');
    this.out.line(spi, level);
  }

  /**
   * The recording begins while a device is in use: call this after its set-up has been told by read and write.
   * `lastAvail` is the index up to which the device has taken chains, `lastUsed` that of the used ring. In the
   * recording both begin at 0. Chains between the two are not known and not recorded (lost.unknownElements).
   * False if there is no such queue in use.
   */
  position(transport: number, queue: number, lastAvail: number, lastUsed: number): boolean {
    return this.device(transport).position(queue, lastAvail, lastUsed);
  }

  /** Ends the recording: a last look at all devices. */
  finish(): void {
    for (const device of this.devices) (device as DeviceFollower | undefined)?.look('end');
    this.flush();
  }

  /** Hands on the rows so far. */
  flush(): void {
    this.out.flush();
  }
}
