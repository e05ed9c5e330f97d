import type { GuestMemory } from '../guest-memory.ts';
import { DESC_F_WRITE, type Segment } from '../queue/chain.ts';

/** A chain that the device has given back. */
export interface UsedChain {
  /** As in the used element: head descriptor (split) or buffer id (packed). */
  id: number;
  /** Bytes that the device says it wrote. */
  length: number;
  in: readonly Segment[];
}

export interface OfferOptions {
  /** Put the descriptors into an indirect table. */
  indirect?: boolean;
}

/** The driver side of a virtqueue. */
export interface DriverQueue {
  readonly num: number;
  /** Guest-physical addresses of the three areas: descriptors, driver area, device area. */
  readonly areas: readonly [desc: number, driver: number, device: number];
  /** Makes a chain available; gives its id. Does not notify. */
  offer(out: readonly Segment[], into: readonly Segment[], options?: OfferOptions): number;
  /** Chains that the device has given back since the last call, in the device's order. */
  used(): UsedChain[];
  /** False while the device has asked for no notifications of what was offered since the last `kicked`. */
  wantsKick(): boolean;
  /** The device has been notified of all that is offered. */
  kicked(): void;
  /**
   * What interrupts the driver wants: all, none, or (with EVENT_IDX) one when `after` more chains (split) or
   * ring entries (packed) have been used.
   */
  interrupts(wish: 'all' | 'none' | { after: number }): void;
}

/** Buffers in chain order with their WRITE flag: what the device reads, then what it writes. */
export function withFlags(
  out: readonly Segment[],
  into: readonly Segment[],
): (Segment & { flags: number })[] {
  return [
    ...out.map((segment) => ({ ...segment, flags: 0 })),
    ...into.map((segment) => ({ ...segment, flags: DESC_F_WRITE })),
  ];
}

export function setU64(memory: GuestMemory, gpa: number, value: number): void {
  memory.setU32(gpa, value % 0x1_0000_0000);
  memory.setU32(gpa + 4, Math.floor(value / 0x1_0000_0000));
}
