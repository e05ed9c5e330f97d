import type { DeviceHost } from '../../../devices/device.ts';
import type { Features } from '../../../devices/features.ts';
import type { RecordedUsed } from '../../target.ts';
import type { Connection } from './connection.ts';
import type { Posix } from './posix.ts';
import type { SharedRam } from './shared-ram.ts';

/** What a carrier works with. */
export interface CarrierParts {
  posix: Posix;
  connection: Connection;
  ram: SharedRam;
  host: DeviceHost;
}

/** How a guest's requests reach a back-end, and how what it did comes back to the guest. */
export interface Carrier {
  /** Ring and transport features to agree on with the back-end. */
  readonly features: Features;
  /** Throws E_TARGET if what the guest has negotiated cannot be carried so. */
  check(): void;
  /** The guest notified a queue that it has enabled; the back-end knows memory and features. */
  notify(queue: number): void;
  /** Descriptors that become readable when the back-end gives something back. */
  readonly calls: readonly number[];
  /** Requests that the back-end has, those included that are waited for no more. */
  pending(): number;
  /** Whether the back-end is done with all of these. */
  done(used: RecordedUsed): boolean;
  /** Lets the guest see these as used, in the recorded order, with the interrupts that it wants. */
  show(used: RecordedUsed): void;
  /** The back-end uses the ring no more; what it had is forgotten. */
  stop(queue: number): void;
  close(): void;
}

/** The two eventfds of a ring. */
export class RingEvents {
  readonly kick: number;
  readonly call: number;
  private readonly posix: Posix;

  constructor(posix: Posix) {
    this.posix = posix;
    this.kick = posix.eventfd();
    this.call = posix.eventfd();
  }

  clear(): void {
    this.posix.drain(this.kick);
    this.posix.drain(this.call);
  }

  close(): void {
    this.posix.close(this.kick);
    this.posix.close(this.call);
  }
}
