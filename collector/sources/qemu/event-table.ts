import type { EventBatch } from '../../../trace/columns.ts';
import { EVENT } from '../../../trace/events.ts';
import { DIR_READ, DIR_WRITE, IOREQ_TYPE, packIoreqInfo } from '../../../trace/ioreq.ts';
import { compileFormat, type ScanArgs, type ScanFormat } from './scan.ts';

/**
 * The trace events of QEMU whose arguments are kept. Names, argument order and formats are those of the
 * trace-events files of QEMU 7.2 and 10.0, which agree on every event here: hw/virtio, hw/block, hw/xen and
 * (ioreq events of 7.2) hw/i386/xen; xen_create_virtio_mmio_devices: hw/arm (8.1), hw/xen (10.0).
 *
 * The text backends print an event as its name, a space and the format; the simple backend stores the
 * arguments in the same order, one u64 each (none of these events has a string).
 */
export interface QemuEventSpec {
  readonly name: string;
  readonly kind: number;
  readonly format: ScanFormat;
  /** False if the arguments cannot be what the event is about (a direction of 7, a size of 4000). */
  readonly valid: ((a: ScanArgs) => boolean) | undefined;
  /** Stores the arguments into row `i`, whose payload columns are zero. */
  readonly put: (out: EventBatch, i: number, a: ScanArgs) => void;
}

type Put = QemuEventSpec['put'];

function spec(
  name: string,
  kind: { readonly id: number },
  format: string,
  put: Put,
  valid?: QemuEventSpec['valid'],
): QemuEventSpec {
  return { name, kind: kind.id, format: compileFormat(format), put, valid };
}

/** Argument `from` as the 64-bit address column. */
function addr(out: EventBatch, i: number, a: ScanArgs, from: number): void {
  out.addr[2 * i] = a.lo[from]!;
  out.addr[2 * i + 1] = a.hi[from]!;
}

function data(out: EventBatch, i: number, a: ScanArgs, from: number): void {
  out.data[2 * i] = a.lo[from]!;
  out.data[2 * i + 1] = a.hi[from]!;
}

const fits = (a: ScanArgs, arg: number, max: number): boolean => a.hi[arg] === 0 && a.lo[arg]! <= max;

/** Where an ioreq event has its arguments; -1 = not among them. */
interface IoreqArgs {
  type: number;
  dir: number;
  ptr: number;
  addr: number;
  size: number;
}

const HANDLE: IoreqArgs = { type: 1, dir: 2, ptr: 4, addr: 5, size: 8 };
const HANDLE_RW: IoreqArgs = { type: 1, dir: -1, ptr: 3, addr: 4, size: 7 };
const MOVE: IoreqArgs = { type: -1, dir: 1, ptr: 3, addr: 4, size: 7 };

/** `data` follows `addr` in all of them. The printed port= is the address. */
function ioreq(
  name: string,
  kind: { readonly id: number },
  format: string,
  at: IoreqArgs,
  type: number,
  dir: number,
): QemuEventSpec {
  const isOther = kind.id === EVENT.DM_OTHER.id;
  const put: Put = (out, i, a) => {
    addr(out, i, a, at.addr);
    data(out, i, a, at.addr + 1);
    const info = packIoreqInfo(
      a.lo[at.size]!,
      at.dir < 0 ? dir : a.lo[at.dir]!,
      a.lo[at.ptr]!,
      0,
      at.type < 0 ? type : a.lo[at.type]!,
    );
    if (isOther) out.arg1[i] = info;
    else out.arg0[i] = info;
  };
  const valid = (a: ScanArgs): boolean =>
    fits(a, at.size, 255) &&
    fits(a, at.ptr, 1) &&
    (at.dir < 0 || fits(a, at.dir, 1)) &&
    (at.type < 0 || fits(a, at.type, 255));
  return spec(name, kind, format, put, valid);
}

const IOREQ_TAIL = 'df=%d ptr=%d port=0x%x data=0x%x count=%d size=%d';

