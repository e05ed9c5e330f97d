import type { ConfigField } from '../device.ts';

/** virtio-net: VIRTIO 1.2, section 5.1; linux/virtio_net.h. */
export const NET_DEVICE_ID = 1;

/**
 * Low word: checksum and segmentation left to the other side, CSUM, GUEST_CSUM and GUEST_TSO4 to HOST_UFO (bits 7 to
 * 14). QEMU offers them only with a back end that takes virtio's header (a tap). High word: the same of USO (54 to 56).
 */
export const NET_F_OFFLOADS_LOW = 0x7f83;
export const NET_F_OFFLOADS_HIGH = 0x01c0_0000;
export const NET_F_CTRL_GUEST_OFFLOADS = 2;
export const NET_F_MAC = 5;
/** Legacy: offload of everything; QEMU offers the bit alone, without what it would mean. */
export const NET_F_GSO = 6;
export const NET_F_MRG_RXBUF = 15;
export const NET_F_STATUS = 16;
export const NET_F_CTRL_VQ = 17;
export const NET_F_CTRL_RX = 18;
export const NET_F_CTRL_VLAN = 19;
export const NET_F_CTRL_RX_EXTRA = 20;
export const NET_F_GUEST_ANNOUNCE = 21;
export const NET_F_CTRL_MAC_ADDR = 23;

export const NET_S_LINK_UP = 1;
export const NET_S_ANNOUNCE = 2;

/** Queues without MQ. */
export const NET_RX = 0;
export const NET_TX = 1;
export const NET_CTRL = 2;

/** struct virtio_net_hdr: with num_buffers (modern, or MRG_RXBUF) and without (5.1.6). */
export const NET_HEADER_BYTES = 12;
export const NET_SHORT_HEADER_BYTES = 10;
/** Longest frame that is taken from the driver; QEMU's NET_BUFSIZE. */
export const MOST_FRAME_BYTES = 4096 + 65536;

export const MAC_BYTES = 6;

/** Control commands: class, and the commands of each (5.1.6.5). */
export const CTRL_RX = 0;
export const CTRL_MAC = 1;
export const CTRL_MAC_TABLE_SET = 0;
export const CTRL_MAC_ADDR_SET = 1;
export const CTRL_VLAN = 2;
export const CTRL_VLAN_ADD = 0;
export const CTRL_VLAN_DEL = 1;
export const CTRL_ANNOUNCE = 3;
export const CTRL_ANNOUNCE_ACK = 0;
export const CTRL_OK = 0;
export const CTRL_ERR = 1;

export const NET_CONFIG: readonly ConfigField[] = [
  { offset: 0, size: 6, name: 'mac' },
  { offset: 6, size: 2, name: 'status' },
  { offset: 8, size: 2, name: 'max_virtqueue_pairs' },
  { offset: 10, size: 2, name: 'mtu' },
];
/** Bytes of the configuration space without MQ and MTU. */
export const NET_CONFIG_BYTES = 8;
