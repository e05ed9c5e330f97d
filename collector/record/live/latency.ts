/**
 * The latencies that are watched while a recording runs. Each is taken on one clock alone, so that none carries
 * the error of a clock relation; what `trace report` gives of the sealed trace is finer.
 */
export const MEASURE = {
  /**
   * Dom0's share of an ioreq, Dom0's clock: event-channel interrupt of the ioreq's port (evtchn_interrupt) → the
   * device model's EVTCHN_NOTIFY on that port (evtchn_ioctl). Holds neither the trap, Xen's way to Dom0, nor the
   * vCPU's way back to the CPU. Source: Linux drivers/xen/evtchn.c; QEMU hw/xen/xen-hvm-common.c.
   */
  DOM0: 0,
  /**
   * The vCPU's wait for an ioreq, Xen's clock: running→offline → the next →running of that vCPU. Xen schedules a
   * vCPU that waits on a Xen event channel out as offline (xen/common/sched/core.c, vcpu_runstate_change); one
   * that is answered before that has no wait. A vCPU that is unplugged or paused waits in the same way.
   */
  WAIT: 1,
  /**
   * Interrupt, Dom0's clock: dm_op set_irq_level(1) of a device's SPI, or its irqfd signalled → the event-channel interrupt of the
   * guest's next InterruptStatus read (register 0x60) of that device. Several raises before one read count once,
   * from the first. Holds the guest's way into its handler and the trap of the read: not the injection alone.
   */
  IRQ: 2,
  /**
   * Virtio request, Dom0's clock. With the device model's own trace: virtqueue_pop → virtqueue_fill of one
   * element. Without it a stand-in: answer to a QueueNotify write (register 0x50) → the device's next
   * set_irq_level(1), a lower bound of what the notified requests take to their interrupt (it may be that of
   * another request). Only of devices that announce every request (ANNOUNCING) and are notified by an ioreq, and
   * not of notifies that come between a raise and the guest's InterruptACK: a handler that runs already takes what
   * is used by then without an interrupt, and the next raise would be too late a bound. (The tail of a handler
   * behind its acknowledge can still do so: VIRTIO 1.2, 2.7.7 leaves it to the driver.)
   */
  REQUEST: 3,
} as const;
export const MEASURES = 4;

/** By MEASURE: its name in triggers and tables. */
export const MEASURE_NAMES: readonly string[] = ['dom0', 'wait', 'irq', 'request'];

/** What of the domain is watched: from discovery. */
export interface LiveTarget {
  readonly domid: number;
  readonly devices: readonly LiveDevice[];
  /** Threads of the device models; undefined: whoever notifies. */
  readonly pids?: readonly number[];
  /** Local event-channel ports of the domain's; undefined: all that are seen. */
  readonly ports?: readonly number[];
  /** Hooks fetch the ioreq slots at each answer; if it is not said, that shows with the first. */
  readonly contents?: boolean;
}

export interface LiveDevice {
  /** As triggers name it: 'blk0'. */
  readonly name: string;
  /** 'blk', 'net' ... (trace/virtio-mmio.ts). */
  readonly kind: string;
  /** Guest-physical address of its register window, and its SPI. */
  readonly base: number;
  readonly spi: number;
}

/**
 * Kinds whose driver wants an interrupt for each request, or for a run of them that holds it. A net or console
 * queue may go without one for ever, so that nothing could be told of its requests.
 */
export const ANNOUNCING: ReadonlySet<string> = new Set(['blk', 'scsi', '9p', 'fs', 'rng', 'crypto', 'i2c']);

/** `clock` of `until`. */
export const CLOCK = { DOM0: 0, XEN: 1 } as const;

/**
 * Something that is still open. `start` in units of its source (Dom0 ns, Xen ticks) since the feed's epoch, `ns` how
 * long it has been open; device an index into LiveTarget.devices or NO_DEVICE; `key` the local port (DOM0), SPI
 * (IRQ), vCPU (WAIT) or 0.
 */
export type OpenVisitor = (
  measure: number,
  start: number,
  ns: number,
  device: number,
  vcpu: number,
  key: number,
) => void;

export interface LatencySink {
  /** One finished latency of `ns`; the rest as of OpenVisitor, `end` in the units of `start`. */
  latency(
    measure: number,
    start: number,
    end: number,
    ns: number,
    device: number,
    vcpu: number,
    key: number,
  ): void;
  /** All rows of that clock before `ts` have been seen; `open` gives what is open by then. */
  until(clock: number, ts: number, open: (visit: OpenVisitor) => void): void;
}
