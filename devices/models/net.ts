import type { JsonValue } from '../../trace/json-check.ts';
import { forEachChain, type DeviceHost, type DeviceModel } from '../device.ts';
import { F_ANY_LAYOUT, F_VERSION_1, features, hasFeature } from '../features.ts';
import { GuestFault } from '../guest-memory.ts';
import { gather, MOST_SEGMENTS, scatter, totalLength, type Chain } from '../queue/chain.ts';
import type { VirtQueue } from '../queue/queue.ts';
import { ConfigSpace } from './config-space.ts';
import { NetFilter } from './net-filter.ts';
import {
  CTRL_ANNOUNCE,
  CTRL_ANNOUNCE_ACK,
  CTRL_ERR,
  CTRL_OK,
  MAC_BYTES,
  MOST_FRAME_BYTES,
  NET_CONFIG,
  NET_CONFIG_BYTES,
  NET_CTRL,
  NET_DEVICE_ID,
  NET_F_CTRL_GUEST_OFFLOADS,
  NET_F_CTRL_MAC_ADDR,
  NET_F_CTRL_RX,
  NET_F_CTRL_RX_EXTRA,
  NET_F_CTRL_VLAN,
  NET_F_CTRL_VQ,
  NET_F_GSO,
  NET_F_GUEST_ANNOUNCE,
  NET_F_MAC,
  NET_F_MRG_RXBUF,
  NET_F_STATUS,
  NET_HEADER_BYTES,
  NET_RX,
  NET_S_ANNOUNCE,
  NET_S_LINK_UP,
  NET_SHORT_HEADER_BYTES,
  NET_TX,
} from './net-format.ts';

/** The other end of the wire. */
export interface NetBackend {
  /** A frame from the driver, without virtio header; the bytes are the callee's. */
  transmit(frame: Uint8Array): void;
  /** The driver offered receive buffers: a frame that was not taken may be tried again. */
  receiveReady?(): void;
}

export interface NetOptions {
  backend: NetBackend;
  /** 6 bytes. */
  mac: Uint8Array;
  /** Entries of each queue before the driver chooses. */
  queueSize?: number;
  /**
   * Without mergeable buffers write num_buffers = 1 into a header of 12 bytes, as the specification says (5.1.6.4.1).
   * Unless set, those two bytes stay as they are, as QEMU leaves them; drivers do not look at them.
   */
  countSingleBuffers?: boolean;
}

/** Longest control command that is looked at: both address tables full, and some more. */
const MOST_CONTROL_BYTES = 65536;

/**
 * virtio-net with one queue pair and a control queue, VIRTIO 1.2, 5.1. No offloads: frames go as they are, the
 * virtio header of a received one says nothing but how many buffers it takes.
 */
export class NetDevice implements DeviceModel {
  readonly deviceId = NET_DEVICE_ID;
  readonly name = 'net';
  readonly configFields = NET_CONFIG;
  readonly offered = features(
    ...[NET_F_CTRL_GUEST_OFFLOADS, NET_F_MAC, NET_F_MRG_RXBUF, NET_F_STATUS, NET_F_CTRL_VQ, NET_F_CTRL_RX],
    ...[NET_F_CTRL_VLAN, NET_F_CTRL_RX_EXTRA, NET_F_GUEST_ANNOUNCE, NET_F_CTRL_MAC_ADDR],
  );
  readonly legacyOffered = features(F_ANY_LAYOUT, NET_F_GSO);
  readonly queueSizes: readonly number[];
  private readonly backend: NetBackend;
  private readonly filter: NetFilter;
  private readonly countSingle: boolean;
  private readonly space = new ConfigSpace(NET_CONFIG, NET_CONFIG_BYTES);
  private status = NET_S_LINK_UP;
  private host!: DeviceHost;

