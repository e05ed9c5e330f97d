import type { JsonValue } from '../../../trace/json-check.ts';
import type { DeviceHost, DeviceModel } from '../../../devices/device.ts';
import type { Features } from '../../../devices/features.ts';
import type { DevicePlan, RecordedUsed } from '../../target.ts';
import type { Carrier, CarrierParts } from './carrier.ts';
import { configLength, isBackends, shownConfig } from './config.ts';
import type { Connection } from './connection.ts';
import { GuestRings } from './guest-rings.ts';
import { OwnRings } from './own-rings.ts';
import type { Posix } from './posix.ts';
import type { SharedRam } from './shared-ram.ts';

/** Bits of the device type: 0 to 23 and 50 to 63 (VIRTIO 1.2, section 6). */
const DEVICE_BITS: Features = [0x00ff_ffff, 0xfffc_0000];

/** Who serves the guest's rings: we, with others between us and the back-end, or the back-end itself. */
export type RingMode = 'own' | 'guest';

/**
 * A device whose requests a vhost-user back-end carries out. The transport in front is ours; how requests get to the
 * back-end is a carrier's business. What it has done, the guest sees when release() says so.
 */
export class VhostUserModel implements DeviceModel {
  readonly deviceId: number;
  readonly name: string;
  readonly configFields = [];
  readonly offered: Features;
  readonly legacyOffered: Features = [0, 0];
  readonly queueSizes: readonly number[];
  private readonly posix: Posix;
  private readonly connection: Connection;
  private readonly ram: SharedRam;
  private readonly kind: DevicePlan['kind'];
  private readonly mode: RingMode;
  private carrier: Carrier | undefined;
  private space: Uint8Array;
  private host!: DeviceHost;
  /** The back-end knows features and memory. */
  private running = false;
  /** Chains for which the time limit has passed once: not waited for again. */
  private stuck = 0;

  constructor(
    { posix, connection, ram }: Omit<CarrierParts, 'host'>,
    plan: DevicePlan,
    queues: number,
    mode: RingMode,
  ) {
    this.mode = mode;
    this.posix = posix;
    this.connection = connection;
    this.ram = ram;
    this.kind = plan.kind;
    this.deviceId = plan.deviceId;
    this.name = plan.kind;
    const [low, high] = connection.features;
    this.offered = [(low & DEVICE_BITS[0]) >>> 0, (high & DEVICE_BITS[1]) >>> 0];
    this.queueSizes = new Array<number>(queues).fill(256);
    const length = Math.min(plan.config?.bytes.length ?? 0, configLength(plan.kind));
    const theirs = connection.hasConfig && length > 0 ? connection.config(length) : undefined;
    this.space = shownConfig(plan, theirs, connection.features);
  }

  attach(host: DeviceHost): void {
    this.host = host;
    const parts = { posix: this.posix, connection: this.connection, ram: this.ram, host };
    this.carrier = this.mode === 'own' ? new OwnRings(parts) : new GuestRings(parts);
  }

  config(): Uint8Array {
    return this.space;
  }

  configWritten(offset: number, bytes: Uint8Array): void {
    this.space.set(bytes, offset);
    if (this.connection.hasConfig && isBackends(this.kind, offset, this.connection.features))
      this.connection.setConfig(offset, bytes);
  }

  /** Features that the guest uses and the back-end does not have. */
  lacking(): Features {
    const [low, high] = this.host.negotiated;
    const [has, hasHigh] = this.connection.features;
    return [(low & ~has & DEVICE_BITS[0]) >>> 0, (high & ~hasHigh & DEVICE_BITS[1]) >>> 0];
  }

  notify(index: number): void {
    if (!this.running) {
      this.carrier!.check();
      this.running = true;
      this.connection.setFeatures(this.agreed());
      this.connection.setMemory(this.ram.regions, this.ram.fd);
    }
    this.carrier!.notify(index);
  }

  /** What the guest uses of the device, and what the rings need. */
  private agreed(): Features {
    const [low, high] = this.host.negotiated;
    const [has, hasHigh] = this.connection.features;
    const [ring, ringHigh] = this.carrier!.features;
    // In rings of the guest's own only what the guest knows of; our own are always modern.
    const mask: Features = this.mode === 'own' ? [ring, ringHigh] : [ring & low, ringHigh & high];
    return [
      (((low & DEVICE_BITS[0]) | mask[0]) & has) >>> 0,
      (((high & DEVICE_BITS[1]) | mask[1]) & hasHigh) >>> 0,
    ];
  }

  get calls(): readonly number[] {
    return this.carrier!.calls;
  }

  /** Takes what the back-end has given back; the number of requests that it still has and that are waited for. */
  collect(): number {
    if (!this.running) return 0;
    const pending = this.carrier!.pending();
    this.stuck = Math.min(this.stuck, pending);
    return pending - this.stuck;
  }

  /** What is pending now will not be waited for again. */
  giveUp(): void {
    this.stuck += this.collect();
  }

  /** Whether the back-end is done with all of these. */
  done(used: RecordedUsed): boolean {
    return this.carrier!.done(used);
  }

  /** Shows the guest what the back-end is done with. */
  release(used: RecordedUsed): void {
    this.carrier!.show(used);
  }

  queueReset(index: number): void {
    this.carrier!.stop(index);
  }

  reset(): void {
    for (let i = 0; i < this.queueSizes.length; i++) this.carrier!.stop(i);
    this.running = false;
    this.stuck = 0;
  }

  close(): void {
    this.carrier?.close();
  }

  /** The state is in another process: a debugger goes back by running again. */
  save(): never {
    throw new Error('the state of a vhost-user back-end cannot be saved');
  }

  restore(saved: JsonValue): never {
    return saved.fail('a device of ours');
  }
}

/** Numbers of the bits that are set. */
export function featureBits([low, high]: Features): number[] {
  const bits: number[] = [];
  for (let bit = 0; bit < 64; bit++)
    if (((bit < 32 ? low >>> bit : high >>> (bit - 32)) & 1) === 1) bits.push(bit);
  return bits;
}
