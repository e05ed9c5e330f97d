import { F_EVENT_IDX, F_NOTIFY_ON_EMPTY, hasFeature, type Features } from '../features.ts';
import { GuestFault, u64, type GuestMemory } from '../guest-memory.ts';
import {
  ChainBuilder,
  DESC_F_INDIRECT,
  DESC_F_NEXT,
  DESC_SIZE,
  indirectCount,
  type Chain,
  type ChainTicket,
} from './chain.ts';
import { needsEvent, type QueueState, type VirtQueue } from './queue.ts';

/** avail.flags and used.flags (VIRTIO 1.2, 2.7.6 and 2.7.8). */
const AVAIL_F_NO_INTERRUPT = 1;
const USED_F_NO_NOTIFY = 1;

/**
 * A split virtqueue, VIRTIO 1.2, 2.7. Descriptor: u64 addr, u32 len, u16 flags, u16 next. Available ring: u16
 * flags, u16 idx, u16 ring[num], u16 used_event. Used ring: u16 flags, u16 idx, {u32 id, u32 len}[num],
 * u16 avail_event. What is written where and when follows QEMU's hw/virtio/virtio.c, so that a recording taken
 * there finds the same bytes in the used ring.
 */
export class SplitQueue implements VirtQueue {
  readonly state: QueueState;
  private readonly memory: GuestMemory;
  private readonly eventIdx: boolean;
  private readonly notifyOnEmpty: boolean;

  constructor(state: QueueState, memory: GuestMemory, negotiated: Features) {
    this.state = state;
    this.memory = memory;
    this.eventIdx = hasFeature(negotiated, F_EVENT_IDX);
    this.notifyOnEmpty = hasFeature(negotiated, F_NOTIFY_ON_EMPTY);
  }

  private availIdx(): number {
    return this.memory.u16(this.state.driver + 2);
  }

  private setAvailEvent(index: number): void {
    const { state } = this;
    if (state.notification) this.memory.setU16(state.device + 4 + 8 * state.num, index);
  }

  isEmpty(): boolean {
    return this.availIdx() === this.state.lastAvail;
  }

  pop(): Chain | undefined {
    const { state, memory } = this;
    const offered = (this.availIdx() - state.lastAvail) & 0xffff;
    if (offered === 0) return undefined;
    if (offered > state.num)
      throw new GuestFault('descriptor', `avail.idx ${offered} ahead in a ring of ${state.num}`);
    if (state.inUse >= state.num) throw new GuestFault('descriptor', 'more chains than ring entries');
    const head = memory.u16(state.driver + 4 + 2 * (state.lastAvail % state.num));
    state.lastAvail = (state.lastAvail + 1) & 0xffff;
    if (head >= state.num)
      throw new GuestFault('descriptor', `head descriptor ${head} in a ring of ${state.num}`);
    if (this.eventIdx) this.setAvailEvent(state.lastAvail);
    const chain = this.walk(head);
    state.inUse++;
    return chain;
  }

  private walk(head: number): Chain {
    const { memory, state } = this;
    const buffers = new ChainBuilder(memory);
    let table = state.desc;
    let count = state.num;
    let inside = false;
    let at = table + head * DESC_SIZE;
    for (let entries = 1; ; entries++) {
      if (entries > count) throw new GuestFault('descriptor', 'a looped descriptor chain');
      const flags = memory.u16(at + 12);
      if ((flags & DESC_F_INDIRECT) !== 0) {
        if (inside) throw new GuestFault('descriptor', 'an indirect table inside an indirect table');
        // Direct buffers may come before it, none after it (2.7.5.3.2): its own NEXT has no meaning.
        inside = true;
        table = u64(memory, at);
        count = indirectCount(memory, table, memory.u32(at + 8));
        at = table;
        entries = 0;
        continue;
      }
      buffers.add(u64(memory, at), memory.u32(at + 8), flags);
      if ((flags & DESC_F_NEXT) === 0) break;
      const next = memory.u16(at + 14);
      if (next >= count) throw new GuestFault('descriptor', `next descriptor ${next} of ${count}`);
      at = table + next * DESC_SIZE;
    }
    return { id: head, slots: 1, out: buffers.out, in: buffers.in };
  }

  unpop(chain: ChainTicket): void {
    this.state.lastAvail = (this.state.lastAvail - 1) & 0xffff;
    this.state.inUse -= chain.slots;
  }

  push(chains: readonly ChainTicket[], written: readonly number[]): void {
    const { state, memory } = this;
    for (let i = 0; i < chains.length; i++) {
      const entry = state.device + 4 + 8 * (((state.usedIdx + i) & 0xffff) % state.num);
      memory.setU32(entry, chains[i]!.id);
      memory.setU32(entry + 4, written[i]!);
    }
    const old = state.usedIdx;
    state.usedIdx = (old + chains.length) & 0xffff;
    memory.setU16(state.device + 2, state.usedIdx);
    state.inUse = Math.max(0, state.inUse - chains.length);
    // The index has run past the one signalled last: a comparison with it says nothing any more.
    const since = ((state.usedIdx - state.signalledUsed) << 16) >> 16;
    if (since < chains.length) state.signalledUsedValid = false;
  }

  wantsInterrupt(): boolean {
    const { state, memory } = this;
    if (this.notifyOnEmpty && state.inUse === 0 && this.isEmpty()) return true;
    if (!this.eventIdx) return (memory.u16(state.driver) & AVAIL_F_NO_INTERRUPT) === 0;
    const valid = state.signalledUsedValid;
    const old = state.signalledUsed;
    state.signalledUsedValid = true;
    state.signalledUsed = state.usedIdx;
    return !valid || needsEvent(memory.u16(state.driver + 4 + 2 * state.num), state.usedIdx, old);
  }

  setNotification(on: boolean): void {
    const { state, memory } = this;
    state.notification = on;
    if (this.eventIdx) {
      this.setAvailEvent(this.availIdx());
      return;
    }
    const flags = memory.u16(state.device);
    memory.setU16(state.device, on ? flags & ~USED_F_NO_NOTIFY : flags | USED_F_NO_NOTIFY);
  }
}
