import { F_RING_PACKED, hasFeature, NO_FEATURES } from '../../devices/features.ts';
import type { GuestMemory } from '../../devices/guest-memory.ts';
import type { Chain } from '../../devices/queue/chain.ts';
import type { QueueState } from '../../devices/queue/queue.ts';
import { SplitQueue } from '../../devices/queue/split-queue.ts';
import { PackedQueue } from '../../devices/queue/packed-queue.ts';
import { GuestFault } from '../../devices/guest-memory.ts';
import { F_VERSION_1 } from '../../devices/features.ts';
import { NET_F_MRG_RXBUF } from '../../devices/models/net-format.ts';
import type { DeviceKind } from '../target.ts';
import type { Request } from './request.ts';
import { readRequest } from './requests.ts';

/** What the rings say of a split queue. Indices are free running, 16 bits. */
export interface RingFacts {
  availFlags: number;
  availIdx: number;
  usedFlags: number;
  usedIdx: number;
  /** With EVENT_IDX. */
  usedEvent: number;
  availEvent: number;
  /** Offered by the driver and not given back. */
  inFlight: number;
}

export function ringFacts(memory: GuestMemory, { driver, device, num }: QueueState): RingFacts {
  const availIdx = memory.u16(driver + 2);
  const usedIdx = memory.u16(device + 2);
  return {
    availFlags: memory.u16(driver),
    availIdx,
    usedFlags: memory.u16(device),
    usedIdx,
    usedEvent: memory.u16(driver + 4 + 2 * num),
    availEvent: memory.u16(device + 4 + 8 * num),
    inFlight: (availIdx - usedIdx) & 0xffff,
  };
}

/** A chain as it lies in the ring, or why it cannot be read. */
export interface PeekedChain {
  chain?: Chain;
  request?: Request;
  fault?: string;
}

export interface QueueOf {
  kind: DeviceKind;
  queue: number;
  state: QueueState;
  negotiated: readonly [number, number];
}

/**
 * The newest `count` chains that the driver has offered. A packed ring is walked from `state.lastAvail` on, which only
 * the device knows: of chains that it has taken already there is nothing left to see. Nothing is written.
 */
export function peekChains(memory: GuestMemory, of: QueueOf, count: number): PeekedChain[] {
  const { state, negotiated } = of;
  const packed = hasFeature(negotiated, F_RING_PACKED);
  const copy: QueueState = { ...state, staged: [...state.staged], inUse: 0 };
  const most = Math.min(count, state.num);
  if (most === 0) return [];
  if (!packed) copy.lastAvail = (memory.u16(state.driver + 2) - most) & 0xffff;
  // Without features the walk writes no avail_event.
  const queue = packed
    ? new PackedQueue(copy, memory, NO_FEATURES)
    : new SplitQueue(copy, memory, NO_FEATURES);
  const long = hasFeature(negotiated, F_VERSION_1) || hasFeature(negotiated, NET_F_MRG_RXBUF);
  const found: PeekedChain[] = [];
  // A split ring has `most` entries from where it begins here, a packed one ends by itself.
  while (found.length < (packed ? state.num : most)) {
    const peeked: PeekedChain = {};
    try {
      const chain = queue.pop();
      if (chain === undefined) break;
      peeked.chain = chain;
      peeked.request = readRequest(memory, of.kind, of.queue, chain, long);
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      peeked.fault = error.message;
    }
    found.push(peeked);
    // A ring that cannot be walked does not move on by itself.
    if (peeked.chain === undefined && packed) break;
  }
  return found.slice(-most);
}
