/**
 * struct ioreq as numbers. Source: xen/include/public/hvm/ioreq.h (4.17 to 4.20 alike).
 *
 * `info` packs what does not fit the address and data columns into one u32, the same for every source:
 * bits 0-7 access size in bytes, bit 8 direction (1 = read), bit 9 data_is_ptr, bits 10-13 state,
 * bits 16-23 type, bits 24-31 ioreq server id. The layout of size, direction, pointer, type and server is
 * that of the IOREQ_SEND trace record, so that record is copied as it stands; its state bits are 0.
 */
export const IOREQ_TYPE = { PIO: 0, COPY: 1, PCI_CONFIG: 2, TIMEOFFSET: 7, INVALIDATE: 8 } as const;
export const IOREQ_STATE = { NONE: 0, READY: 1, INPROCESS: 2, RESP_READY: 3 } as const;
export const DIR_WRITE = 0;
export const DIR_READ = 1;

export function packIoreqInfo(
  size: number,
  dir: number,
  dataIsPtr: number,
  state: number,
  type: number,
): number {
  return (
    ((size & 0xff) |
      ((dir & 1) << 8) |
      ((dataIsPtr & 1) << 9) |
      ((state & 15) << 10) |
      ((type & 0xff) << 16)) >>>
    0
  );
}

export const ioreqSize = (info: number): number => info & 0xff;
export const ioreqDir = (info: number): number => (info >>> 8) & 1;
export const ioreqIsPtr = (info: number): number => (info >>> 9) & 1;
export const ioreqState = (info: number): number => (info >>> 10) & 15;
export const ioreqType = (info: number): number => (info >>> 16) & 0xff;
export const ioreqServer = (info: number): number => info >>> 24;

/** Length of one vCPU's slot in the shared ioreq page. */
export const IOREQ_SLOT_BYTES = 32;
