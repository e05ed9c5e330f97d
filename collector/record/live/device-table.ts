import { NO_DEVICE } from '../../../trace/spans.ts';
import { VIRTIO_MMIO_WINDOW } from '../../../trace/virtio-mmio.ts';
import type { LiveDevice } from './latency.ts';

/** SPIs are 32 to 1019 (GIC architecture). */
const MAX_SPI = 1020;

/** The domain's devices by guest-physical address and by SPI; as numbers, an index into the list. */
export class DeviceTable {
  readonly count: number;
  private readonly low: Uint32Array;
  private readonly high: Uint32Array;
  private readonly ofSpi = new Uint16Array(MAX_SPI).fill(NO_DEVICE);

  constructor(devices: readonly LiveDevice[]) {
    this.count = devices.length;
    this.low = Uint32Array.from(devices, (d) => d.base % 2 ** 32);
    this.high = Uint32Array.from(devices, (d) => Math.floor(d.base / 2 ** 32));
    for (const [n, { spi }] of devices.entries()) if (spi > 0 && spi < MAX_SPI) this.ofSpi[spi] = n;
  }

  /** Device whose window holds the address; NO_DEVICE if none does. */
  at(low: number, high: number): number {
    for (let d = 0; d < this.count; d++) {
      // Windows are aligned to their size, so none crosses 4 GiB.
      if (high === this.high[d] && low - this.low[d]! >= 0 && low - this.low[d]! < VIRTIO_MMIO_WINDOW)
        return d;
    }
    return NO_DEVICE;
  }

  /** Offset of an address in the window of `device`, which holds it. */
  register(device: number, low: number): number {
    return low - this.low[device]!;
  }

  bySpi(spi: number): number {
    return spi < MAX_SPI ? this.ofSpi[spi]! : NO_DEVICE;
  }
}
