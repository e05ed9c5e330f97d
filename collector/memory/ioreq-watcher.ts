import { REG_QUEUE_NOTIFY, VIRTIO_MMIO_WINDOW } from '../../trace/virtio-mmio.ts';
import type { ChainTracker } from './chain-tracker.ts';
import { STATE, TYPE, type IoreqSlots } from './ioreq-slots.ts';
import type { SyscallWatcher, TracedThread } from './syscall-tracer.ts';
import { syscallNumbers } from './syscalls.ts';
import type { TraceeView } from './tracee-view.ts';

/** Linux include/uapi/xen/evtchn.h, privcmd.h; Xen include/public/hvm/dm_op.h */
const EVTCHN_NOTIFY = 0x0004_4504;
const PRIVCMD_DM_OP = 0x0010_5005;
const DMOP_SET_IRQ_LEVEL = 19;
const EVENTFD = 'anon_inode:[eventfd]';
const VCPUS = 128;

export interface WatcherOptions {
  domid: number;
  /** The device models' ioreq pages. */
  pages: readonly IoreqSlots[];
  /** By process: how its memory and descriptors are seen. */
  views: ReadonlyMap<number, TraceeView>;
  /** The domain's port behind a local event channel, if it is one of the domain's. */
  remotePort: (port: number) => number | undefined;
  tracker: ChainTracker;
  /** Guest-physical address of the first register window; transport by interrupt. */
  base: number;
  transportOf: ReadonlyMap<number, number>;
  /** Only accesses to these transports are recorded; absent: to all. */
  only?: ReadonlySet<number>;
  /** The domain's memory has moved. */
  invalidate: () => void;
  /** ms, for how long ioreqs take, and of those the ms for which their device model was held. */
  now: () => number;
  held: () => number;
  /** A thread stands still for the first time. */
  begun: (thread: TracedThread) => void;
}

/** An ioreq that a device model has taken up and not yet answered. */
interface UnderWay {
  page: IoreqSlots;
  since: number;
  heldSince: number;
  address: number;
  size: number;
  isRead: boolean;
}

/**
 * Reads a domain's accesses out of its device models' system calls. A vCPU is held from its ioreq to the answer:
 *
 *   read() of /dev/xen/evtchn returns   the ioreq is taken up; its slot holds the request
 *   read() of an eventfd returns        a kick that the device model had put off comes to the ring now
 *   ioctl DM_OP set_irq_level begins    buffers have been used
 *   ioctl EVTCHN_NOTIFY begins          the slot holds the answer
 *
 * Source: QEMU hw/xen/xen-hvm-common.c (cpu_handle_ioreq), util/event_notifier-posix.c.
 */
export class IoreqWatcher implements SyscallWatcher {
  /** ioreqs answered; those outside of the virtio windows or of devices not wanted (not recorded); lines set. */
  ioreqs = 0;
  others = 0;
  lines = 0;
  /** ms for which ioreqs were with their device model, together; of those it stood still. */
  busyMs = 0;
  heldMs = 0;
  private readonly options: WatcherOptions;
  private readonly underWay: (UnderWay | undefined)[] = new Array<undefined>(VCPUS).fill(undefined);
  private readonly remote = new Map<number, number>();
  /** Transports with a driver at work: what an eventfd may be about. */
  private readonly used = new Set<number>();
  private open = 0;

  constructor(options: WatcherOptions) {
    this.options = options;
  }

  get busy(): boolean {
    return this.open > 0;
  }

  /** An eventfd may belong to this device from now on. */
  inUse(transport: number): void {
    this.used.add(transport);
  }

  begun(thread: TracedThread): void {
    this.options.begun(thread);
  }

  entry(thread: TracedThread): void {
    const numbers = syscallNumbers(thread.arch);
    if (numbers === undefined || thread.nr !== numbers.ioctl) return;
    const view = this.options.views.get(thread.pid);
    const request = thread.args[1]!;
    if (request === EVTCHN_NOTIFY) {
      const port = view?.read(thread.args[2]!, 4)?.getUint32(0, true);
      if (port !== undefined) this.answered(port);
    } else if (request === PRIVCMD_DM_OP && view !== undefined) this.deviceModelOp(view, thread.args[2]!);
  }

  exit(thread: TracedThread, result: number): void {
    const numbers = syscallNumbers(thread.arch);
    if (numbers === undefined || thread.nr !== numbers.read || result <= 0) return;
    const count = thread.args[2]!;
    if (result === 8 && count >= 8) {
      if (this.options.views.get(thread.pid)?.descriptor(thread.args[0]!) !== EVENTFD) return;
      for (const transport of this.used) this.options.tracker.look(transport, 'eventfd');
    } else if (result % 4 === 0 && result <= 64) {
      const view = this.options.views.get(thread.pid);
      if (view?.descriptor(thread.args[0]!) !== '/dev/xen/evtchn') return;
      const words = view.read(thread.args[1]!, result);
      if (words === undefined) return;
      const ports: number[] = [];
      for (let at = 0; at < result; at += 4) ports.push(words.getUint32(at, true));
      for (const port of ports) this.taken(port);
    }
  }

