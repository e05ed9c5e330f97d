import { TraceError } from '../../trace/errors.ts';
import { REC_TAG } from '../../trace/recording.ts';
import { REG_CONFIG, REG_DEVICE_ID, VIRTIO_DEVICE_NAMES } from '../../trace/virtio-mmio.ts';
import type { DeviceKind, DevicePlan } from '../target.ts';
import { edidOf, portsInUse, portsOf } from './answers.ts';
import type { Recording } from './load.ts';
import { address } from './load.ts';
import { slotAt } from './slots.ts';
import { uncheckedOf } from './unchecked.ts';

const REG_VERSION = 0x004;
const REG_VENDOR_ID = 0x00c;
const REG_DEVICE_FEATURES = 0x010;
const REG_DEVICE_FEATURES_SEL = 0x014;
const REG_QUEUE_NUM_MAX = 0x034;
const REG_QUEUE_READY = 0x044;
const REG_QUEUE_DESC_LOW = 0x080;
const REG_QUEUE_DEVICE_HIGH = 0x0a4;
const CONFIG_BYTES = 0x100;

/** Device types that a target can stand in for, by virtio device id. */
const KINDS: Readonly<Record<number, DeviceKind>> = { 1: 'net', 2: 'blk', 3: 'console', 16: 'gpu' };
const MAC_BYTES = 6;
const CONSOLE_F_MULTIPORT = 1 << 1;
const MAX_NR_PORTS_AT = 4;

/** What the reads of one slot's registers tell of its device. */
interface Seen {
  deviceId: number;
  version: number;
  /** Something was done with it beyond looking what it is. */
  inUse: boolean;
  /** It was written to as only a modern driver does. */
  modernUse: boolean;
  featuresSel: number;
  offered: [number, number];
  offeredSeen: number;
  queueNumMax: number;
  config: Uint8Array;
  configSeen: Uint8Array;
}

export interface DevicePlans {
  devices: DevicePlan[];
  /** Slots that were read and hold no device (DeviceID 0). */
  empty: number[];
  /** Devices of a type that nothing here stands in for: their accesses are not replayed. */
  unserved: { transport: number; what: string }[];
}

/**
 * The devices of a recording, in the order of their slots, from what the guest read of them while it set them up.
 * Throws E_NOT_REPLAYABLE if none of them can be replayed.
 */
export function planDevices(recording: Recording): DevicePlans {
  const slots = scan(recording);
  const plans: DevicePlans = { devices: [], empty: [], unserved: [] };
  for (const [transport, seen] of [...slots].sort(([a], [b]) => a - b)) {
    const base = recording.layout.base + transport * 0x200;
    const named = recording.named.find((device) => device.base === base);
    const deviceId = seen.deviceId >= 0 ? seen.deviceId : idOf(named?.kind);
    if (deviceId === 0 && seen.deviceId < 0 && seen.inUse)
      plans.unserved.push({ transport, what: 'device whose set-up was not recorded' });
    else if (deviceId === 0) plans.empty.push(transport);
    else if (KINDS[deviceId] === undefined)
      plans.unserved.push({ transport, what: named?.kind ?? typeName(deviceId) });
    else plans.devices.push(planOf(recording, transport, deviceId, seen));
  }
  if (plans.devices.length === 0) {
    const what = plans.unserved.map(({ transport, what: type }) => `${type} in slot ${transport}`);
    throw new TraceError('E_NOT_REPLAYABLE', 'the recording has no device that can be replayed', {
      expected: 'the reads of DeviceID with which a guest begins, of blk, net, console or gpu',
      got: what.length === 0 ? 'none' : what.join(', '),
    });
  }
  return plans;
}

