import { recorded } from '../../collector/memory/testing/recorded.ts';
import {
  GPU_ATTACH_BACKING,
  GPU_DETACH_BACKING,
  GPU_GET_DISPLAY_INFO,
  GPU_RESOURCE_CREATE_2D,
  GPU_RESOURCE_FLUSH,
  GPU_RESOURCE_UNREF,
  GPU_SET_SCANOUT,
  GPU_TRANSFER_TO_HOST_2D,
} from '../../devices/models/gpu-format.ts';
import { GpuDevice } from '../../devices/models/gpu.ts';

const KINDS = [
  GPU_GET_DISPLAY_INFO,
  GPU_RESOURCE_CREATE_2D,
  GPU_RESOURCE_CREATE_2D,
  GPU_ATTACH_BACKING,
  GPU_ATTACH_BACKING,
  GPU_TRANSFER_TO_HOST_2D,
  GPU_TRANSFER_TO_HOST_2D,
  GPU_SET_SCANOUT,
  GPU_RESOURCE_FLUSH,
  GPU_DETACH_BACKING,
  GPU_RESOURCE_UNREF,
];
/** Widths, heights and places at which sums and products of 32 bits go over, and harmless ones. */
const SIZES = [0, 1, 16, 64, 320, 0x4000, 0x8000, 0x8001, 0xffff_ffff];
const B8G8R8X8 = 2;
const BACKING_BYTES = 4096;

/**
 * A driver that sends a GPU commands of odd sizes, by numbers that follow from `seed`; recorded with our device model,
 * which answers all of them. JSON lines.
 */
export function hostileGpu(seed: number, commands: number): string {
  const rig = recorded(new GpuDevice({ width: 320, height: 200 }), 'split');
  const { driver, tracker } = rig;
  driver.get('DeviceID');
  driver.config(8, 4);
  driver.setUp({ queues: [64, 16] });
  const backing = driver.arena.put(new Uint8Array(BACKING_BYTES).fill(0x5a));
  let state = seed;
  const pick = <T>(from: readonly T[]): T => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return from[(state >>> 16) % from.length]!;
  };
  const send = (type: number, ...rest: number[]): void => {
    const words = Uint32Array.of(type, 0, 0, 0, 0, 0, ...rest);
    driver.request(0, [new Uint8Array(words.buffer)], [type === GPU_GET_DISPLAY_INFO ? 408 : 24]);
    driver.interrupt();
    driver.queue(0).used();
  };
  for (let n = 0; n < commands; n++) {
    const id = pick([1, 2, 3]);
    const rect = [pick(SIZES), pick(SIZES), pick(SIZES), pick(SIZES)];
    const type = pick(KINDS);
    if (type === GPU_GET_DISPLAY_INFO) send(type);
    else if (type === GPU_RESOURCE_CREATE_2D) send(type, id, B8G8R8X8, rect[2]!, rect[3]!);
    else if (type === GPU_ATTACH_BACKING) send(type, id, 1, backing.gpa, 0, BACKING_BYTES, 0);
    else if (type === GPU_TRANSFER_TO_HOST_2D) send(type, ...rect, 0, 0, id, 0);
    else if (type === GPU_SET_SCANOUT) send(type, ...rect, 0, id);
    else if (type === GPU_RESOURCE_FLUSH) send(type, ...rect, id, 0);
    else send(type, id, 0);
  }
  tracker.finish();
  return rig.text();
}
