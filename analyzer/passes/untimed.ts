import type { EventColumns } from '../../trace/columns.ts';
import { TWO_32 } from '../../trace/columns.ts';
import { K } from '../../trace/events.ts';
import { DIR_READ, IOREQ_TYPE, ioreqDir, ioreqType } from '../../trace/ioreq.ts';
import { NO_DEVICE } from '../../trace/spans.ts';
import { REG_INTERRUPT_STATUS, REG_QUEUE_NOTIFY } from '../../trace/virtio-mmio.ts';
import type { DeviceMap } from './device-map.ts';

const { DM_IOREQ, REC_READ, REC_WRITE } = K;

/** Accesses by their content. */
export interface AccessCounts {
  reads: number;
  writes: number;
  invalidates: number;
  /** QueueNotify writes. */
  notifies: number;
  /** InterruptStatus reads. */
  statusReads: number;
  /** Ioreqs whose content no source shows. */
  unknown: number;
}

export function noAccesses(): AccessCounts {
  return { reads: 0, writes: 0, invalidates: 0, notifies: 0, statusReads: 0, unknown: 0 };
}

/**
 * Counts what a source without times holds: a device model's log, or recorded accesses. There are no spans to
 * be made of it, but its accesses are as good as any other's.
 */
export function countUntimed(batches: Iterable<EventColumns>, devices: DeviceMap): AccessCounts {
  const counts = noAccesses();
  for (const { length, kind, addr, arg0 } of batches) {
    for (let i = 0; i < length; i++) {
      const k = kind[i]!;
      if (k !== DM_IOREQ && k !== REC_READ && k !== REC_WRITE) continue;
      const info = arg0[i]!;
      if (k === DM_IOREQ && ioreqType(info) === IOREQ_TYPE.INVALIDATE) {
        counts.invalidates++;
        continue;
      }
      const read = k === REC_READ || (k === DM_IOREQ && ioreqDir(info) === DIR_READ);
      if (read) counts.reads++;
      else counts.writes++;
      const address = addr[2 * i]! + addr[2 * i + 1]! * TWO_32;
      const device = devices.find(address);
      if (device === NO_DEVICE) continue;
      const register = address - devices.devices[device]!.base;
      if (!read && register === REG_QUEUE_NOTIFY) counts.notifies++;
      if (read && register === REG_INTERRUPT_STATUS) counts.statusReads++;
    }
  }
  return counts;
}
