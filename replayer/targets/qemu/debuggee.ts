import type { DeviceKind, Debuggee } from '../../target.ts';

/** Functions that QEMU exports for its modules, so that even a stripped one has them. */
const EVERY = ['virtio_queue_notify', 'virtqueue_pop', 'virtqueue_push', 'virtio_notify'];
const OF_KIND: Readonly<Record<DeviceKind, readonly string[]>> = {
  blk: ['virtio_blk_handle_vq'],
  net: [],
  console: ['virtio_serial_write'],
  gpu: ['virtio_gpu_process_cmdq'],
};

/** The line that attaches gdb to a QEMU and stops where devices meet the guest. */
export function debuggee(pid: number, kinds: readonly DeviceKind[]): Debuggee {
  const places = [...EVERY, ...new Set(kinds.flatMap((kind) => OF_KIND[kind]))];
  const words = [
    ...['set pagination off', 'set breakpoint pending on', 'handle SIGUSR1 SIGUSR2 nostop noprint pass'],
    ...places.map((place) => `break ${place}`),
  ];
  return { pid, attach: `gdb -p ${pid} ${words.map((word) => `-ex '${word}'`).join(' ')}` };
}