const vdevVq: Put = (out, i, a) => {
  addr(out, i, a, 0);
  data(out, i, a, 1);
};
const vdevReqValue: Put = (out, i, a) => {
  vdevVq(out, i, a);
  out.arg0[i] = a.lo[2]!;
};
const blkRequest: Put = (out, i, a) => {
  vdevVq(out, i, a);
  out.arg0[i] = a.lo[2]!;
  out.arg1[i] = a.hi[2]!;
  out.arg2[i] = a.lo[3]!;
};
const elemAndTwo: Put = (out, i, a) => {
  vdevVq(out, i, a);
  out.arg0[i] = a.lo[2]!;
  out.arg1[i] = a.lo[3]!;
};
/** DM_OTHER of a range: arg1 = ioreq server id, addr = first and data = last address. */
const range: Put = (out, i, a) => {
  out.arg1[i] = a.lo[0]!;
  addr(out, i, a, 1);
  data(out, i, a, 2);
};
/** DM_OTHER with a server id (arg1) and one more number (arg2). */
const idAndFlag: Put = (out, i, a) => {
  out.arg1[i] = a.lo[0]!;
  if (a.count > 1) out.arg2[i] = a.lo[1]!;
};
const addrOnly: Put = (out, i, a) => {
  addr(out, i, a, 0);
};

const RANGE = 'id: %u start: 0x%x end: 0x%x';
const BLK_RW = 'vdev %p req %p sector %U nsectors %U';

/**
 * Rows of DM_OTHER have arg0 = the name; what else they hold is said beside them here. All other kinds are
 * as trace/events.ts says.
 */
