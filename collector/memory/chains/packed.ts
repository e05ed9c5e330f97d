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
import { sameBytes, u16, u32, type ReadGuest } from './guest.ts';
import type { Lost, QueueFollower, QueuePlace, SeenUsed } from './queue.ts';
import type { RecordOut } from './record-out.ts';

const F_AVAIL = 1 << 7;
const F_USED = 1 << 15;
/** Event suppression flags (VIRTIO 1.2, 2.8.14). */
const EVENT_DISABLE = 1;
const EVENT_DESC = 2;

/**
 * A packed virtqueue (VIRTIO 1.2, 2.8): one ring of {u64 addr, u32 len, u16 id, u16 flags} in which used entries
 * replace available ones. Driver and device area: u16 offset(15) and wrap(1), u16 flags.
 */
export class PackedFollower implements QueueFollower {
  private readonly place: QueuePlace;
  private readonly queue: number;
  private readonly read: ReadGuest;
  private readonly out: RecordOut;
  private readonly lost: Lost;
  private avail = 0;
  private availWrap = true;
  private usedAt = 0;
  private usedWrap = true;
  /** Bytes written of an element that is about to stand in the ring; -1: none. */
  private coming = -1;
  private readonly flying: TrackedChain[] = [];
  private written: Uint8Array = new Uint8Array(0);
  private readonly run = new TableRun();

  constructor(queue: number, place: QueuePlace, read: ReadGuest, out: RecordOut, lost: Lost) {
    this.queue = queue;
    this.place = place;
    this.read = read;
    this.out = out;
    this.lost = lost;
  }

  /** Bit 15 of each is the wrap counter. */
  position(lastAvail: number, lastUsed: number): void {
    this.avail = lastAvail & 0x7fff;
    this.availWrap = lastAvail >= 0x8000;
    this.usedAt = lastUsed & 0x7fff;
    this.usedWrap = lastUsed >= 0x8000;
  }

  events(): void {
    const now = this.read(this.place.driver, 4);
    if (now === undefined || sameBytes(now, this.written)) return;
    this.written = now.slice();
    this.out.bytes(this.place.driver, this.written, 'avail');
  }

  private entry(at: number): Uint8Array | undefined {
    return this.read(this.place.desc + at * DESC_SIZE, DESC_SIZE)?.slice();
  }

  /** There is no index to mark: the entries say themselves. */
  mark(): void {
    return;
  }

  scan(): readonly TrackedChain[] {
    const chains: TrackedChain[] = [];
    for (let taken = 0; taken < this.place.num;) {
      const chain = this.walk();
      if (chain === undefined) break;
      taken += chain.slots;
      this.avail += chain.slots;
      if (this.avail >= this.place.num) {
        this.avail -= this.place.num;
        this.availWrap = !this.availWrap;
      }
      this.flying.push(chain);
      chains.push(chain);
    }
    return chains;
  }

  emit(): void {
    this.run.emit(this.out);
    this.events();
  }

  private walk(): TrackedChain | undefined {
    const { num, desc } = this.place;
    const chain = newChain(0, 0);
    const first = this.entry(this.avail);
    if (first === undefined) return undefined;
    const flags = u16(first, 14);
    if (((flags & F_AVAIL) !== 0) !== this.availWrap || ((flags & F_USED) !== 0) === this.availWrap)
      return undefined;
    let index = this.avail;
    for (let entry: Uint8Array | undefined = first; entry !== undefined; entry = this.entry(index)) {
      if (chain.slots >= num) break;
      this.run.add(desc + index * DESC_SIZE, DESC_SIZE);
      chain.slots++;
      chain.id = u16(entry, 12);
      const here = u16(entry, 14);
      if ((here & DESC_F_INDIRECT) !== 0) {
        if (!addIndirect(chain, entry, 0, this.read, this.run, false)) this.lost.brokenChains++;
      } else addBuffer(chain, entry, 0, here);
      if ((here & DESC_F_NEXT) === 0) return chain;
      index = index + 1 === num ? 0 : index + 1;
    }
    this.lost.brokenChains++;
    return undefined;
  }

  used(fresh: boolean): readonly SeenUsed[] {
    const seen: SeenUsed[] = [];
    if (this.coming >= 0 && (fresh || this.flying[0]?.fresh === false)) {
      if (this.flying.length === 1) seen.push(this.take(0, this.coming));
      this.coming = -1;
    }
    while (this.flying.length > 0 && seen.length < this.place.num) {
      const entry = this.entry(this.usedAt);
      if (entry === undefined) break;
      const flags = u16(entry, 14);
      const avail = (flags & F_AVAIL) !== 0;
      const used = (flags & F_USED) !== 0;
      if (avail === this.usedWrap && used === this.usedWrap) {
        const id = u16(entry, 12);
        const index = this.flying.findIndex((flying) => flying.id === id);
        if (index < 0) {
          this.lost.unknownElements++;
          break;
        }
        if (!fresh && this.flying[index]!.fresh) break;
        seen.push(this.take(index, u32(entry, 8)));
      } else if (avail !== this.usedWrap && used === this.usedWrap) {
        if (!fresh && this.flying[0]!.fresh) break;
        // The guest has already put its next chain there: used in order, as far as anyone can tell.
        this.lost.brokenRings++;
        this.flying[0]!.racy = true;
        seen.push(this.take(0, 0));
      } else break;
    }
    return seen;
  }

  /** The chain in flight at `index` has been used; its element stands at usedAt. */
  private take(index: number, len: number): SeenUsed {
    const chain = this.flying.splice(index, 1)[0]!;
    const at = this.usedAt;
    this.usedAt += chain.slots;
    if (this.usedAt >= this.place.num) {
      this.usedAt -= this.place.num;
      this.usedWrap = !this.usedWrap;
    }
    return { id: chain.id, len, at, chain };
  }

  filling(len: number): void {
    this.coming = len;
  }

  usedHead(): string {
    const { desc, num } = this.place;
    const index = this.usedAt | (this.usedWrap ? 0x8000 : 0);
    return `"q":${this.queue},"used":${desc},"idx":${index},"num":${num},"packed":true`;
  }

  kickExpected(count: number): boolean {
    const device = this.read(this.place.device, 4);
    if (device === undefined) return true;
    const flags = u16(device, 2);
    if (flags === EVENT_DISABLE) return false;
    if (flags !== EVENT_DESC) return true;
    const word = u16(device, 0);
    let event = word & 0x7fff;
    // As Linux, virtqueue_kick_prepare_packed().
    if (this.availWrap !== word >= 0x8000) event -= this.place.num;
    return ((this.avail - event - 1) & 0xffff) < count;
  }

  consumed(): boolean {
    return false;
  }
}
