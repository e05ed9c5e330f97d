import type { DeviceKind } from './target.ts';

/** Feature bits of rings and transports (VIRTIO 1.2, section 6, and 6.3). */
const COMMON: Readonly<Record<number, string>> = {
  24: 'NOTIFY_ON_EMPTY',
  27: 'ANY_LAYOUT',
  28: 'INDIRECT_DESC',
  29: 'EVENT_IDX',
  32: 'VERSION_1',
  33: 'ACCESS_PLATFORM',
  34: 'RING_PACKED',
  35: 'IN_ORDER',
  36: 'ORDER_PLATFORM',
  37: 'SR_IOV',
  38: 'NOTIFICATION_DATA',
  39: 'NOTIF_CONFIG_DATA',
  40: 'RING_RESET',
};

/** Feature bits of each device type: VIRTIO 1.2, 5.1.3, 5.2.3, 5.3.3, 5.7.3, and the legacy ones. */
const BY_KIND: Readonly<Record<DeviceKind, Readonly<Record<number, string>>>> = {
  net: {
    0: 'CSUM',
    1: 'GUEST_CSUM',
    2: 'CTRL_GUEST_OFFLOADS',
    3: 'MTU',
    5: 'MAC',
    6: 'GSO',
    7: 'GUEST_TSO4',
    8: 'GUEST_TSO6',
    9: 'GUEST_ECN',
    10: 'GUEST_UFO',
    11: 'HOST_TSO4',
    12: 'HOST_TSO6',
    13: 'HOST_ECN',
    14: 'HOST_UFO',
    15: 'MRG_RXBUF',
    16: 'STATUS',
    17: 'CTRL_VQ',
    18: 'CTRL_RX',
    19: 'CTRL_VLAN',
    20: 'CTRL_RX_EXTRA',
    21: 'GUEST_ANNOUNCE',
    22: 'MQ',
    23: 'CTRL_MAC_ADDR',
    54: 'GUEST_USO4',
    55: 'GUEST_USO6',
    56: 'HOST_USO',
    57: 'HASH_REPORT',
    59: 'GUEST_HDRLEN',
    60: 'RSS',
    61: 'RSC_EXT',
    62: 'STANDBY',
    63: 'SPEED_DUPLEX',
  },
  blk: {
    0: 'BARRIER',
    1: 'SIZE_MAX',
    2: 'SEG_MAX',
    4: 'GEOMETRY',
    5: 'RO',
    6: 'BLK_SIZE',
    7: 'SCSI',
    9: 'FLUSH',
    10: 'TOPOLOGY',
    11: 'CONFIG_WCE',
    12: 'MQ',
    13: 'DISCARD',
    14: 'WRITE_ZEROES',
    15: 'LIFETIME',
    16: 'SECURE_ERASE',
  },
  console: { 0: 'SIZE', 1: 'MULTIPORT', 2: 'EMERG_WRITE' },
  gpu: { 0: 'VIRGL', 1: 'EDID', 2: 'RESOURCE_UUID', 3: 'RESOURCE_BLOB', 4: 'CONTEXT_INIT' },
};

/** 'GEOMETRY', or 'bit 20' where there is no name. */
export function featureName(kind: DeviceKind, bit: number): string {
  return BY_KIND[kind][bit] ?? COMMON[bit] ?? `bit ${bit}`;
}
