import type { JsonValue } from '../../trace/json-check.ts';
import { forEachChain, type DeviceHost, type DeviceModel } from '../device.ts';
import { F_ANY_LAYOUT, features, hasFeature } from '../features.ts';
import { gather, scatter, type Chain } from '../queue/chain.ts';
import type { VirtQueue } from '../queue/queue.ts';
import { ConfigSpace } from './config-space.ts';
import {
  CONSOLE_CONFIG,
  CONSOLE_CONFIG_BYTES,
  CONSOLE_CONTROL_RX,
  CONSOLE_CONTROL_TX,
  CONSOLE_DEVICE_ID,
  CONSOLE_F_EMERG_WRITE,
  CONSOLE_F_MULTIPORT,
  CONTROL_BYTES,
  CONTROL_CONSOLE_PORT,
  CONTROL_DEVICE_READY,
  CONTROL_PORT_ADD,
  CONTROL_PORT_NAME,
  CONTROL_PORT_OPEN,
  CONTROL_PORT_READY,
  portQueue,
  queuePort,
} from './console-format.ts';

/** The other ends of the ports. */
export interface ConsoleBackend {
  /** Bytes that the driver wrote to a port; a view of guest memory, to be copied if kept. */
  output(port: number, bytes: Uint8Array): void;
  /** The driver offered receive buffers on a port that it has open: input that was not taken may come again. */
  inputReady?(port: number): void;
}

export interface PortOptions {
  /** A console (hvc in Linux), or a plain serial port with an optional name. */
  console: boolean;
  name?: string;
  /** Whether the other end is there from the start; unless given, it is. */
  connected?: boolean;
  /** There is no port of this id: QEMU leaves 0 out when no console wants it. */
  absent?: boolean;
  /** The driver has it open from the start: a device that stands in for one which was in use already. */
  opened?: boolean;
}

export interface ConsoleOptions {
  backend: ConsoleBackend;
  /** Ports that are plugged, from id 0. */
  ports?: readonly PortOptions[];
  /** Ports that the device could have; more than one offers MULTIPORT. QEMU's 31 unless given. */
  maxPorts?: number;
}

/** virtio-console, VIRTIO 1.2, 5.3, with one port or with many and their control channel. */
export class ConsoleDevice implements DeviceModel {
  readonly deviceId = CONSOLE_DEVICE_ID;
  readonly name = 'console';
  readonly configFields = CONSOLE_CONFIG;
  readonly offered;
  readonly legacyOffered = features(F_ANY_LAYOUT);
  readonly queueSizes: readonly number[];
  private readonly backend: ConsoleBackend;
  private readonly ports: readonly PortOptions[];
  private readonly space = new ConfigSpace(CONSOLE_CONFIG, CONSOLE_CONFIG_BYTES);
  /** By port: the driver has it open. */
  private open: boolean[];
  /** By port: the other end is there. */
  private connected: boolean[];
  private host!: DeviceHost;

  constructor({ backend, ports = [{ console: true }], maxPorts = 31 }: ConsoleOptions) {
    if (ports.length > maxPorts) throw new RangeError(`${ports.length} ports in a device of ${maxPorts}`);
    this.backend = backend;
    this.ports = ports;
    this.open = ports.map(({ opened }) => opened === true);
    this.connected = ports.map((port) => port.connected !== false);
    this.offered = features(CONSOLE_F_EMERG_WRITE, ...(maxPorts > 1 ? [CONSOLE_F_MULTIPORT] : []));
    // Port 0, the control channel, then the other ports; sizes as QEMU's.
    this.queueSizes = [128, 128, 32, 32, ...new Array<number>(2 * (maxPorts - 1)).fill(128)];
    this.space.set('max_nr_ports', maxPorts);
  }

  attach(host: DeviceHost): void {
    this.host = host;
  }

  config(): Uint8Array {
    return this.space.bytes;
  }

  /** Emergency write (5.3.4): one character, at any time, without a queue. */
  configWritten(offset: number, bytes: Uint8Array): void {
    const written = [8, 9, 10, 11].map((at) => bytes[at - offset] ?? 0);
    const port = this.ports.findIndex((item) => item.console);
    if (port >= 0 && written.some((byte) => byte !== 0))
      this.backend.output(port, Uint8Array.of(written[0]!));
  }

  private get multiport(): boolean {
    return hasFeature(this.host.negotiated, CONSOLE_F_MULTIPORT);
  }

  /** Without a control channel port 0 is open as soon as the driver is there. */
  statusChanged(): void {
    if (this.host.driverOk && !this.multiport && this.open.length > 0) this.open[0] = true;
  }

