import type { DeviceFacts } from '../../trace/manifest.ts';
import { NO_DEVICE } from '../../trace/spans.ts';

/** Guest physical address → device, for the few windows a domain has. */
export class DeviceMap {
  readonly devices: readonly DeviceFacts[];
  private last = 0;

  constructor(devices: readonly DeviceFacts[]) {
    this.devices = devices;
  }

  /** Index into `devices` of the window that holds `address`; NO_DEVICE if none does. */
  find(address: number): number {
    const devices = this.devices;
    for (let n = 0; n < devices.length; n++) {
      const d = (this.last + n) % devices.length;
      const { base, size } = devices[d]!;
      if (address >= base && address < base + size) {
        this.last = d;
        return d;
      }
    }
    return NO_DEVICE;
  }

  bySpi(spi: number): number {
    const at = this.devices.findIndex((d) => d.spi === spi);
    return at < 0 ? NO_DEVICE : at;
  }
}