  constructor({ backend, mac, queueSize = 256, countSingleBuffers = false }: NetOptions) {
    if (mac.length !== MAC_BYTES) throw new RangeError('a MAC address has 6 bytes');
    this.backend = backend;
    this.countSingle = countSingleBuffers;
    this.filter = new NetFilter(mac);
    this.queueSizes = [queueSize, queueSize, 64];
    this.showConfig();
  }

  attach(host: DeviceHost): void {
    this.host = host;
  }

  config(): Uint8Array {
    return this.space.bytes;
  }

  private showConfig(): void {
    this.space.bytes.set(this.filter.mac, 0);
    this.space.set('status', this.status);
  }

  /** Legacy drivers set their address here; modern ones have a command for it (5.1.4.1). */
  configWritten(offset: number, bytes: Uint8Array): void {
    const { negotiated } = this.host;
    if (hasFeature(negotiated, F_VERSION_1) || hasFeature(negotiated, NET_F_CTRL_MAC_ADDR)) return;
    const mac = [...this.filter.mac];
    for (const [i, byte] of bytes.entries()) if (offset + i < MAC_BYTES) mac[offset + i] = byte;
    this.filter.mac = mac;
    this.showConfig();
  }

  notify(index: number): void {
    const queue = this.host.queue(index);
    if (queue === undefined) return;
    if (index === NET_RX) this.backend.receiveReady?.();
    else if (index === NET_TX) this.transmit(queue);
    else
      forEachChain(queue, (chain) => {
        this.control(queue, chain);
      });
  }

  private get headerBytes(): number {
    const { negotiated } = this.host;
    const long = hasFeature(negotiated, F_VERSION_1) || hasFeature(negotiated, NET_F_MRG_RXBUF);
    return long ? NET_HEADER_BYTES : NET_SHORT_HEADER_BYTES;
  }

  private transmit(queue: VirtQueue): void {
    queue.setNotification(false);
    forEachChain(queue, (chain) => {
      const length = totalLength(chain.out) - this.headerBytes;
      if (length < 0) throw new GuestFault('request', 'a frame shorter than its header');
      if ((this.status & NET_S_LINK_UP) !== 0 && length > 0 && length <= MOST_FRAME_BYTES) {
        const frame = new Uint8Array(length);
        gather(this.host.memory, chain.out, this.headerBytes, frame);
        this.backend.transmit(frame);
      }
      queue.push([chain], [0]);
      this.host.interrupt(NET_TX);
    });
    queue.setNotification(true);
  }

  /**
   * A frame for the driver, without virtio header. False: it has no room (or is not there yet), the frame may
   * come again after receiveReady. True: delivered, or dropped by its filter or because it fits no buffer.
   * `offload`: what the wire's other end says of checksum and segmentation, the first 10 bytes of virtio_net_hdr
   * (5.1.6), as a tap with IFF_VNET_HDR does; zeros unless given.
   */
  receive(frame: Uint8Array, offload?: Uint8Array): boolean {
    let taken = false;
    this.host.run(() => {
      taken = this.deliver(frame, offload);
    });
    return taken;
  }

  private deliver(frame: Uint8Array, offload: Uint8Array | undefined): boolean {
    const queue = this.host.queue(NET_RX);
    if (queue === undefined || !this.host.driverOk || (this.status & NET_S_LINK_UP) === 0) return false;
    const mergeable = hasFeature(this.host.negotiated, NET_F_MRG_RXBUF);
    const needed = this.headerBytes + frame.length;
    queue.setNotification(false);
    const chains = popRoom(queue, needed, mergeable);
    const enough = chains.length > 0 && (!mergeable || room(chains) >= needed);
    const passes = this.filter.passes(frame, hasFeature(this.host.negotiated, NET_F_CTRL_VLAN));
    if (!enough || !passes || room(chains) < needed) {
      for (const chain of chains.toReversed()) queue.unpop(chain);
      if (!enough) queue.setNotification(true);
      return enough;
    }
    this.fill(queue, chains, frame, mergeable, offload);
    return true;
  }