  notify(index: number): void {
    const queue = this.host.queue(index);
    if (queue === undefined) return;
    if (index === CONSOLE_CONTROL_TX) this.control(queue);
    else if (index === CONSOLE_CONTROL_RX) return;
    else if ((index & 1) === 1) this.output(index, queue);
    else if (this.open[queuePort(index)] === true) this.backend.inputReady?.(queuePort(index));
  }

  /** Data for a port that is not plugged or not connected is swallowed. The interrupt is asked for once, even for no data. */
  private output(index: number, queue: VirtQueue): void {
    const port = queuePort(index);
    forEachChain(queue, (chain) => {
      if (this.connected[port] === true)
        for (const { gpa, length } of chain.out)
          this.backend.output(port, this.host.memory.view(gpa, length));
      queue.push([chain], [0]);
    });
    this.host.interrupt(index);
  }

  /** Input for a port. Gives the number of bytes that the driver had room for: none while it has the port closed. */
  input(port: number, bytes: Uint8Array): number {
    let taken = 0;
    this.host.run(() => {
      const index = portQueue(port);
      const queue = this.host.queue(index);
      if (queue === undefined || !this.host.driverOk || this.open[port] !== true || bytes.length === 0)
        return;
      let chains = 0;
      forEachChain(
        queue,
        (chain) => {
          const written = scatter(this.host.memory, chain.in, 0, bytes.subarray(taken));
          taken += written;
          chains++;
          queue.push([chain], [written]);
        },
        () => taken < bytes.length,
      );
      if (chains > 0) this.host.interrupt(index);
    });
    return taken;
  }

  private control(queue: VirtQueue): void {
    forEachChain(queue, (chain) => {
      this.controlMessage(chain);
      queue.push([chain], [0]);
    });
    this.host.interrupt(CONSOLE_CONTROL_TX);
  }

  private controlMessage(chain: Chain): void {
    const message = new Uint8Array(CONTROL_BYTES);
    if (gather(this.host.memory, chain.out, 0, message) < CONTROL_BYTES) return;
    const words = new DataView(message.buffer);
    const port = words.getUint32(0, true);
    const event = words.getUint16(4, true);
    const value = words.getUint16(6, true);
    if (event === CONTROL_DEVICE_READY) {
      if (value !== 0)
        for (const [id, port] of this.ports.entries())
          if (port.absent !== true) this.tell(id, CONTROL_PORT_ADD, 1);
      return;
    }
    const found = this.ports[port];
    if (found === undefined || found.absent === true) return;
    if (event === CONTROL_PORT_OPEN) this.open[port] = value !== 0;
    if (event !== CONTROL_PORT_READY || value === 0) return;
    if (found.console) this.tell(port, CONTROL_CONSOLE_PORT, 1);
    if (found.name !== undefined) this.tell(port, CONTROL_PORT_NAME, 1, `${found.name}\0`);
    if (this.connected[port] === true) this.tell(port, CONTROL_PORT_OPEN, 1);
  }

  /** The other end of a port comes or goes; the driver is told. */
  setConnected(port: number, connected: boolean): void {
    if (this.connected[port] === undefined || this.connected[port] === connected) return;
    this.connected[port] = connected;
    this.host.run(() => {
      this.tell(port, CONTROL_PORT_OPEN, connected ? 1 : 0);
    });
  }

  /** A control message to the driver; lost when it has offered no buffer, as in QEMU. */
  private tell(port: number, event: number, value: number, text = ''): void {
    const queue = this.host.queue(CONSOLE_CONTROL_RX);
    const chain = queue?.pop();
    if (queue === undefined || chain === undefined) return;
    const tail = new TextEncoder().encode(text);
    const message = new Uint8Array(CONTROL_BYTES + tail.length);
    const words = new DataView(message.buffer);
    words.setUint32(0, port, true);
    words.setUint16(4, event, true);
    words.setUint16(6, value, true);
    message.set(tail, CONTROL_BYTES);
    queue.push([chain], [scatter(this.host.memory, chain.in, 0, message)]);
    this.host.interrupt(CONSOLE_CONTROL_RX);
  }

  reset(): void {
    this.open = this.ports.map(({ opened }) => opened === true);
  }

  save(): unknown {
    return { open: this.open, connected: this.connected };
  }

  restore(saved: JsonValue): void {
    const flags = (key: string): boolean[] => {
      const list = saved.get(key).list((item) => item.flag(), this.ports.length);
      return list.length === this.ports.length ? list : saved.get(key).fail(`${this.ports.length} ports`);
    };
    const open = flags('open');
    this.connected = flags('connected');
    this.open = open;
  }
}