function scan(recording: Recording): Map<number, Seen> {
  const slots = new Map<number, Seen>();
  let last: Seen | undefined;
  let lastSlot = -1;
  for (const batch of recording.batches) {
    for (let i = 0; i < batch.length; i++) {
      const tag = batch.tag[i]!;
      if (tag !== REC_TAG.READ && tag !== REC_TAG.WRITE) continue;
      const at = address(batch, i);
      const slot = slotAt(recording.layout, at);
      if (slot === undefined) continue;
      if (slot !== lastSlot || last === undefined) {
        last = slots.get(slot) ?? nothingSeen();
        slots.set(slot, last);
        lastSlot = slot;
      }
      const offset = at - recording.layout.base - slot * 0x200;
      const value = batch.value[2 * i]!;
      last.inUse ||= tag === REC_TAG.WRITE || offset > REG_VENDOR_ID;
      if (tag === REC_TAG.WRITE) {
        if (offset === REG_DEVICE_FEATURES_SEL) last.featuresSel = value;
        last.modernUse ||=
          offset === REG_QUEUE_READY || (offset >= REG_QUEUE_DESC_LOW && offset <= REG_QUEUE_DEVICE_HIGH);
      } else if (batch.rest[i] !== '' && uncheckedOf(batch.rest[i]!) === 'amid') {
        // Of a selector that is not known.
      } else if (offset >= REG_CONFIG) {
        for (let b = 0; b < batch.size[i]! && offset + b < REG_CONFIG + CONFIG_BYTES; b++) {
          const word = b < 4 ? value : batch.value[2 * i + 1]!;
          if (last.configSeen[offset - REG_CONFIG + b] === 1) continue;
          last.configSeen[offset - REG_CONFIG + b] = 1;
          last.config[offset - REG_CONFIG + b] = word >>> (8 * (b & 3));
        }
      } else see(last, offset, value);
    }
  }
  return slots;
}

function see(seen: Seen, offset: number, value: number): void {
  if (offset === REG_DEVICE_ID) seen.deviceId = value;
  else if (offset === REG_VERSION) seen.version = value;
  else if (offset === REG_QUEUE_NUM_MAX) seen.queueNumMax = Math.max(seen.queueNumMax, value);
  else if (offset === REG_DEVICE_FEATURES && seen.featuresSel < 2) {
    seen.offered[seen.featuresSel] = value;
    seen.offeredSeen |= 1 << seen.featuresSel;
  }
}

function nothingSeen(): Seen {
  return {
    deviceId: -1,
    version: -1,
    inUse: false,
    modernUse: false,
    featuresSel: 0,
    offered: [0, 0],
    offeredSeen: 0,
    queueNumMax: 0,
    config: new Uint8Array(CONFIG_BYTES),
    configSeen: new Uint8Array(CONFIG_BYTES),
  };
}

function planOf(recording: Recording, transport: number, deviceId: number, seen: Seen): DevicePlan {
  const kind = KINDS[deviceId]!;
  const version = seen.version === 2 || (seen.version < 0 && seen.modernUse) ? 2 : 1;
  const plan: DevicePlan = {
    transport,
    kind,
    deviceId,
    version,
    base: recording.layout.base + transport * 0x200,
    spi: recording.layout.firstSpi + transport,
    config: { bytes: seen.config, seen: seen.configSeen },
  };
  // A legacy driver reads the low word alone: there is no other.
  if ((seen.offeredSeen & 1) !== 0 && (version === 1 || seen.offeredSeen === 3)) plan.offered = seen.offered;
  if (seen.queueNumMax > 0) plan.queueNumMax = seen.queueNumMax;
  const has = (from: number, bytes: number): boolean =>
    seen.configSeen.subarray(from, from + bytes).every((byte) => byte === 1);
  if (kind === 'net' && has(0, MAC_BYTES)) plan.mac = seen.config.slice(0, MAC_BYTES);
  if (kind === 'console' && (seen.offered[0] & CONSOLE_F_MULTIPORT) !== 0) {
    const known = has(MAX_NR_PORTS_AT, 4);
    const told = portsOf(recording, transport);
    if (known) plan.ports = new DataView(seen.config.buffer).getUint32(MAX_NR_PORTS_AT, true);
    if (known && told.length > 0) plan.portList = told;
    if (told.length === 0) plan.portsInUse = portsInUse(recording, transport);
  }
  if (kind === 'gpu') {
    const edid = edidOf(recording, transport);
    if (edid !== undefined) plan.edid = edid;
  }
  return plan;
}

function idOf(kind: string | undefined): number {
  const found = Object.entries(VIRTIO_DEVICE_NAMES).find(([, name]) => name === kind);
  return found === undefined ? 0 : Number(found[0]);
}

function typeName(deviceId: number): string {
  return VIRTIO_DEVICE_NAMES[deviceId] ?? `device type ${deviceId}`;
}
