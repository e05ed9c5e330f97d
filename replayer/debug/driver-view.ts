import { freshQueue, type QueueState } from '../../devices/queue/queue.ts';
import type { DeviceModel } from '../../devices/device.ts';
import { NO_FEATURES, type Features } from '../../devices/features.ts';
import { RamBanks } from '../../devices/guest-memory.ts';
import { CONFIG_SCHEMAS } from '../../devices/models/index.ts';
import type { TransportState } from '../../devices/transport/state.ts';
import { VirtioMmio } from '../../devices/transport/virtio-mmio.ts';
import type { DevicePlan } from '../target.ts';
import type { Steps } from './steps.ts';

/** More queues than any recorded device has: 31 console ports need 64. */
const QUEUES = 80;

/** A device that does nothing: only its transport is of interest. */
class Nothing implements DeviceModel {
  readonly name = 'nothing';
  readonly deviceId: number;
  readonly offered = NO_FEATURES;
  readonly legacyOffered = NO_FEATURES;
  readonly queueSizes: readonly number[];
  readonly configFields = [];
  constructor(deviceId: number, queueSize: number) {
    this.deviceId = deviceId;
    this.queueSizes = new Array<number>(QUEUES).fill(queueSize);
  }
  attach(): void {
    // It asks nothing of its host.
  }
  config(): Uint8Array {
    return NO_CONFIG;
  }
  notify(): void {
    // What the driver offers stays where it is.
  }
  reset(): void {
    // Nothing is remembered.
  }
  save(): unknown {
    return null;
  }
  restore(): void {
    // Nothing was saved.
  }
}

const NO_CONFIG = new Uint8Array(0);
const NO_RAM = new RamBanks([{ base: 0, bytes: new Uint8Array(0) }]);
const ALL_FEATURES: Features = [0xffff_ffff, 0xffff_ffff];

/** What the driver has read of a device, besides what follows from its writes. */
export interface Seen {
  /** By DeviceFeaturesSel. */
  offered: (number | undefined)[];
  /** Bytes of the configuration space, where it was read; latest value. */
  config: Map<number, number>;
  interruptStatus: number | undefined;
}

export interface DriverMark {
  position: number;
  devices: ReadonlyMap<number, unknown>;
  seen: ReadonlyMap<number, Seen>;
}

function copySeen({ offered, config, interruptStatus }: Seen): Seen {
  return { offered: [...offered], config: new Map(config), interruptStatus };
}

/**
 * Each device as its driver has set it up by a position: status, features, queues. It follows from the recorded
 * accesses alone, so that it is the same for every target, at no cost to the replay.
 */
export class DriverView {
  private readonly steps: Steps;
  private readonly plans: ReadonlyMap<number, DevicePlan>;
  private readonly devices = new Map<number, VirtioMmio>();
  private readonly seen = new Map<number, Seen>();
  private position = 0;

  constructor(steps: Steps, plans: readonly DevicePlan[]) {
    this.steps = steps;
    this.plans = new Map(plans.map((plan) => [plan.transport, plan]));
    this.restart();
  }

  private restart(): void {
    this.position = 0;
    for (const [transport, plan] of this.plans) {
      const device = new VirtioMmio({
        version: plan.version,
        model: new Nothing(plan.deviceId, 256),
        memory: NO_RAM,
        line: { set: () => undefined },
        queueNumMax: plan.queueNumMax ?? 1024,
        offered: plan.offered ?? ALL_FEATURES,
      });
      this.devices.set(transport, device);
      this.seen.set(transport, { offered: [], config: new Map(), interruptStatus: undefined });
    }
  }

  /** Brings the view to a position, earlier or later. */
  moveTo(position: number): void {
    if (position < this.position) this.restart();
    for (; this.position < position; this.position++) this.take(this.position);
  }

  private take(k: number): void {
    const { steps } = this;
    const device = this.devices.get(steps.transport[k]!);
    if (device === undefined) return;
    const offset = steps.offset[k]!;
    const size = steps.size[k]!;
    const value = steps.value[k]!;
    if (steps.write[k] === 1) {
      if (size === 8) device.write(offset + 4, 4, Math.floor(value / 0x1_0000_0000));
      device.write(offset, Math.min(size, 4), value % 0x1_0000_0000);
      return;
    }
    this.see(device, this.seen.get(steps.transport[k]!)!, offset, size, value);
  }

  private see(device: VirtioMmio, seen: Seen, offset: number, size: number, value: number): void {
    if (offset === 0x10) seen.offered[device.state.deviceFeaturesSel] = value;
    if (offset === 0x60) seen.interruptStatus = value;
    if (offset < 0x100) return;
    for (let i = 0; i < size; i++)
      seen.config.set(offset - 0x100 + i, Math.floor(value / 2 ** (8 * i)) % 256);
  }

  /** All that it knows now, for `restore`. */
  save(): DriverMark {
    const devices = [...this.devices].map(([transport, device]) => [transport, device.save()] as const);
    const seen = [...this.seen].map(([transport, one]) => [transport, copySeen(one)] as const);
    return { position: this.position, devices: new Map(devices), seen: new Map(seen) };
  }

  restore({ position, devices, seen }: DriverMark): void {
    for (const [transport, device] of this.devices) device.restore(devices.get(transport));
    for (const [transport, one] of seen) this.seen.set(transport, copySeen(one));
    this.position = position;
  }

  transports(): number[] {
    return [...this.plans.keys()];
  }

  plan(transport: number): DevicePlan | undefined {
    return this.plans.get(transport);
  }

  state(transport: number): TransportState | undefined {
    return this.devices.get(transport)?.state;
  }

  seenOf(transport: number): Seen | undefined {
    return this.seen.get(transport);
  }

  /** Queues that the driver has touched, with their numbers. */
  queues(transport: number): [number, QueueState][] {
    const blank = JSON.stringify(freshQueue(256));
    return [...(this.state(transport)?.queues.entries() ?? [])].filter(
      ([, queue]) => queue.ready || JSON.stringify(queue) !== blank,
    );
  }

  /** A field of the configuration space as the driver last read it; undefined where it never did. */
  configField(transport: number, name: string): bigint | undefined {
    const field = CONFIG_SCHEMAS.get(this.plans.get(transport)?.deviceId ?? -1)?.find((f) => f.name === name);
    const seen = this.seen.get(transport);
    if (field === undefined || seen === undefined) return undefined;
    let value = 0n;
    for (let i = field.size - 1; i >= 0; i--) {
      const byte = seen.config.get(field.offset + i);
      if (byte === undefined) return undefined;
      value = value * 256n + BigInt(byte);
    }
    return value;
  }
}
