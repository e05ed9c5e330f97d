import type { ConfigField } from '../device.ts';

/** virtio-blk: VIRTIO 1.2, section 5.2; struct virtio_blk_config and requests of linux/virtio_blk.h. */
export const BLOCK_DEVICE_ID = 2;

export const BLK_F_SEG_MAX = 2;
export const BLK_F_GEOMETRY = 4;
export const BLK_F_RO = 5;
export const BLK_F_BLK_SIZE = 6;
/** Legacy: SCSI packet commands; QEMU offers the bit and answers UNSUPP. */
export const BLK_F_SCSI = 7;
export const BLK_F_FLUSH = 9;
export const BLK_F_TOPOLOGY = 10;
export const BLK_F_CONFIG_WCE = 11;
export const BLK_F_MQ = 12;
export const BLK_F_DISCARD = 13;
export const BLK_F_WRITE_ZEROES = 14;

/** Request types. Bit 0 says that the driver sends data. */
export const BLK_T_IN = 0;
export const BLK_T_OUT = 1;
export const BLK_T_FLUSH = 4;
export const BLK_T_GET_ID = 8;
export const BLK_T_DISCARD = 11;
export const BLK_T_WRITE_ZEROES = 13;
/** Legacy: may be set in any request; ignored, as in QEMU. */
export const BLK_T_BARRIER = 0x8000_0000;

export const BLK_S_OK = 0;
export const BLK_S_IOERR = 1;
export const BLK_S_UNSUPP = 2;

/** Bytes of a sector in requests and in capacity, whatever blk_size says. */
export const SECTOR = 512;
/** u32 type, u32 reserved, u64 sector. */
export const BLK_HEADER_BYTES = 16;
export const BLK_ID_BYTES = 20;
/** u64 sector, u32 sectors, u32 flags. */
export const BLK_SEGMENT_BYTES = 16;
export const BLK_SEGMENT_F_UNMAP = 1;

export const BLOCK_CONFIG: readonly ConfigField[] = [
  { offset: 0x00, size: 8, name: 'capacity' },
  { offset: 0x08, size: 4, name: 'size_max' },
  { offset: 0x0c, size: 4, name: 'seg_max' },
  { offset: 0x10, size: 2, name: 'geometry.cylinders' },
  { offset: 0x12, size: 1, name: 'geometry.heads' },
  { offset: 0x13, size: 1, name: 'geometry.sectors' },
  { offset: 0x14, size: 4, name: 'blk_size' },
  { offset: 0x18, size: 1, name: 'topology.physical_block_exp' },
  { offset: 0x19, size: 1, name: 'topology.alignment_offset' },
  { offset: 0x1a, size: 2, name: 'topology.min_io_size' },
  { offset: 0x1c, size: 4, name: 'topology.opt_io_size' },
  { offset: 0x20, size: 1, name: 'writeback' },
  { offset: 0x22, size: 2, name: 'num_queues' },
  { offset: 0x24, size: 4, name: 'max_discard_sectors' },
  { offset: 0x28, size: 4, name: 'max_discard_seg' },
  { offset: 0x2c, size: 4, name: 'discard_sector_alignment' },
  { offset: 0x30, size: 4, name: 'max_write_zeroes_sectors' },
  { offset: 0x34, size: 4, name: 'max_write_zeroes_seg' },
  { offset: 0x38, size: 1, name: 'write_zeroes_may_unmap' },
];
/** Bytes of the configuration space up to and with write_zeroes_may_unmap, where QEMU's ends. */
export const BLOCK_CONFIG_BYTES = 0x39;
