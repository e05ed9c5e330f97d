import { JsonValue } from '../../trace/json-check.ts';
import { REG_CONFIG } from '../../trace/virtio-mmio.ts';
import type { DeviceHost, DeviceModel, InterruptLine, RegisterBus } from '../device.ts';
import {
  F_EVENT_IDX,
  F_INDIRECT_DESC,
  F_NOTIFY_ON_EMPTY,
  F_RING_PACKED,
  F_RING_RESET,
  F_VERSION_1,
  NO_FEATURES,
  features,
  hasFeature,
  isEmpty,
  union,
  without,
  type Features,
} from '../features.ts';
import { GuestFault, type GuestMemory } from '../guest-memory.ts';
import { PackedQueue } from '../queue/packed-queue.ts';
import { freshQueue, type QueueState, type VirtQueue } from '../queue/queue.ts';
import { SplitQueue } from '../queue/split-queue.ts';
import {
  LEGACY_REGISTERS,
  MODERN_REGISTERS,
  VENDOR_QEMU,
  type RegisterFile,
  type RegisterTarget,
} from './registers.ts';
import {
  freshTransport,
  INTERRUPT_CONFIG,
  INTERRUPT_USED,
  STATUS_DRIVER_OK,
  STATUS_FEATURES_OK,
  STATUS_NEEDS_RESET,
  transportStateFrom,
  type TransportState,
} from './state.ts';

export interface VirtioMmioOptions {
  /** 1 = legacy, 2 = modern (the Version register). */
  version: 1 | 2;
  model: DeviceModel;
  memory: GuestMemory;
  line: InterruptLine;
  /** VendorID register; QEMU's unless given. */
  vendor?: number;
  /** QueueNumMax of every queue; QEMU's 1024 unless given. */
  queueNumMax?: number;
  /** Offer packed virtqueues too (modern only; QEMU does so only when asked). */
  packed?: boolean;
  /** Exactly these features instead of the model's and the transport's own: to stand in for another device. */
  offered?: Features;
}

/**
 * A virtio-mmio transport with its device: VIRTIO 1.2, 4.2, version 2, and 4.2.4, version 1. Where the
 * specification leaves a choice it does what QEMU's hw/virtio/virtio-mmio.c does. Differences on purpose, none
 * of which a driver within the specification can see:
 * - features that were not offered make FEATURES_OK stay off (2.2.2); QEMU drops them and goes on;
 * - status bits stay set until a reset; a version 2 device takes no notification before DRIVER_OK (2.1);
 * - size and addresses of a queue that is enabled cannot be changed; QueueReset (RING_RESET) works.
 *
 * Accesses have 1, 2 or 4 bytes; who has one of 8 makes two of 4, low half first. Any other size, a
 * register of another size than 4 bytes and an unknown register read as 0 and ignore writes.
 */
export class VirtioMmio implements DeviceHost, RegisterBus, RegisterTarget {
  readonly version: 1 | 2;
  readonly model: DeviceModel;
  readonly memory: GuestMemory;
  readonly vendor: number;
  readonly queueNumMax: number;
  readonly offered: Features;
  /** Belongs to this class and its register table; outside, look at it or use save. */
  state: TransportState;
  /** What the driver did wrong, in words, while the device needs a reset. */
  fault: string | undefined = undefined;
  private readonly line: InterruptLine;
  private readonly registers: RegisterFile;
  /** Device sides of enabled queues, made when first used. */
  private readonly sides: (VirtQueue | undefined)[] = [];

  constructor(options: VirtioMmioOptions) {
    this.version = options.version;
    this.model = options.model;
    this.memory = options.memory;
    this.line = options.line;
    this.vendor = options.vendor ?? VENDOR_QEMU;
    this.queueNumMax = options.queueNumMax ?? 1024;
    this.offered = options.offered ?? offeredBy(options.model, options.version, options.packed === true);
    this.registers = options.version === 1 ? LEGACY_REGISTERS : MODERN_REGISTERS;
    this.state = freshTransport(options.model.queueSizes);
    this.model.attach(this);
  }

  /** The guest reads `size` bytes at `offset` of the device's window. */
  read(offset: number, size: number): number {
    if (offset >= REG_CONFIG) return this.readConfig(offset - REG_CONFIG, size);
    if (size !== 4 || (offset & 3) !== 0) return 0;
    return this.registers.reads[offset >>> 2]?.(this) ?? 0;
  }

  /** The guest writes the low `size` bytes of `value`. */
  write(offset: number, size: number, value: number): void {
    if (offset >= REG_CONFIG) this.writeConfig(offset - REG_CONFIG, size, value);
    else if (size === 4 && (offset & 3) === 0) this.registers.writes[offset >>> 2]?.(this, value >>> 0);
  }

