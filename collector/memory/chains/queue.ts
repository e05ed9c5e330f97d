import type { TrackedChain } from './chain.ts';

/** Where a queue lies, as the guest has set it up. */
export interface QueuePlace {
  num: number;
  /** Descriptor table or packed ring, driver area (avail ring), device area (used ring). Guest-physical. */
  desc: number;
  driver: number;
  device: number;
}

/** A used element as the device put it into the ring. */
export interface SeenUsed {
  id: number;
  /** Bytes that the device says it wrote. */
  len: number;
  /** Packed: the ring position of the entry; split: -1. */
  at: number;
  /** Undefined if no chain of this id had been seen being made available. */
  chain: TrackedChain | undefined;
}

/** What could not be recorded. All zero in a recording without loss. */
export interface Lost {
  /** Chains that break the rules of virtqueues or whose memory is not RAM. */
  brokenChains: number;
  /** Rings whose index made no sense, or entries that were written over before they were seen. */
  brokenRings: number;
  /** Used elements of chains that were in flight before the recording began. */
  unknownElements: number;
  /** Elements whose buffers the guest had taken back before they were copied. */
  racyElements: number;
}

/**
 * Follows one virtqueue in guest memory, from outside. One look is: mark, scan, used(false), emit, used(true). What
 * was used before is taken before the memory is written that the guest has changed since, because it may have
 * taken the same buffers for new chains.
 */
export interface QueueFollower {
  /** Writes M of the event suppression words if they have changed: they decide on interrupts. */
  events(): void;
  /**
   * Elements that are used later are for the next look. `ahead`: so many elements stand in the ring that its index
   * does not show yet.
   */
  mark(ahead: number): void;
  /** Chains that were made available since the last look. Writes nothing. */
  scan(): readonly TrackedChain[];
  /** Writes M of the descriptors of the chains that scan found, and of the ring. */
  emit(): void;
  /** Used elements up to the mark; without `fresh` only up to the first of a chain that this look has found. */
  used(fresh: boolean): readonly SeenUsed[];
  /** The members of an element of `u` that tell of the queue, after the elements that were taken last. */
  usedHead(): string;
  /** Whether the guest has to notify of the `count` chains made available last. */
  kickExpected(count: number): boolean;
  /**
   * The device is about to put the used element of a chain into the ring, `len` bytes written. Packed only, and of
   * use only while no other chain is in flight: which one it is cannot be seen.
   */
  filling(len: number): void;
  /** Whether the guest shows that it has seen the element `back` before the last taken (0: the last). */
  consumed(back: number): boolean;
  /** The recording begins while the device is at these indexes. */
  position(lastAvail: number, lastUsed: number): void;
}
