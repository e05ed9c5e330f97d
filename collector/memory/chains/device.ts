import { SplitFollower } from './split.ts';
import { PackedFollower } from './packed.ts';
import { GpuBacking } from './gpu.ts';
import { readOut, type TrackedChain } from './chain.ts';
import { u32, u64, type ReadGuest } from './guest.ts';
import type { Lost, QueueFollower, SeenUsed } from './queue.ts';
import type { RecordOut } from './record-out.ts';

/** Feature bits (VIRTIO 1.2, 6). */
const F_EVENT_IDX = 29;
const F_RING_PACKED = 34;
/** Device types (VIRTIO 1.2, 5). */
const DEVICE_BLK = 2;
const DEVICE_GPU = 16;
/** Queues beyond that no device has (QEMU's VIRTIO_QUEUE_MAX). */
const MOST_QUEUES = 1024;
/** Largest queue of either kind. */
const MOST_ENTRIES = 32_768;
/** Text of the elements of one X record, characters; readers take lines of 16 MiB. */
const MOST_TEXT = 6 << 20;
/** Most bytes of one buffer: no driver has such buffers, and a hostile guest's must not fill the disk. */
const MOST_BUFFER = 64 << 20;

/** What QueueSel selects: as the guest has written it, and the queue if it is in use. */
interface QueueState {
  num: number;
  numMax: number;
  align: number;
  /** desc, driver, device area; low and high words. */
  words: Uint32Array;
  follower: QueueFollower | undefined;
  /** Chains made available so far; how many of them an N or U has told the device of. */
  made: number;
  announced: number;
}

/**
 * One virtio-mmio device as its registers show it: where its queues lie, and what is new in them. Every method
 * that looks writes what it finds to `out`.
 */
export class DeviceFollower {
  deviceId = 0;
  private readonly transport: number;
  private readonly read: ReadGuest;
  private readonly out: RecordOut;
  private readonly lost: Lost;
  private readonly queues: QueueState[] = [];
  private readonly gpu: GpuBacking;
  private sel = 0;
  private featuresSel = 0;
  private readonly features = new Uint32Array(2);
  private pageSize = 4096;
  /** Writable buffers of the chains that the look under way has found. */
  private taken = new Set<number>();

  constructor(transport: number, read: ReadGuest, out: RecordOut, lost: Lost) {
    this.transport = transport;
    this.read = read;
    this.out = out;
    this.lost = lost;
    this.gpu = new GpuBacking(read, out);
  }

  private queue(index: number): QueueState | undefined {
    if (index >= MOST_QUEUES) return undefined;
    return (this.queues[index] ??= {
      num: 0,
      numMax: 0,
      align: 4096,
      words: new Uint32Array(6),
      follower: undefined,
      made: 0,
      announced: 0,
    });
  }

  private has(bit: number): boolean {
    return ((this.features[bit >>> 5]! >>> (bit & 31)) & 1) === 1;
  }

  /** The device gave `value` for the register at `offset`. */
  sawRead(offset: number, value: number): void {
    if (offset === 0x008) this.deviceId = value;
    else if (offset === 0x034) {
      const queue = this.queue(this.sel);
      if (queue !== undefined) queue.numMax = value;
    }
  }

  /** The guest writes `value` to the register at `offset` (VIRTIO 1.2, 4.2.2 and 4.2.4). */
  sawWrite(offset: number, value: number): void {
    switch (offset) {
      case 0x020:
        if (this.featuresSel < 2) this.features[this.featuresSel] = value;
        return;
      case 0x024:
        this.featuresSel = value;
        return;
      case 0x028:
        this.pageSize = value;
        return;
      case 0x030:
        this.sel = value;
        return;
      case 0x070:
        if (value === 0) this.reset();
        return;
    }
    const queue = this.queue(this.sel);
    if (queue !== undefined) this.sawQueueWrite(queue, offset, value);
  }