  // What the model sees.

  get negotiated(): Features {
    return this.state.negotiated;
  }

  get driverOk(): boolean {
    return (this.state.status & STATUS_DRIVER_OK) !== 0;
  }

  queue(index: number): VirtQueue | undefined {
    const state = this.state.queues[index];
    if (state?.ready !== true) return undefined;
    const packed = hasFeature(this.negotiated, F_RING_PACKED);
    return (this.sides[index] ??= packed
      ? new PackedQueue(state, this.memory, this.negotiated)
      : new SplitQueue(state, this.memory, this.negotiated));
  }

  interrupt(index: number): void {
    if (this.queue(index)?.wantsInterrupt() !== true) return;
    this.state.interruptStatus |= INTERRUPT_USED;
    this.line.set(1);
  }

  configChanged(): void {
    if (!this.driverOk) return;
    // Both bits, as QEMU sets them: a driver that looks only for used buffers finds none and loses nothing.
    this.state.interruptStatus |= INTERRUPT_USED | INTERRUPT_CONFIG;
    this.state.configGeneration = (this.state.configGeneration + 1) >>> 0;
    this.line.set(1);
  }

  run(work: () => void): void {
    if (this.state.broken) return;
    try {
      work();
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      this.fail(error.message);
    }
  }

  /** VIRTIO 1.2, 2.1.2: an error that the device cannot recover from. A legacy driver cannot be told. */
  private fail(what: string): void {
    this.fault = what;
    if (hasFeature(this.negotiated, F_VERSION_1)) {
      this.state.status |= STATUS_NEEDS_RESET;
      this.configChanged();
    }
    this.state.broken = true;
  }

  // What the registers do (transport/registers.ts).

  selected(): QueueState | undefined {
    return this.state.queues[this.state.queueSel];
  }

  offeredWord(): number {
    return this.offered[this.state.deviceFeaturesSel] ?? 0;
  }

  setDriverFeatures(value: number): void {
    const { state } = this;
    const word = state.driverFeaturesSel;
    if (this.version === 2) {
      if (word < 2) state.driverFeatures[word] = value;
      return;
    }
    if (word !== 0 || (state.status & STATUS_FEATURES_OK) !== 0) return;
    state.driverFeatures = [value, 0];
    this.negotiate([(value & this.offered[0]) >>> 0, 0]);
  }

  private negotiate(agreed: [number, number]): void {
    this.state.negotiated = agreed;
    this.sides.length = 0;
  }

  setStatus(value: number): void {
    const { state } = this;
    if (value === 0) {
      this.reset();
      return;
    }
    let accepted = value;
    if (this.version === 2 && (value & ~state.status & STATUS_FEATURES_OK) !== 0) {
      if (isEmpty(without(state.driverFeatures, this.offered))) this.negotiate([...state.driverFeatures]);
      else accepted &= ~STATUS_FEATURES_OK;
    }
    state.status |= accepted;
    this.model.statusChanged?.();
  }

  /** Device reset (VIRTIO 1.2, 2.4). Selectors and the legacy page size outlive it, as in QEMU. */
  reset(): void {
    const { state } = this;
    this.model.reset();
    const fresh = freshTransport(this.model.queueSizes);
    this.state = {
      ...fresh,
      deviceFeaturesSel: state.deviceFeaturesSel,
      driverFeaturesSel: state.driverFeaturesSel,
      guestPageShift: state.guestPageShift,
      configGeneration: state.configGeneration,
    };
    this.sides.length = 0;
    this.fault = undefined;
    this.line.set(0);
  }

  acknowledge(bits: number): void {
    this.state.interruptStatus &= ~bits;
    this.line.set(this.state.interruptStatus === 0 ? 0 : 1);
  }

  notify(index: number): void {
    if (this.version === 2 && !this.driverOk) return;
    if (this.state.queues[index]?.ready !== true) return;
    this.run(() => {
      this.model.notify(index);
    });
  }

  setQueueNum(value: number): void {
    const queue = this.selected();
    if (queue === undefined || value === 0 || value > this.queueNumMax) return;
    if (this.version === 2) {
      if (!queue.ready) queue.num = value;
      return;
    }
    queue.num = value;
    this.layLegacyRings(queue);
  }

  setQueueAlign(value: number): void {
    const queue = this.selected();
    // Not a power of two: no driver means it, and the layout would be anybody's guess.
    if (queue === undefined || value === 0 || (value & (value - 1)) !== 0) return;
    queue.align = value;
    this.layLegacyRings(queue);
  }

