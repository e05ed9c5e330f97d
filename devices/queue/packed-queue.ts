import { F_EVENT_IDX, hasFeature, type Features } from '../features.ts';
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

export const PACKED_F_AVAIL = 1 << 7;
export const PACKED_F_USED = 1 << 15;
/** Event suppression structures (VIRTIO 1.2, 2.8.14): u16 offset(15) and wrap(1), u16 flags. */
export const EVENT_ENABLE = 0;
export const EVENT_DISABLE = 1;
export const EVENT_DESC = 2;

/**
 * A packed virtqueue, VIRTIO 1.2, 2.8. Descriptor: u64 addr, u32 len, u16 id, u16 flags with AVAIL and USED; one
 * ring in which used entries replace available ones. Follows QEMU's hw/virtio/virtio.c where the
 * specification leaves a choice.
 */
export class PackedQueue implements VirtQueue {
  readonly state: QueueState;
  private readonly memory: GuestMemory;
  private readonly eventIdx: boolean;

  constructor(state: QueueState, memory: GuestMemory, negotiated: Features) {
    this.state = state;
    this.memory = memory;
    this.eventIdx = hasFeature(negotiated, F_EVENT_IDX);
  }

  isEmpty(): boolean {
    const { state, memory } = this;
    const flags = memory.u16(state.desc + state.lastAvail * DESC_SIZE + 14);
    const avail = (flags & PACKED_F_AVAIL) !== 0;
    const used = (flags & PACKED_F_USED) !== 0;
    return avail === used || avail !== state.lastAvailWrap;
  }

  pop(): Chain | undefined {
    const { state } = this;
    if (this.isEmpty()) return undefined;
    if (state.inUse >= state.num) throw new GuestFault('descriptor', 'more chains than ring entries');
    const at = state.desc + state.lastAvail * DESC_SIZE;
    const chain =
      (this.memory.u16(at + 14) & DESC_F_INDIRECT) !== 0 ? this.indirect(at) : this.direct(state.lastAvail);
    if (state.inUse + chain.slots > state.num)
      throw new GuestFault('descriptor', 'a chain longer than the free part of the ring');
    state.inUse += chain.slots;
    state.lastAvail += chain.slots;
    if (state.lastAvail >= state.num) {
      state.lastAvail -= state.num;
      state.lastAvailWrap = !state.lastAvailWrap;
    }
    return chain;
  }

  private indirect(at: number): Chain {
    const { memory } = this;
    const table = u64(memory, at);
    const count = indirectCount(memory, table, memory.u32(at + 8));
    const buffers = new ChainBuilder(memory);
    // Entries follow one another; NEXT is reserved here (2.8.7).
    for (let i = 0; i < count; i++) {
      const entry = table + i * DESC_SIZE;
      const flags = memory.u16(entry + 14);
      if ((flags & DESC_F_INDIRECT) !== 0)
        throw new GuestFault('descriptor', 'an indirect table inside an indirect table');
      buffers.add(u64(memory, entry), memory.u32(entry + 8), flags);
    }
    return { id: memory.u16(at + 12), slots: 1, out: buffers.out, in: buffers.in };
  }

  private direct(first: number): Chain {
    const { memory, state } = this;
    const buffers = new ChainBuilder(memory);
    let index = first;
    for (let entries = 1; ; entries++) {
      if (entries > state.num) throw new GuestFault('descriptor', 'a looped descriptor chain');
      const at = state.desc + index * DESC_SIZE;
      const flags = memory.u16(at + 14);
      if ((flags & DESC_F_INDIRECT) !== 0)
        throw new GuestFault('descriptor', 'an indirect table after a direct buffer');
      buffers.add(u64(memory, at), memory.u32(at + 8), flags);
      // The buffer's id stands in the last descriptor of the list (2.8.6).
      if ((flags & DESC_F_NEXT) === 0)
        return { id: memory.u16(at + 12), slots: entries, out: buffers.out, in: buffers.in };
      index++;
      if (index === state.num) index = 0;
    }
  }

  unpop(chain: ChainTicket): void {
    const { state } = this;
    state.inUse -= chain.slots;
    state.lastAvail -= chain.slots;
    if (state.lastAvail < 0) {
      state.lastAvail += state.num;
      state.lastAvailWrap = !state.lastAvailWrap;
    }
  }

  push(chains: readonly ChainTicket[], written: readonly number[]): void {
    const { state } = this;
    let slots = 0;
    for (const chain of chains) slots += chain.slots;
    // The first entry last: until then the driver sees nothing of the rest.
    let ahead = slots;
    for (let i = chains.length - 1; i >= 0; i--) {
      ahead -= chains[i]!.slots;
      this.writeUsed(ahead, chains[i]!.id, written[i]!);
    }
    state.inUse = Math.max(0, state.inUse - slots);
    state.usedIdx += slots;
    if (state.usedIdx >= state.num) {
      state.usedIdx -= state.num;
      state.usedWrap = !state.usedWrap;
      state.signalledUsedValid = false;
    }
  }

  private writeUsed(ahead: number, id: number, written: number): void {
    const { state, memory } = this;
    let index = state.usedIdx + ahead;
    let wrap = state.usedWrap;
    if (index >= state.num) {
      index -= state.num;
      wrap = !wrap;
    }
    const at = state.desc + index * DESC_SIZE;
    memory.setU16(at + 12, id);
    memory.setU32(at + 8, written);
    memory.setU16(at + 14, wrap ? PACKED_F_AVAIL | PACKED_F_USED : 0);
  }

  wantsInterrupt(): boolean {
    const { state, memory } = this;
    const at = memory.u16(state.driver);
    const flags = memory.u16(state.driver + 2);
    const valid = state.signalledUsedValid;
    const old = state.signalledUsed;
    state.signalledUsedValid = true;
    state.signalledUsed = state.usedIdx;
    if (flags === EVENT_DISABLE) return false;
    if (flags === EVENT_ENABLE) return true;
    if (!valid) return true;
    let event = at & 0x7fff;
    if (state.usedWrap !== at >= 0x8000) event -= state.num;
    return needsEvent(event, state.usedIdx, old);
  }

  setNotification(on: boolean): void {
    const { state, memory } = this;
    state.notification = on;
    let flags = on ? EVENT_ENABLE : EVENT_DISABLE;
    if (on && this.eventIdx) {
      memory.setU16(state.device, state.lastAvail | (state.lastAvailWrap ? 0x8000 : 0));
      flags = EVENT_DESC;
    }
    memory.setU16(state.device + 2, flags);
  }
}
