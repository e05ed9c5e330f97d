/**
 * The virtio-mmio register map. Source: Virtual I/O Device (VIRTIO) 1.2, section 4.2.2 (modern, version 2)
 * and 4.2.4 (legacy, version 1); access directions from there.
 */
export interface VirtioMmioRegister {
  offset: number;
  name: string;
  access: 'R' | 'W' | 'RW';
  legacyOnly?: true;
  modernOnly?: true;
}

export const VIRTIO_MMIO_REGISTERS: readonly VirtioMmioRegister[] = [
  { offset: 0x000, name: 'MagicValue', access: 'R' },
  { offset: 0x004, name: 'Version', access: 'R' },
  { offset: 0x008, name: 'DeviceID', access: 'R' },
  { offset: 0x00c, name: 'VendorID', access: 'R' },
  { offset: 0x010, name: 'DeviceFeatures', access: 'R' },
  { offset: 0x014, name: 'DeviceFeaturesSel', access: 'W' },
  { offset: 0x020, name: 'DriverFeatures', access: 'W' },
  { offset: 0x024, name: 'DriverFeaturesSel', access: 'W' },
  { offset: 0x028, name: 'GuestPageSize', access: 'W', legacyOnly: true },
  { offset: 0x030, name: 'QueueSel', access: 'W' },
  { offset: 0x034, name: 'QueueNumMax', access: 'R' },
  { offset: 0x038, name: 'QueueNum', access: 'W' },
  { offset: 0x03c, name: 'QueueAlign', access: 'W', legacyOnly: true },
  { offset: 0x040, name: 'QueuePFN', access: 'RW', legacyOnly: true },
  { offset: 0x044, name: 'QueueReady', access: 'RW', modernOnly: true },
  { offset: 0x050, name: 'QueueNotify', access: 'W' },
  { offset: 0x060, name: 'InterruptStatus', access: 'R' },
  { offset: 0x064, name: 'InterruptACK', access: 'W' },
  { offset: 0x070, name: 'Status', access: 'RW' },
  { offset: 0x080, name: 'QueueDescLow', access: 'W', modernOnly: true },
  { offset: 0x084, name: 'QueueDescHigh', access: 'W', modernOnly: true },
  { offset: 0x090, name: 'QueueDriverLow', access: 'W', modernOnly: true },
  { offset: 0x094, name: 'QueueDriverHigh', access: 'W', modernOnly: true },
  { offset: 0x0a0, name: 'QueueDeviceLow', access: 'W', modernOnly: true },
  { offset: 0x0a4, name: 'QueueDeviceHigh', access: 'W', modernOnly: true },
  { offset: 0x0ac, name: 'SHMSel', access: 'W', modernOnly: true },
  { offset: 0x0b0, name: 'SHMLenLow', access: 'R', modernOnly: true },
  { offset: 0x0b4, name: 'SHMLenHigh', access: 'R', modernOnly: true },
  { offset: 0x0b8, name: 'SHMBaseLow', access: 'R', modernOnly: true },
  { offset: 0x0bc, name: 'SHMBaseHigh', access: 'R', modernOnly: true },
  { offset: 0x0c0, name: 'QueueReset', access: 'RW', modernOnly: true },
  { offset: 0x0fc, name: 'ConfigGeneration', access: 'R', modernOnly: true },
];

export const REG_MAGIC = 0x000;
export const REG_DEVICE_ID = 0x008;
export const REG_QUEUE_NOTIFY = 0x050;
export const REG_INTERRUPT_STATUS = 0x060;
export const REG_INTERRUPT_ACK = 0x064;
export const REG_CONFIG = 0x100;

/** "virt" as the magic register gives it (VIRTIO 1.2, 4.2.2). */
export const VIRTIO_MMIO_MAGIC = 0x74726976;
/** Bytes of a device's window as Xen's tools lay it out (libxl_arm.c: VIRTIO_MMIO_DEV_SIZE). */
export const VIRTIO_MMIO_WINDOW = 0x200;
/** First virtio-mmio window and SPI of an Arm guest (xen/include/public/arch-arm.h). */
export const GUEST_VIRTIO_MMIO_BASE = 0x02000000;
export const GUEST_VIRTIO_MMIO_SIZE = 0x100000;
export const GUEST_VIRTIO_MMIO_SPI_FIRST = 33;

const NAME_BY_OFFSET = new Map(VIRTIO_MMIO_REGISTERS.map((r) => [r.offset, r.name]));

/** Name of the register at `offset` in a device's window; `Config+0xNN` in the configuration space. */
export function registerName(offset: number): string {
  const name = NAME_BY_OFFSET.get(offset);
  if (name !== undefined) return name;
  if (offset >= REG_CONFIG) return `Config+0x${(offset - REG_CONFIG).toString(16)}`;
  return `Reserved+0x${offset.toString(16)}`;
}

/** Device kinds by virtio device id. Source: VIRTIO 1.2, section 5; linux/virtio_ids.h. */
export const VIRTIO_DEVICE_NAMES: Readonly<Record<number, string>> = {
  1: 'net',
  2: 'blk',
  3: 'console',
  4: 'rng',
  5: 'balloon',
  8: 'scsi',
  9: '9p',
  16: 'gpu',
  18: 'input',
  19: 'vsock',
  20: 'crypto',
  23: 'iommu',
  25: 'sound',
  26: 'fs',
  34: 'i2c',
  41: 'gpio',
};
