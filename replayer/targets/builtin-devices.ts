import { TraceError } from '../../trace/errors.ts';
import type { DeviceModel } from '../../devices/device.ts';
import { F_VERSION_1, hasFeature, type Features } from '../../devices/features.ts';
import { BLK_F_MQ, BLOCK_CONFIG } from '../../devices/models/block-format.ts';
import { BlockDevice, type BlockOptions } from '../../devices/models/block.ts';
import {
  CONSOLE_CONTROL_RX,
  CONSOLE_F_MULTIPORT,
  CONTROL_BYTES,
  CONTROL_PORT_OPEN,
  queuePort,
} from '../../devices/models/console-format.ts';
import { ConsoleDevice, type PortOptions } from '../../devices/models/console.ts';
import { MemoryDisk } from '../../devices/models/disk.ts';
import { MOST_SCANOUTS } from '../../devices/models/gpu-format.ts';
import { GpuDevice } from '../../devices/models/gpu.ts';
import {
  NET_F_MRG_RXBUF,
  NET_HEADER_BYTES,
  NET_RX,
  NET_SHORT_HEADER_BYTES,
} from '../../devices/models/net-format.ts';
import { NetDevice } from '../../devices/models/net.ts';
import { writtenBytes } from '../recording/used.ts';
import type { DevicePlan, RecordedElement, RecordedUsed } from '../target.ts';
import { displaySize } from './display.ts';
import type { PageHistory } from './page-history.ts';
import { TrackedDisk } from './tracked-memory.ts';

/** A device model with what is behind it. */
export interface Plugged {
  model: DeviceModel;
  /** Makes happen what came from outside the guest before these elements could be used. */
  outside?: (used: RecordedUsed, there: () => boolean, negotiated: Features) => void;
  /** Puts what it holds in the end where it belongs. */
  final: (transport: number, into: FinalMaps) => void;
  /** What is behind the model: disk, frames, output. The model's own state is its own matter. */
  save: () => unknown;
  restore: (saved: unknown) => void;
  /** Where it stands in what it only ever adds to; `rewind` takes away what came behind. */
  mark: () => unknown;
  rewind: (mark: unknown) => void;
  /** Made with `tracked`: of the disk. */
  history?: PageHistory;
}

const NO_MARK: Pick<Plugged, 'mark' | 'rewind'> = { mark: () => undefined, rewind: () => undefined };

export interface FinalMaps {
  disks: Map<number, Uint8Array>;
  sent: Map<number, readonly Uint8Array[]>;
  output: Map<number, readonly Uint8Array[]>;
  screens: Map<number, { width: number; height: number; rgb: Uint8Array }>;
}

/** Makes a device as it was recorded, as far as our models can be made so. `tracked`: one can go back in its disk. */
export function plugIn(plan: DevicePlan, tracked = false): Plugged {
  switch (plan.kind) {
    case 'blk':
      return block(plan, tracked);
    case 'net':
      return net(plan);
    case 'console':
      return serial(plan);
    case 'gpu':
      return gpu(plan);
  }
}

/** Most queues that a device of ours is made with. */
const MOST_QUEUES = 64;
/** seg_max is the queue's size less header and status, and no queue is larger than 1024. */
const MOST_SEG_MAX = 1022;

