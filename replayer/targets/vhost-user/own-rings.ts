import { forEachChain, type DeviceHost } from '../../../devices/device.ts';
import { F_INDIRECT_DESC, F_VERSION_1, features, hasFeature } from '../../../devices/features.ts';
import type { Chain } from '../../../devices/queue/chain.ts';
import type { RecordedUsed } from '../../target.ts';
import { RingEvents, type Carrier, type CarrierParts } from './carrier.ts';
import type { Connection } from './connection.ts';
import type { Posix } from './posix.ts';
import { ShadowRing, type Completion } from './shadow-ring.ts';
import type { SharedRam } from './shared-ram.ts';

interface Ring {
  shadow: ShadowRing<Chain>;
  events: RingEvents;
  /** The back-end serves it. */
  running: boolean;
  /** Given back by the back-end, not yet shown to the guest; in the back-end's order. */
  done: Completion<Chain>[];
}

/**
 * The guest's rings stay with us, legacy or modern, split or packed: chains are taken from there, go to the back-end
 * over rings of our own, and come back in the recorded order, whatever the back-end's threads did.
 */
export class OwnRings implements Carrier {
  readonly features = features(F_INDIRECT_DESC, F_VERSION_1);
  private readonly posix: Posix;
  private readonly connection: Connection;
  private readonly ram: SharedRam;
  private readonly host: DeviceHost;
  private readonly rings: (Ring | undefined)[] = [];

  constructor({ posix, connection, ram, host }: CarrierParts) {
    this.posix = posix;
    this.connection = connection;
    this.ram = ram;
    this.host = host;
  }

  check(): void {
    // Every ring of a guest is understood here.
  }

  notify(index: number): void {
    const queue = this.host.queue(index);
    if (queue === undefined) return;
    const ring = this.started(index);
    queue.setNotification(false);
    forEachChain(queue, (chain) => {
      ring.shadow.offer(chain);
    });
    queue.setNotification(true);
    this.posix.signal(ring.events.kick);
  }

  private started(index: number): Ring {
    const ring = (this.rings[index] ??= {
      shadow: new ShadowRing<Chain>(this.ram, hasFeature(this.connection.features, F_INDIRECT_DESC)),
      events: new RingEvents(this.posix),
      running: false,
      done: [],
    });
    if (!ring.running) this.connection.startRing(index, ring.shadow, ring.events.kick, ring.events.call);
    ring.running = true;
    return ring;
  }

  get calls(): readonly number[] {
    return this.rings.flatMap((ring) => (ring?.running === true ? [ring.events.call] : []));
  }

  pending(): number {
    let pending = 0;
    for (const ring of this.rings) {
      if (ring?.running !== true || ring.shadow.pending === 0) continue;
      this.posix.drain(ring.events.call);
      if (ring.shadow.harvest(ring.done)) this.posix.signal(ring.events.kick);
      pending += ring.shadow.pending;
    }
    return pending;
  }

  done({ queue, elements }: RecordedUsed): boolean {
    const ring = this.rings[queue];
    return elements.every(({ id }) => ring?.done.some(({ chain }) => chain.id === id) === true);
  }

  /** Those that the back-end has not given back are left out. */
  show({ queue, elements }: RecordedUsed): void {
    const ring = this.rings[queue];
    if (ring === undefined) return;
    for (const { id } of elements) {
      const at = ring.done.findIndex(({ chain }) => chain.id === id);
      if (at < 0) continue;
      const [{ chain, written }] = ring.done.splice(at, 1) as [Completion<Chain>];
      this.host.run(() => {
        this.host.queue(queue)?.push([chain], [written]);
        this.host.interrupt(queue);
      });
    }
  }

  stop(index: number): void {
    const ring = this.rings[index];
    if (ring?.running !== true) return;
    this.connection.stopRing(index);
    ring.running = false;
    ring.done.length = 0;
    ring.shadow.clear();
    ring.events.clear();
  }

  close(): void {
    for (const ring of this.rings) ring?.events.close();
    this.rings.length = 0;
  }
}
