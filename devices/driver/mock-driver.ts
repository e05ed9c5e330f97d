import { REG_CONFIG, REG_QUEUE_NOTIFY, VIRTIO_MMIO_REGISTERS } from '../../trace/virtio-mmio.ts';
import type { RegisterBus } from '../device.ts';
import {
  F_EVENT_IDX,
  F_RING_PACKED,
  features,
  hasFeature,
  NO_FEATURES,
  without,
  type Features,
} from '../features.ts';
import type { GuestMemory } from '../guest-memory.ts';
import {
  STATUS_ACKNOWLEDGE,
  STATUS_DRIVER,
  STATUS_DRIVER_OK,
  STATUS_FEATURES_OK,
} from '../transport/state.ts';
import { Arena } from './arena.ts';
import type { DriverQueue, UsedChain } from './driver-queue.ts';
import { PackedDriver } from './packed-driver.ts';
import { SplitDriver } from './split-driver.ts';

export interface MockDriverOptions {
  bus: RegisterBus;
  memory: GuestMemory;
  /** Guest RAM that is the driver's own: rings and buffers come from there. */
  base: number;
  length: number;
}

export interface SetUpOptions {
  /** Entries of each queue to set up; 0 leaves one out. */
  queues: readonly number[];
  /** Features to leave aside though they are offered. */
  refuse?: readonly number[];
}

const OFFSET = new Map(VIRTIO_MMIO_REGISTERS.map((register) => [register.name, register.offset]));

/**
 * A virtio driver without a guest: sets a device up and drives its queues through registers and guest memory
 * alone, as VIRTIO 1.2, 3.1.1 and 4.2.3 tell a driver to. Legacy or modern after the Version register, packed
 * rings where they are offered.
 */
export class MockDriver {
  readonly arena: Arena;
  readonly queues: (DriverQueue | undefined)[] = [];
  negotiated: Features = NO_FEATURES;
  private readonly bus: RegisterBus;

  constructor({ bus, memory, base, length }: MockDriverOptions) {
    this.bus = bus;
    this.arena = new Arena(memory, base, length);
  }

  get(register: string): number {
    return this.bus.read(offsetOf(register), 4);
  }

  set(register: string, value: number): void {
    this.bus.write(offsetOf(register), 4, value);
  }

  config(offset: number, size: number): number {
    return this.bus.read(REG_CONFIG + offset, size);
  }

  /** From reset to DRIVER_OK. False when the device refuses the features. */
  setUp({ queues, refuse = [] }: SetUpOptions): boolean {
    const legacy = this.get('Version') === 1;
    if (legacy) this.set('GuestPageSize', 4096);
    this.set('Status', 0);
    this.set('Status', STATUS_ACKNOWLEDGE);
    this.set('Status', STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    this.negotiated = without(this.offered(), features(...refuse));
    this.accept(this.negotiated);
    let status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;
    if (!legacy) {
      status |= STATUS_FEATURES_OK;
      this.set('Status', status);
      if ((this.get('Status') & STATUS_FEATURES_OK) === 0) return false;
    }
    this.queues.length = 0;
    for (const [index, num] of queues.entries())
      this.queues.push(num === 0 ? undefined : this.setUpQueue(index, num, legacy));
    this.set('Status', status | STATUS_DRIVER_OK);
    return true;
  }

  offered(): Features {
    this.set('DeviceFeaturesSel', 1);
    const high = this.get('DeviceFeatures');
    this.set('DeviceFeaturesSel', 0);
    return [this.get('DeviceFeatures'), high];
  }

  accept([low, high]: Features): void {
    this.set('DriverFeaturesSel', 1);
    this.set('DriverFeatures', high);
    this.set('DriverFeaturesSel', 0);
    this.set('DriverFeatures', low);
  }

  setUpQueue(index: number, num: number, legacy: boolean): DriverQueue {
    const eventIdx = hasFeature(this.negotiated, F_EVENT_IDX);
    const queue = hasFeature(this.negotiated, F_RING_PACKED)
      ? new PackedDriver(this.arena, num)
      : new SplitDriver(this.arena, num, legacy, eventIdx);
    this.set('QueueSel', index);
    this.set('QueueNum', num);
    if (legacy) {
      this.set('QueueAlign', 4096);
      this.set('QueuePFN', queue.areas[0] / 4096);
      return queue;
    }
    for (const [i, area] of (['Desc', 'Driver', 'Device'] as const).entries()) {
      this.set(`Queue${area}Low`, queue.areas[i]! % 0x1_0000_0000);
      this.set(`Queue${area}High`, Math.floor(queue.areas[i]! / 0x1_0000_0000));
    }
    this.set('QueueReady', 1);
    return queue;
  }

  queue(index: number): DriverQueue {
    const queue = this.queues[index];
    if (queue === undefined) throw new RangeError(`queue ${index} is not set up`);
    return queue;
  }

  /** Offers a chain of fresh buffers: the bytes given, then room for as many bytes as asked. No notification. */
  offer(index: number, out: readonly Uint8Array[], into: readonly number[], indirect = false): number {
    return this.queue(index).offer(
      out.map((bytes) => this.arena.put(bytes)),
      into.map((length) => this.arena.take(length)),
      { indirect },
    );
  }

  kick(index: number): void {
    this.bus.write(REG_QUEUE_NOTIFY, 4, index);
    this.queue(index).kicked();
  }

  /** What an interrupt handler does: reads InterruptStatus and acknowledges it; gives the status. */
  interrupt(): number {
    const status = this.get('InterruptStatus');
    if (status !== 0) this.set('InterruptACK', status);
    return status;
  }

  /** Offers, notifies and gives what came back. */
  request(index: number, out: readonly Uint8Array[], into: readonly number[], indirect = false): UsedChain[] {
    this.offer(index, out, into, indirect);
    this.kick(index);
    return this.queue(index).used();
  }

  /** The bytes that the device wrote into a chain. */
  written(chain: UsedChain): Uint8Array {
    const bytes = new Uint8Array(chain.length);
    let done = 0;
    for (const { gpa, length } of chain.in) {
      const part = this.arena.memory.view(gpa, Math.min(length, bytes.length - done));
      bytes.set(part, done);
      done += part.length;
    }
    return bytes;
  }
}

function offsetOf(register: string): number {
  const offset = OFFSET.get(register);
  if (offset === undefined) throw new RangeError(`no register ${register}`);
  return offset;
}
