import type { JsonValue } from '../../trace/json-check.ts';
import {
  CTRL_ERR,
  CTRL_MAC,
  CTRL_MAC_ADDR_SET,
  CTRL_MAC_TABLE_SET,
  CTRL_OK,
  CTRL_RX,
  CTRL_VLAN,
  CTRL_VLAN_ADD,
  CTRL_VLAN_DEL,
  MAC_BYTES,
} from './net-format.ts';

/** Entries of the address table, unicast and multicast together; QEMU's MAC_TABLE_ENTRIES. */
const MOST_MACS = 64;
/** Receive modes in the order of the commands of class RX (5.1.6.5.1). */
const MODES = [
  'promiscuous',
  'allMulticast',
  'allUnicast',
  'noMulticast',
  'noUnicast',
  'noBroadcast',
] as const;

interface FilterState extends Record<(typeof MODES)[number], boolean> {
  mac: number[];
  /** Addresses one after another, 6 bytes each. */
  unicast: number[];
  multicast: number[];
  /** The driver named more addresses than the table holds: all of that kind pass. */
  unicastOverflow: boolean;
  multicastOverflow: boolean;
  /** One bit a VLAN id. */
  vlans: number[];
}

/** Which frames a network device lets through to its driver, as the control queue sets it (VIRTIO 1.2, 5.1.6.5). */
export class NetFilter {
  private readonly permanentMac: readonly number[];
  private state: FilterState;

  constructor(mac: Uint8Array) {
    this.permanentMac = [...mac];
    this.state = this.fresh();
  }

  private fresh(): FilterState {
    return {
      promiscuous: true,
      allMulticast: false,
      allUnicast: false,
      noMulticast: false,
      noUnicast: false,
      noBroadcast: false,
      mac: [...this.permanentMac],
      unicast: [],
      multicast: [],
      unicastOverflow: false,
      multicastOverflow: false,
      vlans: new Array<number>(128).fill(0),
    };
  }

  get mac(): readonly number[] {
    return this.state.mac;
  }

  set mac(mac: readonly number[]) {
    this.state.mac = [...mac];
  }

  reset(): void {
    this.state = this.fresh();
  }

  /** A command of class RX, MAC or VLAN with its data; gives the acknowledgement. */
  command(kind: number, command: number, data: Uint8Array): number {
    if (kind === CTRL_RX) return this.setMode(command, data);
    if (kind === CTRL_VLAN) return this.setVlan(command, data);
    if (kind !== CTRL_MAC) return CTRL_ERR;
    if (command === CTRL_MAC_TABLE_SET) return this.setTable(data);
    if (command !== CTRL_MAC_ADDR_SET || data.length !== MAC_BYTES) return CTRL_ERR;
    this.state.mac = [...data];
    return CTRL_OK;
  }

  private setMode(command: number, data: Uint8Array): number {
    const mode = MODES[command];
    if (mode === undefined || data.length < 1) return CTRL_ERR;
    this.state[mode] = data[0] !== 0;
    return CTRL_OK;
  }

  private setVlan(command: number, data: Uint8Array): number {
    if (data.length < 2) return CTRL_ERR;
    const vid = data[0]! | (data[1]! << 8);
    if (vid >= 4096) return CTRL_ERR;
    const bit = 1 << (vid & 31);
    const { vlans } = this.state;
    if (command === CTRL_VLAN_ADD) vlans[vid >> 5] = (vlans[vid >> 5]! | bit) >>> 0;
    else if (command === CTRL_VLAN_DEL) vlans[vid >> 5] = (vlans[vid >> 5]! & ~bit) >>> 0;
    else return CTRL_ERR;
    return CTRL_OK;
  }

  /** Two tables, each u32 entries and then 6 bytes an entry: unicast, multicast. */
  private setTable(data: Uint8Array): number {
    const words = new DataView(data.buffer, data.byteOffset, data.byteLength);
    if (data.length < 4) return CTRL_ERR;
    const unicast = words.getUint32(0, true);
    const second = 4 + unicast * MAC_BYTES;
    if (second + 4 > data.length) return CTRL_ERR;
    const multicast = words.getUint32(second, true);
    if (second + 4 + multicast * MAC_BYTES !== data.length) return CTRL_ERR;
    const { state } = this;
    state.unicastOverflow = unicast > MOST_MACS;
    state.unicast = state.unicastOverflow ? [] : [...data.subarray(4, second)];
    state.multicastOverflow = multicast > MOST_MACS - state.unicast.length / MAC_BYTES;
    state.multicast = state.multicastOverflow ? [] : [...data.subarray(second + 4)];
    return CTRL_OK;
  }

  /** `vlans`: whether the driver filters VLANs at all. */
  passes(frame: Uint8Array, vlans: boolean): boolean {
    const { state } = this;
    if (state.promiscuous) return true;
    if (frame.length < 14) return false;
    if (vlans && frame[12] === 0x81 && frame[13] === 0) {
      if (frame.length < 16) return false;
      const vid = ((frame[14]! << 8) | frame[15]!) & 0xfff;
      if (((state.vlans[vid >> 5]! >>> (vid & 31)) & 1) === 0) return false;
    }
    if ((frame[0]! & 1) === 0) {
      if (state.noUnicast) return false;
      if (state.allUnicast || state.unicastOverflow) return true;
      return holds(state.mac, frame) || holds(state.unicast, frame);
    }
    if (frame.subarray(0, MAC_BYTES).every((byte) => byte === 0xff)) return !state.noBroadcast;
    if (state.noMulticast) return false;
    return state.allMulticast || state.multicastOverflow || holds(state.multicast, frame);
  }

  save(): unknown {
    return this.state;
  }

  restore(saved: JsonValue): void {
    const bytes = (key: string, most: number): number[] => {
      const list = saved.get(key).list((item) => item.integer(0, 255), most * MAC_BYTES);
      if (list.length % MAC_BYTES !== 0) saved.get(key).fail('whole addresses');
      return list;
    };
    const flag = (key: string): boolean => saved.get(key).flag();
    const mac = bytes('mac', 1);
    if (mac.length !== MAC_BYTES) saved.get('mac').fail('an address');
    const vlans = saved.get('vlans').list((item) => item.integer(0, 0xffff_ffff), 128);
    if (vlans.length !== 128) saved.get('vlans').fail('128 words');
    this.state = {
      promiscuous: flag('promiscuous'),
      allMulticast: flag('allMulticast'),
      allUnicast: flag('allUnicast'),
      noMulticast: flag('noMulticast'),
      noUnicast: flag('noUnicast'),
      noBroadcast: flag('noBroadcast'),
      mac,
      unicast: bytes('unicast', MOST_MACS),
      multicast: bytes('multicast', MOST_MACS),
      unicastOverflow: flag('unicastOverflow'),
      multicastOverflow: flag('multicastOverflow'),
      vlans,
    };
  }
}

/** Whether the frame's destination is one of the addresses. */
function holds(addresses: readonly number[], frame: Uint8Array): boolean {
  for (let at = 0; at < addresses.length; at += MAC_BYTES) {
    let i = 0;
    while (i < MAC_BYTES && addresses[at + i] === frame[i]) i++;
    if (i === MAC_BYTES) return true;
  }
  return false;
}