  private sawQueueWrite(queue: QueueState, offset: number, value: number): void {
    switch (offset) {
      case 0x038:
        queue.num = value;
        break;
      case 0x03c:
        queue.align = value;
        break;
      case 0x040:
        this.stop(queue);
        if (value !== 0) this.startLegacy(queue, value * this.pageSize);
        break;
      case 0x044:
        this.stop(queue);
        if (value !== 0) this.startModern(queue);
        break;
      case 0x0c0:
        this.stop(queue);
        break;
      case 0x080:
      case 0x084:
        queue.words[(offset - 0x080) >>> 2] = value;
        break;
      case 0x090:
      case 0x094:
        queue.words[2 + ((offset - 0x090) >>> 2)] = value;
        break;
      case 0x0a0:
      case 0x0a4:
        queue.words[4 + ((offset - 0x0a0) >>> 2)] = value;
        break;
    }
  }

  private reset(): void {
    for (const queue of this.queues) if ((queue as QueueState | undefined) !== undefined) this.stop(queue);
    this.features.fill(0);
    this.gpu.reset();
  }

  private stop(queue: QueueState): void {
    queue.follower = undefined;
    queue.made = 0;
    queue.announced = 0;
  }

  private startLegacy(queue: QueueState, desc: number): void {
    const num = queue.num === 0 ? queue.numMax : queue.num;
    const driver = desc + 16 * num;
    const align = Math.max(queue.align, 1);
    this.start(queue, num, desc, driver, Math.ceil((driver + 6 + 2 * num) / align) * align);
  }

  private startModern(queue: QueueState): void {
    const at = (i: number): number => queue.words[i]! + queue.words[i + 1]! * 0x1_0000_0000;
    this.start(queue, queue.num === 0 ? queue.numMax : queue.num, at(0), at(2), at(4));
  }

  private start(queue: QueueState, num: number, desc: number, driver: number, device: number): void {
    const packed = this.has(F_RING_PACKED);
    if (num === 0 || num > MOST_ENTRIES || (!packed && (num & (num - 1)) !== 0)) {
      this.lost.brokenRings++;
      return;
    }
    const { read, out, lost } = this;
    const index = this.queues.indexOf(queue);
    const place = { num, desc, driver, device };
    queue.follower = packed
      ? new PackedFollower(index, place, read, out, lost)
      : new SplitFollower(index, place, this.has(F_EVENT_IDX), read, out, lost);
  }

  /** See ChainTracker.position. False if there is no such queue in use. */
  position(index: number, lastAvail: number, lastUsed: number): boolean {
    const follower = this.queues[index]?.follower;
    follower?.position(lastAvail, lastUsed);
    return follower !== undefined;
  }

  /** The vCPU is held before its write to QueueNotify reaches the device. */
  notify(index: number): void {
    this.look('notify');
    const late: [number, number][] = [];
    for (const [i, queue] of this.inUse()) {
      const count = queue.made - queue.announced;
      // Whoever has to notify and has not yet will do so: that is not late, only interrupted on the way.
      if (i === index || count === 0 || queue.follower.kickExpected(count)) continue;
      late.push([i, count]);
      queue.announced = queue.made;
    }
    const queue = this.queues[index];
    this.out.notify(this.transport, index, queue === undefined ? 0 : queue.made - queue.announced, late);
    if (queue !== undefined) queue.announced = queue.made;
  }

  /** The vCPU is held in its read of InterruptStatus. */
  interruptStatus(): void {
    this.look('');
    for (const [i, queue] of this.inUse()) {
      const count = queue.made - queue.announced;
      if (count > 0 && !queue.follower.kickExpected(count)) this.kick(i, queue);
    }
  }

  private kick(index: number, queue: QueueState): void {
    this.out.kick(this.transport, index, queue.made - queue.announced);
    queue.announced = queue.made;
  }

  /** See ChainTracker.filling. */
  filling(index: number, len: number): void {
    this.queues[index]?.follower?.filling(len);
    this.look('used');
  }

