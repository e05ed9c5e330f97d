/**
 * The vhost-user protocol, front-end side: QEMU's docs/interop/vhost-user.rst. A message is u32 request, u32
 * flags, u32 size and `size` bytes; all little endian on the machines where we run.
 */
export const REQUEST = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  SET_MEM_TABLE: 5,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  GET_CONFIG: 24,
  SET_CONFIG: 25,
  GPU_SET_SOCKET: 33,
} as const;

export type Request = (typeof REQUEST)[keyof typeof REQUEST];

export const HEADER_BYTES = 12;
export const VERSION = 1;
export const FLAG_REPLY = 4;
export const FLAG_NEED_REPLY = 8;

/** Feature bit (not of the device): there are protocol features to negotiate. */
export const F_PROTOCOL_FEATURES = 30;
/** Protocol feature bits. */
export const PROTOCOL_F_MQ = 0;
export const PROTOCOL_F_REPLY_ACK = 3;
export const PROTOCOL_F_CONFIG = 9;

/** Most bytes of a configuration space that a message carries. */
export const MOST_CONFIG_BYTES = 256;
/** Most bytes of a message that we take. */
export const MOST_MESSAGE_BYTES = 4096;

/** What every back-end can map: the protocol's own limit before configurable slots. */
export const MOST_REGIONS = 8;

export interface Region {
  /** Guest-physical address. */
  gpa: number;
  length: number;
  /** Where it begins in the file that the descriptor names. */
  fileOffset: number;
}

export function header(request: number, flags: number, size: number): Uint8Array {
  const words = new DataView(new ArrayBuffer(HEADER_BYTES));
  words.setUint32(0, request, true);
  words.setUint32(4, VERSION | flags, true);
  words.setUint32(8, size, true);
  return new Uint8Array(words.buffer);
}

export function u64Payload(low: number, high = 0): Uint8Array {
  const words = new DataView(new ArrayBuffer(8));
  words.setUint32(0, low, true);
  words.setUint32(4, high, true);
  return new Uint8Array(words.buffer);
}

/** struct vhost_vring_state: u32 index, u32 num. */
export function vringState(index: number, num: number): Uint8Array {
  return u64Payload(index, num);
}

/**
 * struct vhost_vring_addr: u32 index, u32 flags, u64 descriptors, used, available, log. The addresses are the
 * front-end's own; ours are guest-physical ones, see memTable.
 */
export function vringAddress(index: number, desc: number, used: number, avail: number): Uint8Array {
  const words = new DataView(new ArrayBuffer(40));
  words.setUint32(0, index, true);
  setU64(words, 8, desc);
  setU64(words, 16, used);
  setU64(words, 24, avail);
  return new Uint8Array(words.buffer);
}

/**
 * u32 regions, u32 padding, and for each u64 guest address, size, user address, offset in the file. A back-end only
 * computes with user addresses: giving the guest-physical one keeps one number for one place.
 */
export function memTable(regions: readonly Region[]): Uint8Array {
  const words = new DataView(new ArrayBuffer(8 + 32 * regions.length));
  words.setUint32(0, regions.length, true);
  for (const [i, { gpa, length, fileOffset }] of regions.entries()) {
    const at = 8 + 32 * i;
    setU64(words, at, gpa);
    setU64(words, at + 8, length);
    setU64(words, at + 16, gpa);
    setU64(words, at + 24, fileOffset);
  }
  return new Uint8Array(words.buffer);
}

/** u32 offset, u32 size, u32 flags, bytes. A request to read has room for what comes back. */
export function configPayload(offset: number, bytes: Uint8Array): Uint8Array {
  const payload = new Uint8Array(12 + bytes.length);
  const words = new DataView(payload.buffer);
  words.setUint32(0, offset, true);
  words.setUint32(4, bytes.length, true);
  payload.set(bytes, 12);
  return payload;
}

function setU64(words: DataView, at: number, value: number): void {
  words.setUint32(at, value % 0x1_0000_0000, true);
  words.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}
