import {
  addBuffer,
  addIndirect,
  DESC_F_INDIRECT,
  DESC_F_NEXT,
  DESC_SIZE,
  newChain,
  TableRun,
  type TrackedChain,
} from './chain.ts';
import { putU16, sameBytes, u16, u32, type ReadGuest } from './guest.ts';
import type { Lost, QueueFollower, QueuePlace, SeenUsed } from './queue.ts';
import type { RecordOut } from './record-out.ts';

const USED_F_NO_NOTIFY = 1;
/** Chains of one head in flight at a time; more than one only if their use was not seen in time. */
const MOST_OF_ONE_HEAD = 16;

/**
 * A split virtqueue (VIRTIO 1.2, 2.7). Available ring: u16 flags, u16 idx, u16 ring[num], u16 used_event. Used
 * ring: u16 flags, u16 idx, {u32 id, u32 len}[num], u16 avail_event.
 *
 * Indexes go into the recording less what they were when it began, so that a device that starts at 0 finds its
 * place; the ring's slots move along.
 */
export class SplitFollower implements QueueFollower {
  private readonly place: QueuePlace;
  private readonly queue: number;
  private readonly eventIdx: boolean;
  private readonly read: ReadGuest;
  private readonly out: RecordOut;
  private readonly lost: Lost;
  private lastAvail = 0;
  private lastUsed = 0;
  /** Index in memory less index in the recording. */
  private availShift = 0;
  private usedShift = 0;
  /** By head: chains in flight, oldest first. */
  private readonly flying: TrackedChain[][] = [];
  /** The available ring as the recording has it. */
  private written: Uint8Array = new Uint8Array(0);
  /** As the last scan found it. */
  private found: Uint8Array = new Uint8Array(0);
  private readonly run = new TableRun();
  private usedMark = 0;
  private suppressed = false;
  private availEvent = 0;
  private usedEvent = 0;

  constructor(
    queue: number,
    place: QueuePlace,
    eventIdx: boolean,
    read: ReadGuest,
    out: RecordOut,
    lost: Lost,
  ) {
    this.queue = queue;
    this.place = place;
    this.eventIdx = eventIdx;
    this.read = read;
    this.out = out;
    this.lost = lost;
  }

  position(lastAvail: number, lastUsed: number): void {
    this.lastAvail = this.availShift = lastAvail;
    this.lastUsed = this.usedShift = lastUsed;
  }

  /** The available ring now, moved to where the recording has it. */
  private ring(): Uint8Array | undefined {
    const { num, driver } = this.place;
    const found = this.read(driver, 6 + 2 * num);
    if (found === undefined) return undefined;
    const ring = found.slice();
    if (this.availShift === 0 && this.usedShift === 0) return ring;
    for (let i = 0; i < num; i++)
      putU16(ring, 4 + 2 * i, u16(found, 4 + 2 * ((i + this.availShift) & (num - 1))));
    putU16(ring, 2, u16(found, 2) - this.availShift);
    putU16(ring, 4 + 2 * num, u16(found, 4 + 2 * num) - this.usedShift);
    return ring;
  }

  events(): void {
    const { written } = this;
    const { num, driver } = this.place;
    if (written.length === 0) return;
    const ring = this.ring();
    if (ring === undefined) return;
    for (const at of [0, 4 + 2 * num])
      if (u16(ring, at) !== u16(written, at)) {
        written.set(ring.subarray(at, at + 2), at);
        this.out.bytes(driver + at, written.subarray(at, at + 2), 'avail');
      }
  }

  mark(ahead: number): void {
    const index = this.read(this.place.device + 2, 2);
    if (index !== undefined) this.usedMark = (u16(index, 0) + ahead) & 0xffff;
  }

