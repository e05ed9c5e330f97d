import { VIRTIO_MMIO_MAGIC } from '../../trace/virtio-mmio.ts';
import type { RegisterBus } from '../device.ts';
import { VENDOR_QEMU } from './registers.ts';

/**
 * A virtio-mmio slot without a device: DeviceID 0 tells the driver that there is nothing (VIRTIO 1.2, 4.2.3.1.1).
 * All else reads as 0 and ignores writes, as in QEMU, whose machines have a fixed number of slots.
 */
export class EmptySlot implements RegisterBus {
  private readonly version: 1 | 2;

  constructor(version: 1 | 2) {
    this.version = version;
  }

  read(offset: number, size: number): number {
    if (size !== 4) return 0;
    if (offset === 0) return VIRTIO_MMIO_MAGIC;
    if (offset === 4) return this.version;
    return offset === 0xc ? VENDOR_QEMU : 0;
  }

  write(): void {
    // Nothing to write to.
  }
}
