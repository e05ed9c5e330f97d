import { writeAccessJsonl } from '../../sources/access-jsonl/write.ts';
import { NO_VCPU } from '../../../trace/ids.ts';
import type { DeviceModel, RegisterBus } from '../../../devices/device.ts';
import { MockDriver } from '../../../devices/driver/mock-driver.ts';
import { RamBanks } from '../../../devices/guest-memory.ts';
import { RAM_BASE, RAM_BYTES, type Variant } from '../../../devices/testing/rig.ts';
import { VirtioMmio } from '../../../devices/transport/virtio-mmio.ts';
import { ChainTracker } from '../chain-tracker.ts';

export const BASE = 0x0200_0000;

export interface Recorded {
  driver: MockDriver;
  device: VirtioMmio;
  ram: RamBanks;
  tracker: ChainTracker;
  /** What has been recorded so far, JSON lines. */
  text(): string;
}

/** A device with a driver, in transport 0, all of which is recorded on its way. */
export function recorded(model: DeviceModel, variant: Variant, contents = true): Recorded {
  const ram = new RamBanks([{ base: RAM_BASE, bytes: new Uint8Array(RAM_BYTES) }]);
  let text = '';
  const tracker = new ChainTracker({
    read: (gpa, length) => {
      try {
        return ram.view(gpa, length);
      } catch {
        return undefined;
      }
    },
    base: BASE,
    slots: 1,
    contents,
    flush: (batch) => (text += writeAccessJsonl(batch)),
  });
  let level = 0;
  const device = new VirtioMmio({
    version: variant === 'legacy' ? 1 : 2,
    packed: variant === 'packed',
    model,
    memory: ram,
    line: {
      set: (now) => {
        if (now !== level) tracker.line(0, 33, now);
        level = now;
      },
    },
  });
  const bus: RegisterBus = {
    read: (offset, size) => {
      tracker.reading(BASE + offset);
      const value = device.read(offset, size);
      tracker.read(NO_VCPU, BASE + offset, size, value);
      return value;
    },
    write: (offset, size, value) => {
      tracker.write(NO_VCPU, BASE + offset, size, value);
      device.write(offset, size, value);
    },
  };
  const driver = new MockDriver({ bus, memory: ram, base: RAM_BASE, length: RAM_BYTES });
  return {
    driver,
    device,
    ram,
    tracker,
    text: () => {
      tracker.flush();
      return text;
    },
  };
}
