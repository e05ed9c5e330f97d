import type { EventColumns } from '../trace/columns.ts';
import { TWO_32 } from '../trace/columns.ts';
import { K } from '../trace/events.ts';
import { NO_PID } from '../trace/ids.ts';
import { DIR_READ, IOREQ_TYPE, ioreqDir, ioreqType } from '../trace/ioreq.ts';
import { REC_TAG, type RecordingBatch } from '../trace/recording.ts';
import {
  GUEST_VIRTIO_MMIO_BASE,
  GUEST_VIRTIO_MMIO_SIZE,
  REG_DEVICE_ID,
  REG_MAGIC,
  VIRTIO_MMIO_MAGIC,
  VIRTIO_MMIO_WINDOW,
} from '../trace/virtio-mmio.ts';

const SLOTS = GUEST_VIRTIO_MMIO_SIZE / VIRTIO_MMIO_WINDOW;
const UNANSWERED = 0;
/** A window that was written to: a driver does so only after the DeviceID read showed a device. */
const DRIVEN = -1;
/** DeviceID of a device whose answer is not in the trace; 0 itself means that there is no device. */
export const ID_UNKNOWN = 0;
/** What a row is to the scan. */
const ROLE = { NONE: 0, ANSWERED: 1, SENT: 2, DONE: 3, RECORDED: 4, REQUEST: 5, SEEN: 6 } as const;
/** virtio device ids are small; a larger answer is of something else. */
const MAX_ID = 0xffff;
/** Hostile input names no more devices or tasks than this. */
const MOST = 1024;

const ROLE_OF_KIND = new Uint8Array(65_536);
ROLE_OF_KIND[K.DM_IOREQ_READ_DONE] = ROLE.ANSWERED;
ROLE_OF_KIND[K.DOM0_IOREQ_ANSWERED] = ROLE.ANSWERED;
ROLE_OF_KIND[K.ARM_IOREQ_SEND] = ROLE.SENT;
ROLE_OF_KIND[K.ARM_IOREQ_DONE] = ROLE.DONE;
ROLE_OF_KIND[K.REC_READ] = ROLE.RECORDED;
ROLE_OF_KIND[K.DOM0_SET_IRQ_LEVEL] = ROLE.REQUEST;
ROLE_OF_KIND[K.DM_IOREQ] = ROLE.SEEN;
ROLE_OF_KIND[K.DOM0_IOREQ_DELIVERED] = ROLE.SEEN;
ROLE_OF_KIND[K.DOM0_IOEVENTFD] = ROLE.SEEN;

/**
 * Finds the virtio-mmio devices that the guest drives: answers to reads of the DeviceID register, and writes
 * to windows whose answer the trace does not hold. Runs inside the import's one loop over the rows, and notes on the way which domains have ioreqs and which tasks
 * answer them. In Xen's window a device's slot is known from the address; elsewhere (recordings of other
 * machines) a window is one whose MagicValue was answered.
 */
export class DeviceScan {
  /** Rows by kind. */
  readonly counts = new Float64Array(65_536);
  /** DeviceID by window base. */
  readonly deviceIds = new Map<number, number>();
  /** ioreqs and interrupt requests by domid. */
  readonly domids = new Float64Array(65_536);
  /** Tasks of Dom0 that answered an ioreq or set an interrupt line. */
  readonly answerers = new Set<number>();
  private readonly slots = new Int32Array(SLOTS);
  private lastPid = NO_PID;
  private readonly magicBases = new Set<number>();
  /** Register offset that each vCPU reads at the moment, in Xen's window; -1 if none. Index domid & 63, vcpu. */
  private readonly pending = new Float64Array(64 * 128).fill(-1);

  scan(batch: EventColumns): void {
    const { kind, length } = batch;
    const { counts } = this;
    for (let i = 0; i < length; i++) {
      const k = kind[i]!;
      counts[k]!++;
      const role = ROLE_OF_KIND[k]!;
      if (role !== ROLE.NONE) this.row(batch, i, role);
    }
  }

