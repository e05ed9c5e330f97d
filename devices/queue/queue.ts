import type { JsonValue } from '../../trace/json-check.ts';
import type { Chain, ChainTicket } from './chain.ts';

/**
 * All that a virtqueue's device side remembers. Plain data: saved, validated by queueStateFrom, restored.
 * `desc`, `driver` and `device` are the guest-physical addresses of the three areas (split: descriptor table,
 * available ring, used ring; packed: descriptor ring, driver and device event suppression).
 */
export interface QueueState {
  /** Entries, as the driver chose; the device's own size until then. */
  num: number;
  /** True once the driver has enabled the queue: QueueReady, or a QueuePFN other than 0 in legacy. */
  ready: boolean;
  desc: number;
  driver: number;
  device: number;
  /** Legacy: alignment of the used ring in bytes. */
  align: number;
  /** The address registers as written, in the order desc, driver, device, each low then high. */
  staged: number[];
  /** Next entry to pop: free running (split) or a ring index (packed). */
  lastAvail: number;
  lastAvailWrap: boolean;
  /** Next entry to fill: free running (split) or a ring index (packed). */
  usedIdx: number;
  usedWrap: boolean;
  /** Popped and not yet pushed, in ring entries. */
  inUse: number;
  /** usedIdx at the last look at the driver's used_event; invalid after a reset or a wrap. */
  signalledUsed: number;
  signalledUsedValid: boolean;
  /** False while the device does not want notifications of this queue. */
  notification: boolean;
}

export function freshQueue(num: number): QueueState {
  return {
    num,
    ready: false,
    desc: 0,
    driver: 0,
    device: 0,
    align: 4096,
    staged: [0, 0, 0, 0, 0, 0],
    lastAvail: 0,
    lastAvailWrap: true,
    usedIdx: 0,
    usedWrap: true,
    inUse: 0,
    signalledUsed: 0,
    signalledUsedValid: false,
    notification: true,
  };
}

/** The device side of a virtqueue, split or packed. Every member may throw GuestFault. */
export interface VirtQueue {
  readonly state: QueueState;
  isEmpty(): boolean;
  /** The next chain, or undefined when the driver offers none. */
  pop(): Chain | undefined;
  /** Takes the last pop back: the same chain comes again. */
  unpop(chain: ChainTicket): void;
  /**
   * Gives chains back as used in one step, so that the driver sees all of them or none (mergeable receive
   * buffers); `written[i]` bytes were written into `chains[i]`.
   */
  push(chains: readonly ChainTicket[], written: readonly number[]): void;
  /** Whether the driver wants an interrupt for what has been pushed since the last call. */
  wantsInterrupt(): boolean;
  /** Tells the driver whether notifications of this queue are wanted. */
  setNotification(on: boolean): void;
}

/** VIRTIO 1.2, 2.7.7.1: whether `event` lies in (old, now], in free-running 16-bit indices. */
export function needsEvent(event: number, now: number, old: number): boolean {
  return ((now - event - 1) & 0xffff) < ((now - old) & 0xffff);
}

const MOST_GPA = 2 ** 64;

/** A saved queue from untrusted JSON; `most` = the queue's largest size. */
export function queueStateFrom(value: JsonValue, most: number): QueueState {
  const num = value.get('num').integer(0, most);
  const index = (key: string): number => value.get(key).integer(0, 0xffff);
  const gpa = (key: string): number => value.get(key).number(0, MOST_GPA);
  const staged = value.get('staged').list((item) => item.integer(0, 0xffff_ffff), 6);
  if (staged.length !== 6) value.get('staged').fail('6 registers');
  const ready = value.get('ready').flag();
  if (ready && num === 0) value.get('num').fail('an enabled queue of at least 1 entry');
  return {
    num,
    ready,
    desc: gpa('desc'),
    driver: gpa('driver'),
    device: gpa('device'),
    align: value.get('align').integer(0, 0xffff_ffff),
    staged,
    lastAvail: index('lastAvail'),
    lastAvailWrap: value.get('lastAvailWrap').flag(),
    usedIdx: index('usedIdx'),
    usedWrap: value.get('usedWrap').flag(),
    inUse: value.get('inUse').integer(0, most),
    signalledUsed: index('signalledUsed'),
    signalledUsedValid: value.get('signalledUsedValid').flag(),
    notification: value.get('notification').flag(),
  };
}