function block(plan: DevicePlan, tracked: boolean): Plugged {
  if (plan.disk === undefined)
    throw new TraceError(
      'E_NOT_REPLAYABLE',
      `block device ${plan.transport} needs its disk as it was at the start`,
      {
        expected: `--disk ${plan.transport}=IMAGE`,
      },
    );
  const { bytes, readOnly, serial: name } = plan.disk;
  const disk = tracked ? new TrackedDisk(bytes, readOnly) : new MemoryDisk(bytes, readOnly);
  const options: BlockOptions = { disk, serial: name, hold: true };
  const segMax = field(plan, 'seg_max');
  if (segMax !== undefined && segMax >= 1 && segMax <= MOST_SEG_MAX) options.queueSize = segMax + 2;
  const queues = field(plan, 'num_queues');
  if (queues !== undefined && plan.offered !== undefined && hasFeature(plan.offered, BLK_F_MQ))
    options.queues = Math.min(Math.max(queues, 1), MOST_QUEUES);
  const geometry = ['geometry.cylinders', 'geometry.heads', 'geometry.sectors'].map((key) =>
    field(plan, key),
  );
  const [cylinders, heads, sectors] = geometry;
  if (cylinders !== undefined && heads !== undefined && sectors !== undefined)
    options.geometry = [cylinders, heads, sectors];
  const model = new BlockDevice(options);
  return {
    model,
    // Requests are given back in the order in which the recorded device gave them back.
    outside: ({ queue, elements }) => {
      for (const { id } of elements) {
        const at = model.held.findIndex((request) => request.queue === queue && request.id === id);
        if (at >= 0) model.complete(at);
      }
    },
    final: (transport, { disks }) => {
      disks.set(transport, bytes);
    },
    save: () => bytes.slice(),
    restore: (saved) => {
      bytes.set(saved as Uint8Array);
    },
    ...NO_MARK,
    ...(disk instanceof TrackedDisk ? { history: disk.history } : {}),
  };
}

/** A field of a block device's configuration space, if all of it was seen. */
function field(plan: DevicePlan, name: string): number | undefined {
  const found = BLOCK_CONFIG.find((item) => item.name === name);
  if (found === undefined || plan.config === undefined) return undefined;
  let value = 0;
  for (let i = found.size - 1; i >= 0; i--) {
    if (plan.config.seen[found.offset + i] !== 1) return undefined;
    value = value * 256 + plan.config.bytes[found.offset + i]!;
  }
  return value;
}

/** What a device has when its guest never asked for its address: QEMU's first. */
const SOME_MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);

function net(plan: DevicePlan): Plugged {
  let sent: Uint8Array[] = [];
  const model = new NetDevice({
    mac: plan.mac ?? SOME_MAC,
    backend: {
      transmit: (frame) => {
        sent.push(frame);
      },
    },
  });
  return {
    model,
    outside: ({ queue, elements }, there, negotiated) => {
      if (queue !== NET_RX || there()) return;
      const mergeable = hasFeature(negotiated, NET_F_MRG_RXBUF);
      const long = mergeable || hasFeature(negotiated, F_VERSION_1);
      const header = long ? NET_HEADER_BYTES : NET_SHORT_HEADER_BYTES;
      for (const { frame, offload } of framesOf(plan, elements, header, mergeable))
        model.receive(frame, offload);
    },
    final: (transport, { sent: into }) => {
      into.set(transport, sent);
    },
    save: () => sent.slice(),
    restore: (saved) => {
      sent = (saved as Uint8Array[]).slice();
    },
    mark: () => sent.length,
    rewind: (mark) => {
      sent.length = mark as number;
    },
  };
}

/** A received frame, and the begin of its virtio_net_hdr: checksum and segmentation come from the wire's other end, too. */
export interface ReceivedFrame {
  frame: Uint8Array;
  offload: Uint8Array;
}

/** The frames in receive buffers; with mergeable buffers the header says how many elements one takes. */
export function framesOf(
  plan: Pick<DevicePlan, 'transport'>,
  elements: readonly RecordedElement[],
  header: number,
  mergeable: boolean,
): ReceivedFrame[] {
  const frames: ReceivedFrame[] = [];
  for (let i = 0; i < elements.length;) {
    const first = contents(plan, elements[i]!);
    const count = mergeable && first.length >= header ? Math.max(1, first[10]! + 256 * first[11]!) : 1;
    const parts = elements.slice(i + 1, i + count).map((element) => contents(plan, element));
    frames.push({
      frame: Buffer.concat([first.subarray(header), ...parts]),
      offload: first.subarray(0, NET_SHORT_HEADER_BYTES),
    });
    i += count;
  }
  return frames;
}

