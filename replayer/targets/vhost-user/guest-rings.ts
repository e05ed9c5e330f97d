import { TraceError } from '../../../trace/errors.ts';
import type { DeviceHost } from '../../../devices/device.ts';
import {
  F_EVENT_IDX,
  F_INDIRECT_DESC,
  F_NOTIFY_ON_EMPTY,
  F_RING_PACKED,
  F_VERSION_1,
  features,
  hasFeature,
} from '../../../devices/features.ts';
import type { RecordedUsed } from '../../target.ts';
import { RingEvents, type Carrier, type CarrierParts } from './carrier.ts';
import type { Connection } from './connection.ts';
import type { Posix } from './posix.ts';

/**
 * The back-end serves the guest's own rings, as they were recorded: its ring code is under test, too. It fills the used
 * ring as soon as it is done and in its own order; the guest's interrupts come at the recorded points, by what
 * its avail ring asks for there. Split rings alone.
 */
export class GuestRings implements Carrier {
  readonly features = features(F_INDIRECT_DESC, F_EVENT_IDX, F_NOTIFY_ON_EMPTY, F_VERSION_1);
  private readonly posix: Posix;
  private readonly connection: Connection;
  private readonly host: DeviceHost;
  /** By queue, while the back-end serves it: `used` is the guest-physical address of its used ring. */
  private readonly rings: ({ events: RingEvents; used: number } | undefined)[] = [];
  /** By queue: the available index at its last notify. */
  private readonly notified: number[] = [];

  constructor({ posix, connection, host }: CarrierParts) {
    this.posix = posix;
    this.connection = connection;
    this.host = host;
  }

  notify(index: number): void {
    const state = this.host.queue(index)?.state;
    if (state === undefined) return;
    const ring = this.started(index);
    this.notified[index] = this.host.memory.u16(state.driver + 2);
    this.posix.signal(ring.kick);
  }

  private started(index: number): RingEvents {
    const running = this.rings[index]?.events;
    if (running !== undefined) return running;
    const { num, desc, driver, device } = this.host.queue(index)!.state;
    const events = new RingEvents(this.posix);
    this.rings[index] = { events, used: device };
    this.connection.startRing(index, { num, desc, avail: driver, used: device }, events.kick, events.call);
    return events;
  }

  /** What a back-end that serves a ring must know of it. */
  check(): void {
    const { negotiated } = this.host;
    if (!hasFeature(negotiated, F_VERSION_1))
      throw new TraceError(
        'E_TARGET',
        'the guest is a legacy one, whose rings vhost-user back-ends do not serve',
        {
          expected: 'rings of our own in between',
        },
      );
    if (hasFeature(negotiated, F_RING_PACKED))
      throw new TraceError('E_TARGET', 'packed rings of a guest cannot be handed to a back-end', {
        expected: 'a guest with split rings, or rings of our own in between',
      });
    for (const [bit, name] of [
      [F_INDIRECT_DESC, 'INDIRECT_DESC'],
      [F_EVENT_IDX, 'EVENT_IDX'],
    ] as const)
      if (hasFeature(negotiated, bit) && !hasFeature(this.connection.features, bit))
        throw new TraceError('E_TARGET', `the guest's rings use ${name}, which the back-end lacks`, {
          expected: 'rings of our own in between',
        });
  }

  get calls(): readonly number[] {
    return this.rings.flatMap((ring) => (ring === undefined ? [] : [ring.events.call]));
  }

  /**
   * Chains between the used index and what was available at the last notify: of what the guest has put there since, the
   * back-end need not know.
   */
  pending(): number {
    let pending = 0;
    for (const [index, ring] of this.rings.entries()) {
      const state = this.host.queue(index)?.state;
      if (ring === undefined || state === undefined) continue;
      this.posix.drain(ring.events.call);
      const ahead = (this.notified[index]! - this.host.memory.u16(state.device + 2)) & 0xffff;
      // It may have looked on its own, and be further than that.
      if (ahead < 0x8000) pending += ahead;
    }
    return pending;
  }

  done({ queue, index }: RecordedUsed): boolean {
    const state = this.host.queue(queue)?.state;
    if (state === undefined) return false;
    // Behind or level, in free-running 16-bit indices.
    return ((this.host.memory.u16(state.device + 2) - index) & 0xffff) < 0x8000;
  }

  show(used: RecordedUsed): void {
    const state = this.host.queue(used.queue)?.state;
    if (state === undefined) return;
    // What our side of the queue would remember had it used them itself.
    const { memory } = this.host;
    const index = this.done(used) ? used.index : memory.u16(state.device + 2);
    state.lastAvail = memory.u16(state.driver + 2);
    state.inUse = (state.lastAvail - index) & 0xffff;
    state.usedIdx = index;
    this.host.run(() => {
      this.host.interrupt(used.queue);
    });
  }

  stop(index: number): void {
    const ring = this.rings[index];
    if (ring === undefined) return;
    this.connection.stopRing(index);
    ring.events.close();
    this.rings[index] = undefined;
    // A driver clears a ring before it hands it out again, which nobody recorded: what was used before the reset must
    // not be taken for what is to be used after it. A back-end goes on from there, too.
    this.host.memory.setU16(ring.used + 2, 0);
  }

  close(): void {
    for (const ring of this.rings) ring?.events.close();
    this.rings.length = 0;
  }
}