  queuePfn(): number {
    const queue = this.selected();
    if (queue === undefined) return 0;
    return Math.floor(queue.desc / 2 ** this.state.guestPageShift) % 0x1_0000_0000;
  }

  /** Writing 0 resets the whole device, as in QEMU: a driver does so when it gives the device up. */
  setQueuePfn(value: number): void {
    if (value === 0) {
      this.reset();
      return;
    }
    const queue = this.selected();
    if (queue === undefined) return;
    queue.desc = value * 2 ** this.state.guestPageShift;
    queue.ready = true;
    this.layLegacyRings(queue);
  }

  /** VIRTIO 1.2, 2.7.2: the three parts follow one another, the used ring at the next aligned address. */
  private layLegacyRings(queue: QueueState): void {
    if (!queue.ready) return;
    queue.driver = queue.desc + 16 * queue.num;
    queue.device = Math.ceil((queue.driver + 6 + 2 * queue.num) / queue.align) * queue.align;
  }

  setQueueReady(value: number): void {
    const queue = this.selected();
    if (queue === undefined) return;
    this.sides[this.state.queueSel] = undefined;
    if (value === 0) {
      queue.ready = false;
      return;
    }
    if (queue.ready) return;
    const [descLow, descHigh, driverLow, driverHigh, deviceLow, deviceHigh] = queue.staged;
    queue.desc = descLow! + descHigh! * 0x1_0000_0000;
    queue.driver = driverLow! + driverHigh! * 0x1_0000_0000;
    queue.device = deviceLow! + deviceHigh! * 0x1_0000_0000;
    queue.ready = true;
  }

  /** VIRTIO 1.2, 2.6.1: one queue goes back to its state after a device reset. */
  resetQueue(value: number): void {
    const index = this.state.queueSel;
    if (value !== 1 || this.selected() === undefined || !hasFeature(this.negotiated, F_RING_RESET)) return;
    this.model.queueReset?.(index);
    this.state.queues[index] = freshQueue(this.model.queueSizes[index]!);
    this.sides[index] = undefined;
  }

  private readConfig(offset: number, size: number): number {
    const config = this.model.config();
    if (size !== 1 && size !== 2 && size !== 4) return 0;
    // All ones outside, as QEMU gives.
    if (offset + size > config.length) return size === 4 ? 0xffff_ffff : 2 ** (8 * size) - 1;
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + config[offset + i]!;
    return value;
  }

  private writeConfig(offset: number, size: number, value: number): void {
    if (size !== 1 && size !== 2 && size !== 4) return;
    if (offset + size > this.model.config().length) return;
    const bytes = new Uint8Array(size);
    for (let i = 0; i < size; i++) bytes[i] = value >>> (8 * i);
    this.run(() => {
      this.model.configWritten?.(offset, bytes);
    });
  }

  // State.

  /** Plain data: transport, queues and model. */
  save(): unknown {
    return structuredClone({ version: this.version, transport: this.state, model: this.model.save() });
  }

  /**
   * Takes what save gave, from an untrusted place, into a device built with the same options. Throws
   * E_TRACE_DAMAGED with the path of what does not fit; the device is then as it was.
   */
  restore(saved: unknown, source = 'saved device state'): void {
    const value = new JsonValue(structuredClone(saved), '$', source);
    if (value.get('version').integer(1, 2) !== this.version) value.get('version').fail(`${this.version}`);
    const transport = value.get('transport');
    const state = transportStateFrom(transport, this.model.queueSizes.length, this.queueNumMax, this.offered);
    if (hasFeature(state.negotiated, F_RING_PACKED) && state.queues.some(beyondRing))
      transport.get('queues').fail('indices inside their rings');
    this.model.restore(value.get('model'));
    this.state = state;
    this.sides.length = 0;
    this.fault = state.broken ? 'the saved device needed a reset' : undefined;
  }
}

const beyondRing = (queue: QueueState): boolean =>
  queue.ready && (queue.lastAvail >= queue.num || queue.usedIdx >= queue.num);

function offeredBy(model: DeviceModel, version: 1 | 2, packed: boolean): Features {
  const rings = features(F_INDIRECT_DESC, F_EVENT_IDX);
  if (version === 1) {
    const [low] = union(union(model.offered, model.legacyOffered), rings);
    return union([low, 0], features(F_NOTIFY_ON_EMPTY));
  }
  const modern = features(F_VERSION_1, F_RING_RESET);
  return union(union(model.offered, rings), union(modern, packed ? features(F_RING_PACKED) : NO_FEATURES));
}