/** What the device wrote, which for input is what came from outside: nothing can stand in for it. */
function contents({ transport }: Pick<DevicePlan, 'transport'>, element: RecordedElement): Uint8Array {
  const bytes = writtenBytes(element);
  if (bytes.length < element.len)
    throw new TraceError('E_NOT_REPLAYABLE', `device ${transport}: what it received was not recorded`, {
      expected: `${element.len} bytes of element ${element.id}`,
      got: element.sha === undefined ? `${bytes.length}` : 'their hash',
    });
  return bytes;
}

const MOST_PORTS = 511;

function serial(plan: DevicePlan): Plugged {
  const several =
    plan.offered === undefined ? plan.ports !== undefined : hasFeature(plan.offered, CONSOLE_F_MULTIPORT);
  const maxPorts = several ? Math.min(Math.max(plan.ports ?? 31, 1), MOST_PORTS) : 1;
  let output: Uint8Array[][] = Array.from({ length: portsOf(plan, maxPorts).length }, () => []);
  const model = new ConsoleDevice({
    maxPorts,
    ports: portsOf(plan, maxPorts),
    backend: {
      output: (port, bytes) => {
        output[port]?.push(bytes.slice());
      },
    },
  });
  return {
    model,
    outside: ({ queue, elements }, there) => {
      if ((queue & 1) === 1 || there()) return;
      for (const element of elements) {
        const bytes = contents(plan, element);
        if (queue !== CONSOLE_CONTROL_RX) model.input(queuePort(queue), bytes);
        else if (!there()) connection(model, bytes);
      }
    },
    final: (transport, { output: into }) => {
      // Port 0, and up to the last one that was written to.
      const written = Math.max(1, output.findLastIndex((parts) => parts.length > 0) + 1);
      into.set(
        transport,
        output.slice(0, written).map((parts) => new Uint8Array(Buffer.concat(parts))),
      );
    },
    save: () => output.map((parts) => parts.slice()),
    restore: (saved) => {
      output = (saved as Uint8Array[][]).map((parts) => parts.slice());
    },
    mark: () => output.map(({ length }) => length),
    rewind: (mark) => {
      for (const [port, parts] of output.entries()) parts.length = (mark as number[])[port]!;
    },
  };
}

function portsOf({ portList }: DevicePlan, maxPorts: number): PortOptions[] {
  const told = (portList ?? []).filter(({ id }) => id < maxPorts);
  // Announced before the recording began, if at all: whichever the recording has input for are there, and open.
  if (told.length === 0)
    return Array.from({ length: maxPorts }, () => ({
      console: true,
      ...(maxPorts > 1 ? { opened: true } : {}),
    }));
  const last = Math.max(...told.map(({ id }) => id));
  return Array.from({ length: last + 1 }, (_, id): PortOptions => {
    const port = told.find((one) => one.id === id);
    if (port === undefined) return { console: false, absent: true };
    const { console, name } = port;
    return {
      console,
      ...(name === '' ? {} : { name }),
      ...(port.connected === false ? { connected: false } : {}),
    };
  });
}

/** The other end of a port came or went: the device told the driver so without being asked. */
function connection(model: ConsoleDevice, message: Uint8Array): void {
  if (message.length < CONTROL_BYTES) return;
  const words = new DataView(message.buffer, message.byteOffset, message.byteLength);
  if (words.getUint16(4, true) !== CONTROL_PORT_OPEN) return;
  model.setConnected(words.getUint32(0, true), words.getUint16(6, true) !== 0);
}

function gpu(plan: DevicePlan): Plugged {
  const [width, height] = displaySize(plan.edid);
  const told = plan.config?.seen[8] === 1 ? plan.config.bytes[8]! : 1;
  const scanouts = Math.min(Math.max(told, 1), MOST_SCANOUTS);
  const edid = plan.edid === undefined ? {} : { edid: plan.edid };
  const model = new GpuDevice({ width, height, scanouts, ...edid });
  return {
    model,
    final: (transport, { screens }) => {
      const screen = model.screen();
      if (screen !== undefined) screens.set(transport, screen);
    },
    save: () => undefined,
    restore: () => undefined,
    ...NO_MARK,
  };
}