  private fill(
    queue: VirtQueue,
    chains: readonly Chain[],
    frame: Uint8Array,
    mergeable: boolean,
    offload: Uint8Array | undefined,
  ): void {
    const { memory } = this.host;
    const { headerBytes } = this;
    const counted = headerBytes === NET_HEADER_BYTES && (mergeable || this.countSingle);
    const header = new Uint8Array(counted ? NET_HEADER_BYTES : NET_SHORT_HEADER_BYTES);
    if (offload !== undefined) header.set(offload.subarray(0, NET_SHORT_HEADER_BYTES));
    if (counted) {
      header[10] = chains.length;
      header[11] = chains.length >> 8;
    }
    const written: number[] = [];
    let done = 0;
    for (const [i, chain] of chains.entries()) {
      let start = 0;
      if (i === 0) {
        scatter(memory, chain.in, 0, header);
        start = headerBytes;
        if (totalLength(chain.in) < headerBytes)
          throw new GuestFault('request', 'a receive buffer shorter than the header');
      }
      const length = scatter(memory, chain.in, start, frame.subarray(done));
      written.push(start + length);
      done += length;
    }
    queue.push(chains, written);
    this.host.interrupt(NET_RX);
  }

  private control(queue: VirtQueue, chain: Chain): void {
    const { memory } = this.host;
    const length = totalLength(chain.out);
    if (length < 2 || totalLength(chain.in) < 1)
      throw new GuestFault('request', 'a control command without header or acknowledgement');
    const bytes = new Uint8Array(Math.min(length, MOST_CONTROL_BYTES));
    gather(memory, chain.out, 0, bytes);
    const ack =
      length > MOST_CONTROL_BYTES ? CTRL_ERR : this.command(bytes[0]!, bytes[1]!, bytes.subarray(2));
    scatter(memory, chain.in, 0, Uint8Array.of(ack));
    queue.push([chain], [1]);
    this.host.interrupt(NET_CTRL);
  }

  private command(kind: number, command: number, data: Uint8Array): number {
    if (kind === CTRL_ANNOUNCE) {
      if (command !== CTRL_ANNOUNCE_ACK || (this.status & NET_S_ANNOUNCE) === 0) return CTRL_ERR;
      this.status &= ~NET_S_ANNOUNCE;
      this.showConfig();
      return CTRL_OK;
    }
    const ack = this.filter.command(kind, command, data);
    this.showConfig();
    return ack;
  }

  /** Plugs or pulls the cable; the driver is told through the configuration space. */
  setLink(up: boolean): void {
    this.status = up ? this.status | NET_S_LINK_UP : this.status & ~NET_S_LINK_UP;
    this.showConfig();
    this.host.run(() => {
      this.host.configChanged();
    });
  }

  reset(): void {
    this.filter.reset();
    this.status &= ~NET_S_ANNOUNCE;
    this.showConfig();
  }

  save(): unknown {
    return { status: this.status, filter: this.filter.save() };
  }

  restore(saved: JsonValue): void {
    const status = saved.get('status').integer(0, 3);
    this.filter.restore(saved.get('filter'));
    this.status = status;
    this.showConfig();
  }
}

function room(chains: readonly Chain[]): number {
  let bytes = 0;
  for (const chain of chains) bytes += totalLength(chain.in);
  return bytes;
}

/** Pops one chain, or with mergeable buffers as many as `needed` bytes take, as far as there are any. */
function popRoom(queue: VirtQueue, needed: number, mergeable: boolean): Chain[] {
  const chains: Chain[] = [];
  let bytes = 0;
  do {
    const chain = queue.pop();
    if (chain === undefined) break;
    if (chain.in.length === 0) throw new GuestFault('request', 'a receive chain without room');
    chains.push(chain);
    bytes += totalLength(chain.in);
  } while (mergeable && bytes < needed && chains.length < MOST_SEGMENTS);
  return chains;
}
