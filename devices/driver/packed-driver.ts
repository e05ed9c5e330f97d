import type { GuestMemory } from '../guest-memory.ts';
import { DESC_F_INDIRECT, DESC_F_NEXT, DESC_SIZE, type Segment } from '../queue/chain.ts';
import {
  EVENT_DESC,
  EVENT_DISABLE,
  EVENT_ENABLE,
  PACKED_F_AVAIL,
  PACKED_F_USED,
} from '../queue/packed-queue.ts';
import { needsEvent } from '../queue/queue.ts';
import type { Arena } from './arena.ts';
import { setU64, withFlags, type DriverQueue, type OfferOptions, type UsedChain } from './driver-queue.ts';

/** The driver side of a packed virtqueue (VIRTIO 1.2, 2.8.21). */
export class PackedDriver implements DriverQueue {
  readonly num: number;
  readonly areas: readonly [number, number, number];
  private readonly arena: Arena;
  private readonly memory: GuestMemory;
  private readonly freeIds: number[];
  private readonly chains = new Map<number, { slots: number; in: readonly Segment[] }>();
  private room: number;
  private next = 0;
  private wrap = true;
  private seen = 0;
  private seenWrap = true;
  /** Ring entries offered since the last kick. */
  private unkicked = 0;

  constructor(arena: Arena, num: number) {
    this.arena = arena;
    this.memory = arena.memory;
    this.num = num;
    this.room = num;
    this.freeIds = Array.from({ length: num }, (_, i) => num - 1 - i);
    this.areas = [arena.take(DESC_SIZE * num).gpa, arena.take(4).gpa, arena.take(4).gpa];
  }

  offer(out: readonly Segment[], into: readonly Segment[], options: OfferOptions = {}): number {
    const buffers = withFlags(out, into);
    const id = this.freeIds.pop();
    const slots = options.indirect === true ? 1 : buffers.length;
    if (id === undefined || slots > this.room) throw new RangeError('the ring is full');
    this.chains.set(id, { slots, in: into });
    this.room -= slots;
    this.unkicked += slots;
    if (options.indirect === true) {
      const table = this.arena.take(DESC_SIZE * buffers.length).gpa;
      for (const [i, { gpa, length, flags }] of buffers.entries())
        this.describe(table + DESC_SIZE * i, gpa, length, 0, flags);
      this.enter([{ gpa: table, length: DESC_SIZE * buffers.length, flags: DESC_F_INDIRECT }], id);
    } else this.enter(buffers, id);
    return id;
  }

  /** The first descriptor's flags last: they make the chain available. */
  private enter(entries: readonly (Segment & { flags: number })[], id: number): void {
    const [desc] = this.areas;
    let firstFlags = 0;
    const first = desc + DESC_SIZE * this.next;
    for (const [i, { gpa, length, flags }] of entries.entries()) {
      const at = desc + DESC_SIZE * this.next;
      const more = i + 1 < entries.length ? DESC_F_NEXT : 0;
      const all = flags | more | (this.wrap ? PACKED_F_AVAIL : PACKED_F_USED);
      if (i === 0) firstFlags = all;
      this.describe(at, gpa, length, id, i === 0 ? this.memory.u16(at + 14) : all);
      this.next++;
      if (this.next === this.num) {
        this.next = 0;
        this.wrap = !this.wrap;
      }
    }
    this.memory.setU16(first + 14, firstFlags);
  }

  private describe(at: number, gpa: number, length: number, id: number, flags: number): void {
    setU64(this.memory, at, gpa);
    this.memory.setU32(at + 8, length);
    this.memory.setU16(at + 12, id);
    this.memory.setU16(at + 14, flags);
  }

  used(): UsedChain[] {
    const found: UsedChain[] = [];
    for (;;) {
      const at = this.areas[0] + DESC_SIZE * this.seen;
      const flags = this.memory.u16(at + 14);
      const used = (flags & PACKED_F_USED) !== 0;
      if (used !== ((flags & PACKED_F_AVAIL) !== 0) || used !== this.seenWrap || this.chains.size === 0)
        return found;
      const id = this.memory.u16(at + 12);
      const chain = this.chains.get(id);
      if (chain === undefined) throw new Error(`the device gave back chain ${id}, which it did not have`);
      this.chains.delete(id);
      this.freeIds.push(id);
      this.room += chain.slots;
      this.seen += chain.slots;
      if (this.seen >= this.num) {
        this.seen -= this.num;
        this.seenWrap = !this.seenWrap;
      }
      found.push({ id, length: this.memory.u32(at + 8), in: chain.in });
    }
  }

  wantsKick(): boolean {
    if (this.unkicked === 0) return false;
    const device = this.areas[2];
    const flags = this.memory.u16(device + 2);
    if (flags !== EVENT_DESC) return flags !== EVENT_DISABLE;
    const at = this.memory.u16(device);
    const event = (at & 0x7fff) - (at >= 0x8000 === this.wrap ? 0 : this.num);
    return needsEvent(event, this.next, this.next - this.unkicked);
  }

  kicked(): void {
    this.unkicked = 0;
  }

  interrupts(wish: 'all' | 'none' | { after: number }): void {
    const driver = this.areas[1];
    if (typeof wish === 'object') {
      let at = this.seen + wish.after - 1;
      let wrap = this.seenWrap;
      if (at >= this.num) {
        at -= this.num;
        wrap = !wrap;
      }
      this.memory.setU16(driver, at | (wrap ? 0x8000 : 0));
      this.memory.setU16(driver + 2, EVENT_DESC);
    } else this.memory.setU16(driver + 2, wish === 'none' ? EVENT_DISABLE : EVENT_ENABLE);
  }
}