  /** Reads of a recording of accesses: also those that its recorder put together, which are no events. */
  recording(batch: RecordingBatch): void {
    for (let i = 0; i < batch.length; i++) {
      if (batch.tag[i] !== REC_TAG.READ) continue;
      const addr = batch.addr[2 * i]! + batch.addr[2 * i + 1]! * TWO_32;
      this.answered(addr, batch.value[2 * i]!);
      this.recorded(addr, batch.value[2 * i]!);
    }
  }

  /** DeviceID by base of every window that named a device, Xen's window included. */
  devices(): Map<number, number> {
    const all = new Map(this.deviceIds);
    for (let slot = 0; slot < SLOTS; slot++) {
      const id = this.slots[slot]!;
      if (id === UNANSWERED) continue;
      all.set(GUEST_VIRTIO_MMIO_BASE + slot * VIRTIO_MMIO_WINDOW, id === DRIVEN ? ID_UNKNOWN : id);
    }
    return all;
  }

  private row(batch: EventColumns, i: number, role: number): void {
    if (role === ROLE.SENT || role === ROLE.REQUEST) this.domids[batch.domid[i]!]!++;
    if (role === ROLE.ANSWERED || role === ROLE.REQUEST) this.answeredBy(batch.pid[i]!);
    if (role === ROLE.REQUEST) return;
    const info = batch.arg0[i]!;
    if (role === ROLE.DONE) {
      const at = this.place(batch, i);
      this.answered(this.pending[at]!, batch.data[2 * i]!);
      this.pending[at] = -1;
      return;
    }
    const isCopy = ioreqType(info) === IOREQ_TYPE.COPY;
    const isRead = isCopy && ioreqDir(info) === DIR_READ;
    const addr = batch.addr[2 * i]! + batch.addr[2 * i + 1]! * TWO_32;
    if (isCopy && !isRead) this.written(addr);
    if (role === ROLE.SENT) this.pending[this.place(batch, i)] = isRead ? addr : -1;
    else if (!isRead) return;
    else if (role === ROLE.RECORDED) this.recorded(addr, batch.data[2 * i]!);
    else if (role === ROLE.ANSWERED) this.answered(addr, batch.data[2 * i]!);
  }

  private answeredBy(pid: number): void {
    if (pid === this.lastPid || pid === NO_PID) return;
    this.lastPid = pid;
    if (this.answerers.size < MOST) this.answerers.add(pid);
  }

  private place(batch: EventColumns, i: number): number {
    return (batch.domid[i]! & 63) * 128 + (batch.vcpu[i]! & 127);
  }

  /** A read at `addr` gave `value`. */
  private answered(addr: number, value: number): void {
    const offset = addr - GUEST_VIRTIO_MMIO_BASE;
    if (offset % VIRTIO_MMIO_WINDOW !== REG_DEVICE_ID || offset < 0 || offset >= GUEST_VIRTIO_MMIO_SIZE)
      return;
    if (value > 0 && value <= MAX_ID) this.slots[Math.floor(offset / VIRTIO_MMIO_WINDOW)] = value;
  }

  private written(addr: number): void {
    const offset = addr - GUEST_VIRTIO_MMIO_BASE;
    if (offset < 0 || offset >= GUEST_VIRTIO_MMIO_SIZE) return;
    const slot = Math.floor(offset / VIRTIO_MMIO_WINDOW);
    if (this.slots[slot] === UNANSWERED) this.slots[slot] = DRIVEN;
  }

  private recorded(addr: number, value: number): void {
    const offset = addr % VIRTIO_MMIO_WINDOW;
    if (offset === REG_MAGIC && value === VIRTIO_MMIO_MAGIC) {
      if (this.magicBases.size < MOST) this.magicBases.add(addr);
    } else if (offset === REG_DEVICE_ID && value > 0 && this.magicBases.has(addr - offset)) {
      this.deviceIds.set(addr - offset, value);
    }
  }
}