export const QEMU_EVENTS: readonly QemuEventSpec[] = [
  ioreq(
    'handle_ioreq',
    EVENT.DM_IOREQ,
    'I/O=%p type=%d dir=%d ' + IOREQ_TAIL,
    HANDLE,
    IOREQ_TYPE.COPY,
    DIR_WRITE,
  ),
  ioreq(
    'handle_ioreq_read',
    EVENT.DM_IOREQ_READ_DONE,
    'I/O=%p read type=%d ' + IOREQ_TAIL,
    HANDLE_RW,
    IOREQ_TYPE.COPY,
    DIR_READ,
  ),
  ioreq(
    'handle_ioreq_write',
    EVENT.DM_IOREQ_WRITE,
    'I/O=%p write type=%d ' + IOREQ_TAIL,
    HANDLE_RW,
    IOREQ_TYPE.COPY,
    DIR_WRITE,
  ),
  ioreq(
    'cpu_ioreq_move',
    EVENT.DM_IOREQ_MOVE,
    'I/O=%p copy dir=%d ' + IOREQ_TAIL,
    MOVE,
    IOREQ_TYPE.COPY,
    DIR_WRITE,
  ),
  /** addr, data; arg1 info. */
  ioreq('cpu_ioreq_pio', EVENT.DM_OTHER, 'I/O=%p pio dir=%d ' + IOREQ_TAIL, MOVE, IOREQ_TYPE.PIO, DIR_WRITE),
  spec('virtio_mmio_read', EVENT.DM_MMIO_READ, 'virtio_mmio_read offset 0x%x', addrOnly),
  spec('virtio_mmio_write_offset', EVENT.DM_MMIO_WRITE, 'virtio_mmio_write offset 0x%x value 0x%x', vdevVq),
  spec('virtio_mmio_setting_irq', EVENT.DM_SET_IRQ, 'virtio_mmio setting IRQ %d', (out, i, a) => {
    out.arg1[i] = a.lo[0]!;
  }),
  spec('virtio_queue_notify', EVENT.DM_QUEUE_NOTIFY, 'vdev %p n %d vq %p', (out, i, a) => {
    addr(out, i, a, 0);
    out.arg0[i] = a.lo[1]!;
    data(out, i, a, 2);
  }),
  spec('virtqueue_pop', EVENT.DM_POP, 'vq %p elem %p in_num %u out_num %u', elemAndTwo),
  spec('virtqueue_fill', EVENT.DM_FILL, 'vq %p elem %p len %u idx %u', elemAndTwo),
  spec('virtqueue_flush', EVENT.DM_FLUSH, 'vq %p count %u', (out, i, a) => {
    addr(out, i, a, 0);
    out.arg0[i] = a.lo[1]!;
  }),
  spec('virtio_notify', EVENT.DM_NOTIFY, 'vdev %p vq %p', vdevVq),
  spec('virtio_notify_irqfd', EVENT.DM_NOTIFY_IRQFD, 'vdev %p vq %p', vdevVq),
  spec('virtio_set_status', EVENT.DM_SET_STATUS, 'vdev %p val %u', (out, i, a) => {
    addr(out, i, a, 0);
    out.arg0[i] = a.lo[1]!;
  }),
  spec('virtio_blk_handle_read', EVENT.DM_BLK_READ, BLK_RW, blkRequest, (a) => a.hi[3] === 0),
  spec('virtio_blk_handle_write', EVENT.DM_BLK_WRITE, BLK_RW, blkRequest, (a) => a.hi[3] === 0),
  spec('virtio_blk_rw_complete', EVENT.DM_BLK_RW_DONE, 'vdev %p req %p ret %d', vdevReqValue),
  spec('virtio_blk_req_complete', EVENT.DM_BLK_DONE, 'vdev %p req %p status %d', vdevReqValue),
  /** arg1 server id; arg2 enabled. */
  spec('xen_ioreq_server_create', EVENT.DM_OTHER, 'id: %u', idAndFlag),
  spec('xen_ioreq_server_destroy', EVENT.DM_OTHER, 'id: %u', idAndFlag),
  spec('xen_ioreq_server_state', EVENT.DM_OTHER, 'id: %u: enable: %d', idAndFlag),
  /** arg1 server id; addr first, data last address. */
  spec('xen_map_mmio_range', EVENT.DM_OTHER, RANGE, range),
  spec('xen_unmap_mmio_range', EVENT.DM_OTHER, RANGE, range),
  spec('xen_map_portio_range', EVENT.DM_OTHER, RANGE, range),
  spec('xen_unmap_portio_range', EVENT.DM_OTHER, RANGE, range),
  /** arg1 server id; addr where the ioreq pages are mapped in the device model. */
  spec('xen_map_resource_ioreq', EVENT.DM_OTHER, 'id: %u addr: %p', (out, i, a) => {
    out.arg1[i] = a.lo[0]!;
    addr(out, i, a, 1);
  }),
  /** addr register base; arg1 running number, arg2 SPI. */
  spec(
    'xen_create_virtio_mmio_devices',
    EVENT.DM_OTHER,
    'Created virtio-mmio device %d: irq %d base 0x%x',
    (out, i, a) => {
      out.arg1[i] = a.lo[0]!;
      out.arg2[i] = a.lo[1]!;
      addr(out, i, a, 2);
    },
  ),
  /** addr guest physical address, bucket, or host pointer. */
  spec('xen_map_cache', EVENT.DM_OTHER, 'want 0x%x', addrOnly),
  spec('xen_map_cache_return', EVENT.DM_OTHER, '%p', addrOnly),
  spec('xen_remap_bucket', EVENT.DM_OTHER, 'index 0x%x', addrOnly),
  spec('xen_invalidate_map_cache_entry_unlocked_not_found', EVENT.DM_OTHER, 'could not find %p', addrOnly),
  /** addr value, arg1 largest size (legacy) | addr page size, arg1 shift. */
  spec('virtio_mmio_queue_write', EVENT.DM_OTHER, 'mmio_queue write 0x%x max %d', (out, i, a) => {
    addr(out, i, a, 0);
    out.arg1[i] = a.lo[1]!;
  }),
  spec('virtio_mmio_guest_page', EVENT.DM_OTHER, 'guest page size 0x%x shift %d', (out, i, a) => {
    addr(out, i, a, 0);
    out.arg1[i] = a.lo[1]!;
  }),
];
