import type { JsonValue } from '../../trace/json-check.ts';
import type { ConfigField, DeviceHost, DeviceModel } from '../../devices/device.ts';
import type { Features } from '../../devices/features.ts';
import type { GuestMemory } from '../../devices/guest-memory.ts';
import type { Chain, ChainTicket } from '../../devices/queue/chain.ts';
import type { QueueState, VirtQueue } from '../../devices/queue/queue.ts';

/** What a model has done with a queue and the guest does not see yet: chains given back, or an interrupt asked for. */
type Held = { chains: ChainTicket[]; written: number[] } | 'interrupt';

/**
 * A device model whose used elements the guest sees later than the model makes them. A real device model uses some
 * buffers within the access that notified it and others afterwards, from a thread or the bottom of its main loop, when
 * the guest has gone on; ours do all at once. Who replays a recording lets the elements out one by one when they
 * had appeared there, and then the interrupts come out the same.
 */
export class HeldModel implements DeviceModel {
  readonly deviceId: number;
  readonly name: string;
  readonly configFields: readonly ConfigField[];
  readonly offered: Features;
  readonly legacyOffered: Features;
  readonly queueSizes: readonly number[];
  private readonly inner: DeviceModel;
  private host!: HeldHost;

  constructor(inner: DeviceModel) {
    this.inner = inner;
    this.deviceId = inner.deviceId;
    this.name = inner.name;
    this.configFields = inner.configFields;
    this.offered = inner.offered;
    this.legacyOffered = inner.legacyOffered;
    this.queueSizes = inner.queueSizes;
  }

  attach(host: DeviceHost): void {
    this.host = new HeldHost(host, this.queueSizes.length);
    this.inner.attach(this.host);
  }

  config(): Uint8Array {
    return this.inner.config();
  }

  configWritten(offset: number, bytes: Uint8Array): void {
    this.inner.configWritten?.(offset, bytes);
  }

  statusChanged(): void {
    this.inner.statusChanged?.();
  }

  notify(queue: number): void {
    this.inner.notify(queue);
  }

  /** Lets the guest see the next chains of a queue that were given back; false if there are none. */
  release(queue: number): boolean {
    return this.host.release(queue);
  }

  queueReset(queue: number): void {
    this.host.forget(queue);
    this.inner.queueReset?.(queue);
  }

  reset(): void {
    for (let i = 0; i < this.queueSizes.length; i++) this.host.forget(i);
    this.inner.reset();
  }

  save(): unknown {
    return { inner: this.inner.save(), held: this.host.held };
  }

  restore(saved: JsonValue): void {
    const held = saved.get('held').list((queue) => queue.list(heldFrom), this.queueSizes.length);
    this.inner.restore(saved.get('inner'));
    this.host.held = held;
  }
}

function heldFrom(value: JsonValue): Held {
  if (value.value === 'interrupt') return 'interrupt';
  const chains = value.get('chains').list((chain) => ({
    id: chain.get('id').integer(0, 0xffff),
    slots: chain.get('slots').integer(1, 0xffff),
  }));
  return {
    chains,
    written: value.get('written').list((one) => one.integer(0, 0x1_0000_0000), chains.length),
  };
}

/** The transport as a model sees it whose used elements are held. */
class HeldHost implements DeviceHost {
  readonly memory: GuestMemory;
  /** By queue, oldest first. */
  held: Held[][];
  private readonly outer: DeviceHost;

  constructor(outer: DeviceHost, queues: number) {
    this.outer = outer;
    this.memory = outer.memory;
    this.held = Array.from({ length: queues }, () => []);
  }

  get negotiated(): Features {
    return this.outer.negotiated;
  }

  get driverOk(): boolean {
    return this.outer.driverOk;
  }

  queue(index: number): VirtQueue | undefined {
    const queue = this.outer.queue(index);
    return queue && new HeldQueue(queue, this.held[index]!);
  }

  interrupt(index: number): void {
    this.held[index]!.push('interrupt');
  }

  configChanged(): void {
    this.outer.configChanged();
  }

  run(work: () => void): void {
    this.outer.run(work);
  }

  release(index: number): boolean {
    const held = this.held[index];
    if (held === undefined) return false;
    let pushed = false;
    this.outer.run(() => {
      // Up to the next chains, with the interrupts asked for right behind this one.
      while (held.length > 0 && !(pushed && held[0] !== 'interrupt')) {
        const next = held.shift()!;
        if (next === 'interrupt') this.outer.interrupt(index);
        else this.outer.queue(index)?.push(next.chains, next.written);
        pushed ||= next !== 'interrupt';
      }
    });
    return pushed;
  }

  forget(index: number): void {
    this.held[index]!.length = 0;
  }
}

/** A queue whose push does not show yet. */
class HeldQueue implements VirtQueue {
  readonly state: QueueState;
  private readonly outer: VirtQueue;
  private readonly held: Held[];

  constructor(outer: VirtQueue, held: Held[]) {
    this.outer = outer;
    this.held = held;
    this.state = outer.state;
  }

  isEmpty(): boolean {
    return this.outer.isEmpty();
  }

  pop(): Chain | undefined {
    return this.outer.pop();
  }

  unpop(chain: ChainTicket): void {
    this.outer.unpop(chain);
  }

  push(chains: readonly ChainTicket[], written: readonly number[]): void {
    this.held.push({ chains: chains.map(({ id, slots }) => ({ id, slots })), written: [...written] });
  }

  wantsInterrupt(): boolean {
    return this.outer.wantsInterrupt();
  }

  setNotification(on: boolean): void {
    this.outer.setNotification(on);
  }
}
