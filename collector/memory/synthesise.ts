import { NO_VCPU } from '../../trace/ids.ts';
import { VIRTIO_MMIO_MAGIC } from '../../trace/virtio-mmio.ts';
import type { ChainTracker } from './chain-tracker.ts';
import { u16, type ReadGuest } from './chains/guest.ts';
import type { DeviceState, QueueState } from './qemu-state.ts';

/** Member of records that nobody saw happen (docs/ACCESS-JSONL.md). */
const SYNTH = '"synth":true';
const RING_PACKED_HIGH = 1 << 2;

/** Status bits (VIRTIO 1.2, 2.1). */
const ACKNOWLEDGE = 1;
const DRIVER = 2;
const DRIVER_OK = 4;
const FEATURES_OK = 8;

/**
 * Tells `tracker` of a device that was set up before the recording began, as the accesses with which a driver would
 * have done it (VIRTIO 1.2, 3.1.1 and 4.2.3), and where its queues are now. The device model must stand still.
 *
 * Chains that the device has and has not used yet are recorded as available to it: a replay does them again. Which
 * they are is certain only while it uses them in order, so their number is returned (as the monitor told).
 */
export function synthesise(tracker: ChainTracker, read: ReadGuest, device: DeviceState): number {
  const { window } = device;
  const gave = (offset: number, value: number): void => {
    tracker.read(NO_VCPU, window + offset, 4, value, 0, SYNTH);
  };
  const wrote = (offset: number, value: number): void => {
    tracker.write(NO_VCPU, window + offset, 4, value >>> 0, 0, SYNTH);
  };
  gave(0x000, VIRTIO_MMIO_MAGIC);
  gave(0x004, device.version);
  gave(0x008, device.deviceId);
  for (const status of [0, ACKNOWLEDGE, ACKNOWLEDGE | DRIVER]) wrote(0x070, status);
  const words = device.version === 1 ? [0] : [1, 0];
  for (const word of words) {
    if (device.deviceFeatures === undefined) break;
    wrote(0x014, word);
    gave(0x010, device.deviceFeatures[word]!);
  }
  for (const word of words) {
    wrote(0x024, word);
    wrote(0x020, device.driverFeatures[word]!);
  }
  const legacy = device.version === 1;
  if (legacy) wrote(0x028, 4096);
  else wrote(0x070, ACKNOWLEDGE | DRIVER | FEATURES_OK);
  for (const queue of device.queues) setUpQueue(queue, legacy, gave, wrote);
  wrote(0x070, ACKNOWLEDGE | DRIVER | DRIVER_OK | (legacy ? 0 : FEATURES_OK));
  // A packed ring does not show where its device is.
  const packed = (device.driverFeatures[1] & RING_PACKED_HIGH) !== 0;
  let inFlight = 0;
  for (const { index, used, inFlight: taken } of device.queues) {
    inFlight += taken;
    const found = packed ? undefined : read(used + 2, 2);
    if (found === undefined) continue;
    const usedIndex = u16(found, 0);
    tracker.position(tracker.transport(window), index, usedIndex, usedIndex);
  }
  return inFlight;
}

function setUpQueue(
  queue: QueueState,
  legacy: boolean,
  gave: (offset: number, value: number) => void,
  wrote: (offset: number, value: number) => void,
): void {
  wrote(0x030, queue.index);
  gave(0x034, queue.numMax);
  wrote(0x038, queue.num);
  if (legacy) {
    wrote(0x03c, queue.align);
    wrote(0x040, Math.floor(queue.desc / 4096));
    return;
  }
  for (const [offset, address] of [
    [0x080, queue.desc],
    [0x090, queue.avail],
    [0x0a0, queue.used],
  ] as const) {
    wrote(offset, address % 0x1_0000_0000);
    wrote(offset + 4, Math.floor(address / 0x1_0000_0000));
  }
  wrote(0x044, 1);
}