  scan(): readonly TrackedChain[] {
    const { num } = this.place;
    const ring = this.ring();
    if (ring === undefined) return [];
    this.found = ring;
    this.usedEvent = (u16(ring, 4 + 2 * num) + this.usedShift) & 0xffff;
    const index = (u16(ring, 2) + this.availShift) & 0xffff;
    const adv = (index - this.lastAvail) & 0xffff;
    if (adv === 0) return [];
    if (adv > num) {
      this.lost.brokenRings++;
      this.lastAvail = index;
      return [];
    }
    const device = this.read(this.place.device, 6 + 8 * num);
    this.suppressed = device !== undefined && (u16(device, 0) & USED_F_NO_NOTIFY) !== 0;
    this.availEvent = device === undefined ? 0 : u16(device, 4 + 8 * num);
    const chains: TrackedChain[] = [];
    for (let i = 0; i < adv; i++) {
      const slot = (this.lastAvail - this.availShift) & (num - 1);
      this.lastAvail = (this.lastAvail + 1) & 0xffff;
      const chain = this.walk(u16(ring, 4 + 2 * slot));
      if (chain === undefined) {
        this.lost.brokenChains++;
        continue;
      }
      const older = (this.flying[chain.id] ??= []);
      for (const before of older) before.racy = true;
      // A device that never uses what it gets must not make this grow without end.
      if (older.length < MOST_OF_ONE_HEAD) older.push(chain);
      chains.push(chain);
    }
    return chains;
  }

  emit(): void {
    this.run.emit(this.out);
    if (this.found.length === 0 || sameBytes(this.found, this.written)) return;
    this.out.bytes(this.place.driver, this.found, 'avail');
    this.written = this.found;
  }

  private walk(head: number): TrackedChain | undefined {
    const { num, desc } = this.place;
    const chain = newChain(head, 1);
    let index = head;
    for (let n = 0; ; n++) {
      if (index >= num || n >= num) return undefined;
      const gpa = desc + index * DESC_SIZE;
      const entry = this.read(gpa, DESC_SIZE)?.slice();
      if (entry === undefined) return undefined;
      this.run.add(gpa, DESC_SIZE);
      const flags = u16(entry, 12);
      if ((flags & DESC_F_INDIRECT) !== 0)
        return addIndirect(chain, entry, 0, this.read, this.run, true) ? chain : undefined;
      addBuffer(chain, entry, 0, flags);
      if ((flags & DESC_F_NEXT) === 0) return chain;
      index = u16(entry, 14);
    }
  }

  used(fresh: boolean): readonly SeenUsed[] {
    const { num, device } = this.place;
    const count = (this.usedMark - this.lastUsed) & 0xffff;
    if (count === 0) return [];
    const ring = count > num ? undefined : this.read(device + 4, 8 * num)?.slice();
    if (ring === undefined) {
      this.lost.brokenRings++;
      this.lastUsed = this.usedMark;
      return [];
    }
    const seen: SeenUsed[] = [];
    for (let i = 0; i < count; i++) {
      const at = 8 * (this.lastUsed & (num - 1));
      const id = u32(ring, at);
      const chains = this.flying[id];
      if (!fresh && chains?.[0]?.fresh !== false) break;
      this.lastUsed = (this.lastUsed + 1) & 0xffff;
      const chain = chains?.shift();
      if (chain === undefined) {
        // In flight before the recording began: the replayed device does not have it.
        this.lost.unknownElements++;
        this.usedShift = (this.usedShift + 1) & 0xffff;
        continue;
      }
      seen.push({ id, len: u32(ring, at + 4), at: -1, chain });
    }
    return seen;
  }

  /** Elements are seen when the index is about to move. */
  filling(): void {
    return;
  }

  usedHead(): string {
    const index = (this.lastUsed - this.usedShift) & 0xffff;
    return `"q":${this.queue},"used":${this.place.device},"idx":${index},"num":${this.place.num}`;
  }

  kickExpected(count: number): boolean {
    if (!this.eventIdx) return !this.suppressed;
    // vring_need_event() of VIRTIO 1.2, 2.7.7.2.
    return ((this.lastAvail - this.availEvent - 1) & 0xffff) < count;
  }

  consumed(back: number): boolean {
    // With EVENT_IDX drivers let used_event follow what they have taken. One that lies ahead says nothing:
    // they also ask for an interrupt after several elements.
    return this.eventIdx && ((this.lastUsed - this.usedEvent) & 0xffff) <= back;
  }
}