  gone(): void {
    // Whoever records sees that the process has ended.
  }

  /** The domain's side of a local port; -1: of no ioreq. */
  private remoteOf(port: number): number {
    const known = this.remote.get(port);
    if (known !== undefined) return known;
    const found = this.options.remotePort(port) ?? -1;
    this.remote.set(port, found);
    return found;
  }

  private slot(port: number): { page: IoreqSlots; vcpu: number } | undefined {
    const remote = this.remoteOf(port);
    if (remote <= 0) return undefined;
    for (const page of this.options.pages) {
      const vcpu = page.vcpuOf(remote);
      if (vcpu >= 0) return { page, vcpu };
    }
    // Not kept: a vCPU that comes later brings a port of its own.
    this.remote.delete(port);
    return undefined;
  }

  private taken(port: number): void {
    const slot = this.slot(port);
    if (slot === undefined) return;
    const { page, vcpu } = slot;
    // Linux may have answered a kick itself and tell of the event channel all the same.
    if (page.state(vcpu) !== STATE.READY) return;
    const type = page.type(vcpu);
    if (type === TYPE.INVALIDATE) this.options.invalidate();
    if (type !== TYPE.MMIO) return;
    const { tracker } = this.options;
    const address = page.address(vcpu);
    const transport = tracker.transport(address);
    if (transport < 0 || this.options.only?.has(transport) === false) {
      this.others++;
      return;
    }
    const size = page.size(vcpu);
    const isRead = page.isRead(vcpu);
    const low = page.low(vcpu);
    if (this.underWay[vcpu] === undefined) this.open++;
    const { now, held } = this.options;
    this.underWay[vcpu] = { page, since: now(), heldSince: held(), address, size, isRead };
    if (isRead) tracker.reading(address);
    else {
      tracker.write(vcpu, address, size, low, page.high(vcpu));
      this.follow(address, low);
    }
  }

  /** QueueReady, QueuePFN and QueueNotify: only a device in use gets those. */
  private follow(address: number, value: number): void {
    const offset = (address - this.options.base) % VIRTIO_MMIO_WINDOW;
    if (value !== 0 && (offset === 0x044 || offset === 0x040))
      this.used.add(this.options.tracker.transport(address));
    else if (offset === REG_QUEUE_NOTIFY) this.used.add(this.options.tracker.transport(address));
  }

  private answered(port: number): void {
    const slot = this.slot(port);
    if (slot === undefined) return;
    const { vcpu } = slot;
    const found = this.underWay[vcpu];
    if (found?.page.state(vcpu) !== STATE.ANSWERED) return;
    this.underWay[vcpu] = undefined;
    this.open--;
    this.ioreqs++;
    this.busyMs += this.options.now() - found.since;
    this.heldMs += this.options.held() - found.heldSince;
    const { tracker, base } = this.options;
    const { address, size, page } = found;
    if (found.isRead) tracker.read(vcpu, address, size, page.low(vcpu), page.high(vcpu));
    else if ((address - base) % VIRTIO_MMIO_WINDOW === REG_QUEUE_NOTIFY)
      tracker.look(tracker.transport(address), 'answered');
  }

  private deviceModelOp(view: TraceeView, address: number): void {
    // struct privcmd_dm_op: u16 dom, u16 num, ubufs; struct privcmd_dm_op_buf: ptr, size.
    const call = view.read(address, 16);
    if (call?.getUint16(0, true) !== this.options.domid || call.getUint16(2, true) < 1) return;
    const buffers = pointer(call, 8);
    const buffer = view.read(buffers, 16);
    if (buffer === undefined) return;
    // struct xen_dm_op: u32 op, u32 pad; set_irq_level: u32 irq, u8 level.
    const op = view.read(pointer(buffer, 0), 16);
    if (op?.getUint32(0, true) !== DMOP_SET_IRQ_LEVEL) return;
    const spi = op.getUint32(8, true);
    const level = op.getUint8(12);
    const transport = this.options.transportOf.get(spi);
    if (transport === undefined || level > 1 || this.options.only?.has(transport) === false) return;
    this.lines++;
    this.options.tracker.line(transport, spi, level === 1 ? 1 : 0);
  }
}

function pointer(words: DataView, at: number): number {
  return words.getUint32(at, true) + words.getUint32(at + 4, true) * 0x1_0000_0000;
}
