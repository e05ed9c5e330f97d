import { recordedConfig } from './config-view.ts';
import type { DevicePlan } from '../../target.ts';

/** Feature bits that a property of QEMU's device switches, by device kind (VIRTIO 1.2, 5.x.3 and 6). */
const COMMON: Readonly<Record<number, string>> = {
  28: 'indirect_desc',
  29: 'event_idx',
  33: 'iommu_platform',
  34: 'packed',
  35: 'in_order',
  40: 'queue_reset',
};
/** Offered by legacy transports only. */
const LEGACY: Readonly<Record<number, string>> = { 24: 'notify_on_empty', 27: 'any_layout' };
const OF_KIND: Readonly<Record<DevicePlan['kind'], Readonly<Record<number, string>>>> = {
  blk: { 11: 'config-wce', 13: 'discard', 14: 'write-zeroes' },
  net: {
    ...{ 0: 'csum', 1: 'guest_csum', 2: 'ctrl_guest_offloads', 6: 'gso', 7: 'guest_tso4', 8: 'guest_tso6' },
    ...{ 9: 'guest_ecn', 10: 'guest_ufo', 11: 'host_tso4', 12: 'host_tso6', 13: 'host_ecn', 14: 'host_ufo' },
    ...{ 15: 'mrg_rxbuf', 16: 'status', 17: 'ctrl_vq', 18: 'ctrl_rx', 19: 'ctrl_vlan', 20: 'ctrl_rx_extra' },
    ...{ 21: 'guest_announce', 22: 'mq', 23: 'ctrl_mac_addr', 54: 'guest_uso4', 55: 'guest_uso6' },
    ...{ 56: 'host_uso', 57: 'hash', 60: 'rss', 61: 'guest_rsc_ext' },
  },
  console: { 2: 'emergency-write' },
  gpu: { 1: 'edid', 3: 'blob' },
};

const NET_F_MTU = 3;
const BLK_F_MQ = 12;
const CONSOLE_F_MULTIPORT = 1;

/**
 * Properties that make a QEMU device offer what the recorded one offered, and hold what its configuration space
 * held: `name=value`. What this QEMU has no property for is left alone; the replay shows the difference.
 */
export function deviceProperties(plan: DevicePlan, known: ReadonlyMap<string, unknown>): string[] {
  const found = new Map<string, string>();
  const { offered } = plan;
  if (offered !== undefined) {
    const bits = { ...COMMON, ...(plan.version === 1 ? LEGACY : {}), ...OF_KIND[plan.kind] };
    for (const [bit, property] of Object.entries(bits)) {
      const n = Number(bit);
      // A legacy driver sees, and a recording of it shows, the low word alone.
      if (n >= 32 && plan.version === 1) continue;
      found.set(property, offers(offered, n) ? 'on' : 'off');
    }
  }
  for (const [name, value] of fromConfig(plan)) found.set(name, String(value));
  return [...found]
    .filter(([name, value]) => known.has(name) && value !== spelled(known.get(name)))
    .map(([name, value]) => `${name}=${value}`);
}

function offers([low, high]: readonly [number, number], bit: number): boolean {
  return (((bit < 32 ? low : high) >>> (bit & 31)) & 1) === 1;
}

function spelled(value: unknown): string {
  return value === true ? 'on' : value === false ? 'off' : String(value);
}

function fromConfig(plan: DevicePlan): [name: string, value: number][] {
  const has = (bit: number): boolean => plan.offered !== undefined && offers(plan.offered, bit);
  const config = recordedConfig(plan);
  const found: [string, number | undefined][] = [];
  switch (plan.kind) {
    case 'blk': {
      const blockSize = config(20, 4);
      const exponent = config(24, 1);
      const segMax = config(12, 4);
      const alignment = config(44, 4);
      found.push(
        ['queue-size', segMax === undefined || segMax < 2 ? undefined : segMax + 2],
        ['logical_block_size', blockSize],
        [
          'physical_block_size',
          blockSize === undefined || exponent === undefined ? undefined : blockSize << exponent,
        ],
        ['min_io_size', times(config(26, 2), blockSize)],
        ['opt_io_size', times(config(28, 4), blockSize)],
        ['num-queues', has(BLK_F_MQ) ? config(34, 2) : undefined],
        ['max-discard-sectors', config(36, 4)],
        [
          'discard_granularity',
          alignment === undefined || alignment * 512 === blockSize ? undefined : alignment * 512,
        ],
        ['max-write-zeroes-sectors', config(48, 4)],
      );
      break;
    }
    case 'net':
      found.push(['host_mtu', has(NET_F_MTU) ? config(10, 2) : undefined]);
      break;
    case 'console': {
      const single = plan.offered === undefined ? plan.ports === 1 : !has(CONSOLE_F_MULTIPORT);
      found.push(['max_ports', single ? 1 : config(4, 4)]);
      break;
    }
    case 'gpu': {
      const { edid } = plan;
      found.push(['max_outputs', config(8, 4)]);
      // The first detailed timing of an EDID holds the size (VESA E-EDID, 3.10.2).
      if (edid !== undefined && edid.length >= 72)
        found.push(
          ['xres', edid[56]! | ((edid[58]! & 0xf0) << 4)],
          ['yres', edid[59]! | ((edid[61]! & 0xf0) << 4)],
        );
      break;
    }
  }
  return found.filter((entry): entry is [string, number] => entry[1] !== undefined && entry[1] > 0);
}

function times(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a * b;
}
