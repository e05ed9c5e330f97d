import type { DeviceKind } from '../../target.ts';

/** Feature bits of device types by number (VIRTIO 1.2, 5.1.3, 5.2.3, 5.3.3 and 5.7.3), as far as guests use them. */
const NAMES: Readonly<Record<DeviceKind, Readonly<Record<number, string>>>> = {
  blk: {
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
    16: 'SECURE_ERASE',
  },
  net: { 5: 'MAC', 15: 'MRG_RXBUF', 16: 'STATUS', 17: 'CTRL_VQ', 18: 'CTRL_RX', 19: 'CTRL_VLAN', 22: 'MQ' },
  console: { 0: 'SIZE', 1: 'MULTIPORT', 2: 'EMERG_WRITE' },
  gpu: { 0: 'VIRGL', 1: 'EDID', 2: 'RESOURCE_UUID', 3: 'RESOURCE_BLOB', 4: 'CONTEXT_INIT' },
};

/** 'GEOMETRY', or 'feature 20' where there is no name here. */
export function featureName(kind: DeviceKind, bit: number): string {
  return NAMES[kind][bit] ?? `feature ${bit}`;
}
