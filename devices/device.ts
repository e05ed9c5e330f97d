import type { JsonValue } from '../trace/json-check.ts';
import type { Features } from './features.ts';
import type { GuestMemory } from './guest-memory.ts';
import type { Chain } from './queue/chain.ts';
import type { VirtQueue } from './queue/queue.ts';

/**
 * The wire that ends in the guest's interrupt controller. Called each time the device asserts or releases it,
 * also when the level stays the same: what QEMU does with its line, and a recording of it shows. Who wants
 * edges compares.
 */
export interface InterruptLine {
  set(level: 0 | 1): void;
}

/** A device's window of registers, as the guest reaches it. Offsets and sizes in bytes. */
export interface RegisterBus {
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number): void;
}

/** What a transport offers the model that is plugged into it. */
export interface DeviceHost {
  readonly memory: GuestMemory;
  /** Features that both sides agreed on; none before. */
  readonly negotiated: Features;
  /** The DRIVER_OK bit of the status register. */
  readonly driverOk: boolean;
  /** The device side of a queue; undefined while the driver has not enabled it. */
  queue(index: number): VirtQueue | undefined;
  /** Used buffers were put into the queue: interrupts the driver if it wants that. */
  interrupt(index: number): void;
  /** The configuration space changed by itself: generation counter and configuration interrupt. */
  configChanged(): void;
  /**
   * Runs what was started from outside the guest (a frame came in, a request completed): nothing at all when the
   * device needs a reset, and a GuestFault inside becomes DEVICE_NEEDS_RESET.
   */
  run(work: () => void): void;
}

/** A field of a device's configuration space, for names in reports and debuggers. */
export interface ConfigField {
  /** Bytes from the start of the configuration space (register 0x100 of virtio-mmio). */
  offset: number;
  /** Bytes. */
  size: number;
  name: string;
}

/**
 * A virtio device without its transport. It sees guest memory through chains, an interrupt line through `host`,
 * and a back end of its own; no clock, no file. Given the same calls it does the same. Whatever memory holds,
 * it ends each call with an answer or a GuestFault, within a time bounded by the queue's size and its back end.
 *
 *   plugged ── driver negotiates ── DRIVER_OK ── notify* ── reset ─┐
 *      ▲                                                           │
 *      └───────────────────────────────────────────────────────────┘
 */
export interface DeviceModel {
  /** Device type (VIRTIO 1.2, section 5). */
  readonly deviceId: number;
  readonly name: string;
  /** Feature bits of the device type; the transport adds those of rings and transport. */
  readonly offered: Features;
  /** Further bits that only a legacy transport offers. */
  readonly legacyOffered: Features;
  /** Default size of each queue, in entries; the length is the number of queues. */
  readonly queueSizes: readonly number[];
  readonly configFields: readonly ConfigField[];

  attach(host: DeviceHost): void;
  /** The configuration space as it is now. */
  config(): Uint8Array;
  /** The driver wrote `bytes` at `offset`; the transport has checked that they lie inside. */
  configWritten?(offset: number, bytes: Uint8Array): void;
  /** The driver wrote the status register and it is not 0. */
  statusChanged?(): void;
  /** The driver made buffers available in a queue that is enabled. */
  notify(queue: number): void;
  /** One queue was reset: whatever is under way in it is forgotten. */
  queueReset?(queue: number): void;
  reset(): void;
  /** Plain data, together with the transport's state all that the model remembers. */
  save(): unknown;
  /** Takes what save gave, from an untrusted place: checks all of it before it changes anything. */
  restore(saved: JsonValue): void;
}

/**
 * Calls `handle` for each chain that was available when the driver notified, as long as `more` says so. What a
 * handler itself writes into guest memory (it may overlap the ring) cannot prolong the loop beyond the ring's size.
 */
export function forEachChain(
  queue: VirtQueue,
  handle: (chain: Chain) => void,
  more: () => boolean = () => true,
): void {
  for (let budget = queue.state.num; budget > 0 && more(); budget--) {
    const chain = queue.pop();
    if (chain === undefined) return;
    handle(chain);
  }
}
