import type { GuestMemory } from '../guest-memory.ts';
import { DESC_F_INDIRECT, DESC_F_NEXT, DESC_SIZE, type Segment } from '../queue/chain.ts';
import { needsEvent } from '../queue/queue.ts';
import type { Arena } from './arena.ts';
import { setU64, withFlags, type DriverQueue, type OfferOptions, type UsedChain } from './driver-queue.ts';

/** The driver side of a split virtqueue (VIRTIO 1.2, 2.7.13). */
export class SplitDriver implements DriverQueue {
  readonly num: number;
  readonly areas: readonly [number, number, number];
  private readonly arena: Arena;
  private readonly memory: GuestMemory;
  private readonly eventIdx: boolean;
  private readonly free: number[];
  private readonly chains = new Map<number, { slots: number[]; in: readonly Segment[] }>();
  private availIdx = 0;
  private kickedIdx = 0;
  private seenIdx = 0;

  /** `legacy`: one block, the used ring at the next page (2.7.2); else three areas. */
  constructor(arena: Arena, num: number, legacy: boolean, eventIdx: boolean) {
    this.arena = arena;
    this.memory = arena.memory;
    this.num = num;
    this.eventIdx = eventIdx;
    this.free = Array.from({ length: num }, (_, i) => num - 1 - i);
    const availBytes = 6 + 2 * num;
    const usedBytes = 6 + 8 * num;
    if (legacy) {
      const used = Math.ceil((16 * num + availBytes) / 4096) * 4096;
      const { gpa } = arena.take(used + usedBytes, 4096);
      this.areas = [gpa, gpa + 16 * num, gpa + used];
    } else this.areas = [arena.take(16 * num).gpa, arena.take(availBytes).gpa, arena.take(usedBytes).gpa];
  }

  offer(out: readonly Segment[], into: readonly Segment[], options: OfferOptions = {}): number {
    const buffers = withFlags(out, into);
    const [desc, avail] = this.areas;
    const slots: number[] = [];
    if (options.indirect === true) {
      const table = this.arena.take(DESC_SIZE * buffers.length).gpa;
      for (const [i, { gpa, length, flags }] of buffers.entries())
        this.describe(table + DESC_SIZE * i, gpa, length, flags, i + 1 < buffers.length ? i + 1 : 0);
      slots.push(this.takeSlot());
      this.describe(desc + DESC_SIZE * slots[0]!, table, DESC_SIZE * buffers.length, DESC_F_INDIRECT, 0);
    } else {
      for (let i = 0; i < buffers.length; i++) slots.push(this.takeSlot());
      for (const [i, { gpa, length, flags }] of buffers.entries())
        this.describe(
          desc + DESC_SIZE * slots[i]!,
          gpa,
          length,
          flags,
          slots[i + 1] ?? 0,
          i + 1 < slots.length,
        );
    }
    const head = slots[0]!;
    this.chains.set(head, { slots, in: into });
    this.memory.setU16(avail + 4 + 2 * (this.availIdx % this.num), head);
    this.availIdx = (this.availIdx + 1) & 0xffff;
    this.memory.setU16(avail + 2, this.availIdx);
    return head;
  }

  private takeSlot(): number {
    const slot = this.free.pop();
    if (slot === undefined) throw new RangeError('the ring is full');
    return slot;
  }

  private describe(
    at: number,
    gpa: number,
    length: number,
    flags: number,
    next: number,
    more = next !== 0,
  ): void {
    setU64(this.memory, at, gpa);
    this.memory.setU32(at + 8, length);
    this.memory.setU16(at + 12, flags | (more ? DESC_F_NEXT : 0));
    this.memory.setU16(at + 14, next);
  }

  used(): UsedChain[] {
    const device = this.areas[2];
    const found: UsedChain[] = [];
    const idx = this.memory.u16(device + 2);
    for (; this.seenIdx !== idx; this.seenIdx = (this.seenIdx + 1) & 0xffff) {
      const entry = device + 4 + 8 * (this.seenIdx % this.num);
      const id = this.memory.u32(entry);
      const chain = this.chains.get(id);
      if (chain === undefined) throw new Error(`the device gave back chain ${id}, which it did not have`);
      this.chains.delete(id);
      for (const slot of chain.slots.toReversed()) this.free.push(slot);
      found.push({ id, length: this.memory.u32(entry + 4), in: chain.in });
    }
    return found;
  }

  wantsKick(): boolean {
    const device = this.areas[2];
    if (this.availIdx === this.kickedIdx) return false;
    if (!this.eventIdx) return (this.memory.u16(device) & 1) === 0;
    return needsEvent(this.memory.u16(device + 4 + 8 * this.num), this.availIdx, this.kickedIdx);
  }

  kicked(): void {
    this.kickedIdx = this.availIdx;
  }

  interrupts(wish: 'all' | 'none' | { after: number }): void {
    const avail = this.areas[1];
    if (this.eventIdx) {
      const event =
        wish === 'all' ? this.seenIdx : this.seenIdx + (wish === 'none' ? 0x8000 : wish.after - 1);
      this.memory.setU16(avail + 4 + 2 * this.num, event & 0xffff);
    } else this.memory.setU16(avail, wish === 'none' ? 1 : 0);
  }
}
