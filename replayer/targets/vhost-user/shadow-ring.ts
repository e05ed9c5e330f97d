import { TraceError } from '../../../trace/errors.ts';
import {
  DESC_F_INDIRECT,
  DESC_F_NEXT,
  DESC_F_WRITE,
  DESC_SIZE,
  MOST_SEGMENTS,
} from '../../../devices/queue/chain.ts';
import type { Chain } from '../../../devices/queue/chain.ts';
import type { SharedRam } from './shared-ram.ts';

/** Entries of a ring; every back-end that is known takes so many (qemu-storage-daemon's limit is 128). */
export const SHADOW_ENTRIES = 128;
/** Private memory that a ring takes, bytes: descriptors, both rings, an indirect table for each entry. */
export const SHADOW_BYTES = 4 * 4096 + SHADOW_ENTRIES * MOST_SEGMENTS * DESC_SIZE;

/** What the back-end gave back: the chain and the bytes that it says it wrote. */
export interface Completion<T> {
  chain: T;
  written: number;
}

/**
 * The split virtqueue between us and a back-end (VIRTIO 1.2, 2.7), of which we are the driver. The guest's ring stays
 * ours: a back-end takes requests out of this one, and when it gives them back is no matter of the guest's, who sees
 * them used in the recorded order. The buffers are the guest's own. No event index and, where the back-end knows
 * indirect tables, one entry a chain.
 */
export class ShadowRing<T extends Chain> {
  readonly num = SHADOW_ENTRIES;
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
  private readonly descBytes: Uint8Array;
  private readonly descWords: DataView;
  /** u16 flags, u16 idx, u16 entries. Shared with another process: the index is stored last, with Atomics. */
  private readonly availWords: Uint16Array;
  private readonly usedHalves: Uint16Array;
  private readonly usedWords: DataView;
  private readonly tables: readonly { gpa: number; words: DataView }[];
  private readonly free: number[] = [];
  private readonly inFlight: (T | undefined)[] = [];
  private readonly slots: number[][] = [];
  /** Chains for which there was no room. */
  private readonly waiting: T[] = [];
  private availIdx = 0;
  private usedIdx = 0;
  private readonly indirect: boolean;

  constructor(ram: SharedRam, indirect: boolean) {
    const { num } = this;
    this.indirect = indirect;
    const desc = ram.take(DESC_SIZE * num, 4096);
    const avail = ram.take(6 + 2 * num, 4096);
    const used = ram.take(6 + 8 * num, 4096);
    [this.desc, this.avail, this.used] = [desc.gpa, avail.gpa, used.gpa];
    this.descBytes = desc.bytes;
    this.descWords = view(desc.bytes);
    this.availWords = new Uint16Array(avail.bytes.buffer, avail.bytes.byteOffset, 3 + num);
    this.usedHalves = new Uint16Array(used.bytes.buffer, used.bytes.byteOffset, 3 + 4 * num);
    this.usedWords = view(used.bytes);
    this.tables = Array.from({ length: indirect ? num : 0 }, () => {
      const table = ram.take(DESC_SIZE * MOST_SEGMENTS, 16);
      return { gpa: table.gpa, words: view(table.bytes) };
    });
    this.clear();
  }

  /** Back to the start. Only while no back-end uses the ring. */
  clear(): void {
    this.descBytes.fill(0);
    this.availWords.fill(0);
    this.usedHalves.fill(0);
    this.availIdx = 0;
    this.usedIdx = 0;
    this.waiting.length = 0;
    this.free.length = 0;
    for (let i = this.num - 1; i >= 0; i--) this.free.push(i);
    this.inFlight.length = 0;
  }

  /** Chains that the back-end has and has not given back, or that wait for room. */
  get pending(): number {
    return this.num - this.free.length + this.waiting.length;
  }

  /** Makes a chain available. Whoever calls kicks afterwards. */
  offer(chain: T): void {
    const length = chain.out.length + chain.in.length;
    if (!this.indirect && length > this.num)
      throw new TraceError(
        'E_TARGET',
        `the back-end knows no indirect descriptors, and a chain has ${length} buffers; a ring has ${this.num} entries`,
      );
    this.waiting.push(chain);
    this.fill();
  }

  private fill(): void {
    for (let next = this.waiting[0]; next !== undefined; next = this.waiting[0]) {
      const need = this.indirect ? 1 : next.out.length + next.in.length;
      if (need > this.free.length) return;
      this.waiting.shift();
      const slots = this.free.splice(this.free.length - need, need).reverse();
      const head = slots[0]!;
      if (this.indirect && next.out.length + next.in.length > 1) {
        const table = this.tables[head]!;
        const entries = this.describe(table.words, next, undefined);
        put(this.descWords, head, table.gpa, DESC_SIZE * entries, DESC_F_INDIRECT, 0);
      } else this.describe(this.descWords, next, slots);
      this.slots[head] = slots;
      this.inFlight[head] = next;
      this.availWords[2 + (this.availIdx % this.num)] = head;
      this.availIdx = (this.availIdx + 1) & 0xffff;
      // Sequentially consistent: the back-end sees the index after what it stands for.
      Atomics.store(this.availWords, 1, this.availIdx);
    }
  }

  /** Writes a chain's descriptors, to `slots` or one after another; gives their number. */
  private describe(words: DataView, chain: Chain, slots: readonly number[] | undefined): number {
    const total = chain.out.length + chain.in.length;
    for (let i = 0; i < total; i++) {
      const write = i >= chain.out.length;
      const { gpa, length } = (write ? chain.in[i - chain.out.length] : chain.out[i])!;
      const more = i + 1 < total;
      const flags = (write ? DESC_F_WRITE : 0) | (more ? DESC_F_NEXT : 0);
      const at = slots === undefined ? i : slots[i]!;
      put(words, at, gpa, length, flags, !more ? 0 : slots === undefined ? i + 1 : slots[i + 1]!);
    }
    return total;
  }

  /** Takes what the back-end has given back since the last call. True if it must be kicked for chains that waited. */
  harvest(into: Completion<T>[]): boolean {
    const idx = Atomics.load(this.usedHalves, 1);
    const ahead = (idx - this.usedIdx) & 0xffff;
    if (ahead === 0) return false;
    if (ahead > this.num)
      throw new TraceError(
        'E_TARGET',
        `the back-end's used index is ${ahead} ahead in a ring of ${this.num}`,
      );
    for (; this.usedIdx !== idx; this.usedIdx = (this.usedIdx + 1) & 0xffff) {
      const entry = 4 + 8 * (this.usedIdx % this.num);
      const head = this.usedWords.getUint32(entry, true);
      const chain = this.inFlight[head];
      if (chain === undefined)
        throw new TraceError('E_TARGET', `the back-end gave back descriptor ${head}, which it did not have`);
      into.push({ chain, written: this.usedWords.getUint32(entry + 4, true) });
      this.inFlight[head] = undefined;
      for (const slot of this.slots[head]!.toReversed()) this.free.push(slot);
    }
    const before = this.availIdx;
    this.fill();
    return this.availIdx !== before;
  }
}

function put(words: DataView, slot: number, gpa: number, length: number, flags: number, next: number): void {
  const at = DESC_SIZE * slot;
  words.setUint32(at, gpa % 0x1_0000_0000, true);
  words.setUint32(at + 4, Math.floor(gpa / 0x1_0000_0000), true);
  words.setUint32(at + 8, length, true);
  words.setUint16(at + 12, flags, true);
  words.setUint16(at + 14, next, true);
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
