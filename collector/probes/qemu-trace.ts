import type { HostView } from './host-view.ts';
import type { Refusal } from './probe-line.ts';

/** QEMU's trace events about ioreqs and virtio (QEMU hw/xen/trace-events, hw/virtio/trace-events, hw/block). */
export const QEMU_EVENTS = [
  'handle_ioreq*',
  'cpu_ioreq*',
  'virtio_mmio*',
  'virtqueue_*',
  'virtio_queue_notify',
  'virtio_notify*',
  'virtio_set_status',
  'virtio_blk_*',
];

/** Sockets of the monitors over which QEMU's own trace can be had, and why it cannot of the others. */
export function planQemu(view: HostView): { monitors: string[]; refused: Refusal[] } {
  const monitors: string[] = [];
  const refused: Refusal[] = [];
  const refuse = (why: string): number => refused.push({ hook: 'qemu', why });
  for (const { kind, pid, qmpSocket, traceLog } of view.deviceModels) {
    if (kind !== 'qemu') continue;
    if (qmpSocket === undefined) refuse(`process ${pid} has no QMP monitor (start QEMU with -qmp unix:...)`);
    else if (traceLog === undefined) {
      refuse(`process ${pid} writes its log nowhere that can be read (start QEMU with -D FILE)`);
    } else monitors.push(qmpSocket);
  }
  if (monitors.length + refused.length === 0) refuse('no device model of the domain is a QEMU');
  return { monitors, refused };
}