  /**
   * Looks at all queues. `at`: why now; empty = the guest reads the interrupt status, 'irq' = the line rises,
   * 'used' = the device is about to show `ahead` used elements of `which`.
   */
  look(at: string, which = -1, ahead = 0): void {
    const queues = [...this.inUse()];
    // Which interrupts come depends on what the guest asked for when the device used the buffers: if that is now,
    // it is what stands there now; else it is what stood there before.
    if (isPrompt(at)) for (const [, { follower }] of queues) follower.events();
    for (const [index, { follower }] of queues) follower.mark(index === which ? ahead : 0);
    const found = queues.map(([, queue]) => this.scan(queue));
    // A buffer that stands in a chain again was the guest's in between: it may hold something else by now.
    if (!isPrompt(at))
      this.taken = new Set(
        found.flatMap((chains) => chains.flatMap(({ in: into }) => into.map(({ gpa }) => gpa))),
      );
    this.used(queues, at, false);
    for (const [i, [index, queue]] of queues.entries()) {
      for (const chain of found[i]!) this.contents(index, chain);
      queue.follower.emit();
    }
    this.used(queues, at, true);
    for (const chains of found) for (const chain of chains) chain.fresh = false;
    this.taken.clear();
  }

  private *inUse(): Generator<[number, ActiveQueue]> {
    for (const [i, queue] of this.queues.entries())
      if ((queue as QueueState | undefined)?.follower !== undefined) yield [i, queue as ActiveQueue];
  }

  private scan(queue: ActiveQueue): readonly TrackedChain[] {
    const chains = queue.follower.scan();
    for (const chain of chains) chain.serial = queue.made++;
    return chains;
  }

  /** Writes M of what the device will read of a chain. */
  private contents(queue: number, chain: TrackedChain): void {
    for (const { gpa, length } of chain.out)
      if (length > MOST_BUFFER || !this.out.memory(gpa, length, 'out')) this.lost.brokenChains++;
    if (this.deviceId === DEVICE_BLK) {
      const header = readOut(chain, this.read, 0, 16);
      if (header.length === 16) chain.request = `,"h":{"ty":${u32(header, 0)},"sec":${u64(header, 8)}}`;
    } else if (this.deviceId === DEVICE_GPU && queue === 0) this.gpu.request(chain);
  }

  /** Writes X of what was used; U before it, where nothing has told the device of a chain that it has used. */
  private used(queues: readonly [number, ActiveQueue][], at: string, fresh: boolean): void {
    let texts: string[] = [];
    let length = 0;
    for (const [index, queue] of queues) {
      const { follower } = queue;
      const seen = follower.used(fresh);
      if (seen.length === 0) continue;
      if (seen.some(({ chain }) => chain !== undefined && chain.serial >= queue.announced))
        this.kick(index, queue);
      const head = follower.usedHead();
      const elements = seen.map((element, i) => {
        const late = !isPrompt(at) && follower.consumed(seen.length - 1 - i);
        return this.element(element, late);
      });
      const text = `{${head},"el":[${elements.join(',')}]}`;
      if (length + text.length > MOST_TEXT && texts.length > 0) {
        this.out.used(this.transport, texts, at);
        texts = [];
        length = 0;
      }
      texts.push(text);
      length += text.length;
    }
    if (texts.length > 0) this.out.used(this.transport, texts, at);
  }

  private element({ id, len, at, chain }: SeenUsed, late: boolean): string {
    let racy = late || chain?.racy === true;
    if (chain?.fresh === false) racy ||= chain.in.some(({ gpa }) => this.taken.has(gpa));
    const pieces: string[] = [];
    let left = len;
    for (const { gpa, length } of chain?.in ?? []) {
      const take = Math.min(length, left, MOST_BUFFER);
      if (take === 0) break;
      const piece = this.out.written(gpa, take);
      if (piece === undefined) racy = true;
      else pieces.push(piece);
      left -= take;
    }
    if (racy) this.lost.racyElements++;
    const place = at < 0 ? '' : `,"at":${at}`;
    const written = `"${this.out.writtenMember}":[${pieces.join(',')}]`;
    return `{"id":${id},"len":${len},${written}${place}${chain?.request ?? ''}${racy ? ',"racy":true' : ''}}`;
  }
}

/** The guest cannot have seen yet what a look at this moment finds. */
const isPrompt = (at: string): boolean => at === 'irq' || at === 'used';

type ActiveQueue = QueueState & { follower: QueueFollower };
