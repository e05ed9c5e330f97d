import { VIRTIO_MMIO_MAGIC, VIRTIO_MMIO_REGISTERS } from '../../trace/virtio-mmio.ts';
import type { QueueState } from '../queue/queue.ts';
import type { TransportState } from './state.ts';

/** "QEMU" as the vendor register gives it: the device models of Xen on Arm are QEMU's. */
export const VENDOR_QEMU = 0x554d4551;

/** What the registers act on: the transport, as far as they need it. */
export interface RegisterTarget {
  readonly version: 1 | 2;
  readonly model: { readonly deviceId: number };
  readonly vendor: number;
  readonly queueNumMax: number;
  readonly state: TransportState;
  /** The queue that QueueSel names, if the device has it. */
  selected(): QueueState | undefined;
  /** The word of the offered features that DeviceFeaturesSel names. */
  offeredWord(): number;
  setDriverFeatures(value: number): void;
  setStatus(value: number): void;
  acknowledge(bits: number): void;
  notify(index: number): void;
  setQueueNum(value: number): void;
  setQueueAlign(value: number): void;
  queuePfn(): number;
  setQueuePfn(value: number): void;
  setQueueReady(value: number): void;
  resetQueue(value: number): void;
}

type Read = (device: RegisterTarget) => number;
type Write = (device: RegisterTarget, value: number) => void;

/** No shared memory regions: a length of all ones (VIRTIO 1.2, 4.2.2, SHMLenLow). */
const noRegion: Read = () => 0xffff_ffff;
const stage =
  (word: number): Write =>
  (device, value) => {
    const queue = device.selected();
    if (queue !== undefined) queue.staged[word] = value;
  };

/** What a read of each readable register gives (VIRTIO 1.2, table 4.1 and, for legacy, 4.2.4). */
const READS: Readonly<Record<string, Read>> = {
  MagicValue: () => VIRTIO_MMIO_MAGIC,
  Version: (d) => d.version,
  DeviceID: (d) => d.model.deviceId,
  VendorID: (d) => d.vendor,
  DeviceFeatures: (d) => d.offeredWord(),
  QueueNumMax: (d) => (d.selected() === undefined ? 0 : d.queueNumMax),
  QueuePFN: (d) => d.queuePfn(),
  QueueReady: (d) => (d.selected()?.ready === true ? 1 : 0),
  InterruptStatus: (d) => d.state.interruptStatus,
  Status: (d) => d.state.status,
  SHMLenLow: noRegion,
  SHMLenHigh: noRegion,
  SHMBaseLow: noRegion,
  SHMBaseHigh: noRegion,
  // A reset is over before the write that asked for it returns, so it is never seen under way.
  QueueReset: () => 0,
  ConfigGeneration: (d) => d.state.configGeneration,
};

/** What a write of each writable register does. */
const WRITES: Readonly<Record<string, Write>> = {
  DeviceFeaturesSel: (d, value) => {
    d.state.deviceFeaturesSel = value;
  },
  DriverFeatures: (d, value) => {
    d.setDriverFeatures(value);
  },
  DriverFeaturesSel: (d, value) => {
    d.state.driverFeaturesSel = value;
  },
  GuestPageSize: (d, value) => {
    d.state.guestPageShift = value === 0 ? 0 : 31 - Math.clz32(value & -value);
  },
  // As QEMU: a number no device can have leaves the selection alone.
  QueueSel: (d, value) => {
    if (value < 1024) d.state.queueSel = value;
  },
  QueueNum: (d, value) => {
    d.setQueueNum(value);
  },
  QueueAlign: (d, value) => {
    d.setQueueAlign(value);
  },
  QueuePFN: (d, value) => {
    d.setQueuePfn(value);
  },
  QueueReady: (d, value) => {
    d.setQueueReady(value);
  },
  QueueNotify: (d, value) => {
    d.notify(value & 0xffff);
  },
  InterruptACK: (d, value) => {
    d.acknowledge(value);
  },
  Status: (d, value) => {
    d.setStatus(value & 0xff);
  },
  QueueDescLow: stage(0),
  QueueDescHigh: stage(1),
  QueueDriverLow: stage(2),
  QueueDriverHigh: stage(3),
  QueueDeviceLow: stage(4),
  QueueDeviceHigh: stage(5),
  SHMSel: () => undefined,
  QueueReset: (d, value) => {
    d.resetQueue(value);
  },
};

export interface RegisterFile {
  /** By offset / 4; undefined where a read gives 0. */
  reads: readonly (Read | undefined)[];
  /** By offset / 4; undefined where a write does nothing. */
  writes: readonly (Write | undefined)[];
}

/** The register file of one transport version, from the one table of the register map. */
function registerFile(version: 1 | 2): RegisterFile {
  const reads: (Read | undefined)[] = [];
  const writes: (Write | undefined)[] = [];
  for (const { offset, name, access, legacyOnly, modernOnly } of VIRTIO_MMIO_REGISTERS) {
    if (version === 1 ? modernOnly === true : legacyOnly === true) continue;
    if (access !== 'W') reads[offset >>> 2] = handler(READS, name);
    if (access !== 'R') writes[offset >>> 2] = handler(WRITES, name);
  }
  return { reads, writes };
}

function handler<T>(table: Readonly<Record<string, T>>, name: string): T {
  const found = table[name];
  if (found === undefined) throw new Error(`no handler for register ${name}`);
  return found;
}

export const LEGACY_REGISTERS = registerFile(1);
export const MODERN_REGISTERS = registerFile(2);
