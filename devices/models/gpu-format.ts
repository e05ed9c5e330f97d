import type { ConfigField } from '../device.ts';

/** virtio-gpu, 2D part: VIRTIO 1.2, section 5.7; linux/virtio_gpu.h. */
export const GPU_DEVICE_ID = 16;
export const GPU_F_EDID = 1;

export const GPU_CONTROL = 0;
export const GPU_CURSOR = 1;

export const GPU_GET_DISPLAY_INFO = 0x100;
export const GPU_RESOURCE_CREATE_2D = 0x101;
export const GPU_RESOURCE_UNREF = 0x102;
export const GPU_SET_SCANOUT = 0x103;
export const GPU_RESOURCE_FLUSH = 0x104;
export const GPU_TRANSFER_TO_HOST_2D = 0x105;
export const GPU_ATTACH_BACKING = 0x106;
export const GPU_DETACH_BACKING = 0x107;
export const GPU_GET_EDID = 0x10a;
export const GPU_UPDATE_CURSOR = 0x300;
export const GPU_MOVE_CURSOR = 0x301;

export const GPU_OK_NODATA = 0x1100;
export const GPU_OK_DISPLAY_INFO = 0x1101;
export const GPU_OK_EDID = 0x1104;
export const GPU_ERR_UNSPEC = 0x1200;
export const GPU_ERR_OUT_OF_MEMORY = 0x1201;
export const GPU_ERR_INVALID_SCANOUT_ID = 0x1202;
export const GPU_ERR_INVALID_RESOURCE_ID = 0x1203;
export const GPU_ERR_INVALID_PARAMETER = 0x1205;

export const GPU_FLAG_FENCE = 1;
/** u32 type, u32 flags, u64 fence id, u32 context, u8 ring, 3 bytes of padding. */
export const GPU_HEADER_BYTES = 24;
/** Whole length of each command, with its header; attach-backing is followed by its entries. */
export const GPU_COMMAND_BYTES: Readonly<Record<number, number>> = {
  [GPU_GET_DISPLAY_INFO]: 24,
  [GPU_RESOURCE_CREATE_2D]: 40,
  [GPU_RESOURCE_UNREF]: 32,
  [GPU_SET_SCANOUT]: 48,
  [GPU_RESOURCE_FLUSH]: 48,
  [GPU_TRANSFER_TO_HOST_2D]: 56,
  [GPU_ATTACH_BACKING]: 32,
  [GPU_DETACH_BACKING]: 32,
  [GPU_GET_EDID]: 32,
};
export const GPU_CURSOR_BYTES = 56;
/** u64 address, u32 length, u32 padding. */
export const GPU_ENTRY_BYTES = 16;
/** Most entries of one attach-backing, as QEMU. */
export const MOST_ENTRIES = 16384;
export const MOST_SCANOUTS = 16;
export const CURSOR_SIDE = 64;

/** Byte positions of red, green and blue in the 4 bytes of a pixel, by format (5.7.6.8). */
export const GPU_FORMATS: Readonly<Record<number, readonly [red: number, green: number, blue: number]>> = {
  1: [2, 1, 0],
  2: [2, 1, 0],
  3: [1, 2, 3],
  4: [1, 2, 3],
  67: [0, 1, 2],
  68: [3, 2, 1],
  121: [3, 2, 1],
  134: [0, 1, 2],
};

export const GPU_EVENT_DISPLAY = 1;
export const GPU_CONFIG: readonly ConfigField[] = [
  { offset: 0, size: 4, name: 'events_read' },
  { offset: 4, size: 4, name: 'events_clear' },
  { offset: 8, size: 4, name: 'num_scanouts' },
  { offset: 12, size: 4, name: 'num_capsets' },
];
export const GPU_CONFIG_BYTES = 16;
