import type { JsonValue } from '../../trace/json-check.ts';
import type { Features } from '../features.ts';
import { freshQueue, queueStateFrom, type QueueState } from '../queue/queue.ts';

/** Device status bits (VIRTIO 1.2, 2.1). */
export const STATUS_ACKNOWLEDGE = 1;
export const STATUS_DRIVER = 2;
export const STATUS_DRIVER_OK = 4;
export const STATUS_FEATURES_OK = 8;
export const STATUS_NEEDS_RESET = 0x40;
export const STATUS_FAILED = 0x80;

/** InterruptStatus bits (VIRTIO 1.2, 4.2.2). */
export const INTERRUPT_USED = 1;
export const INTERRUPT_CONFIG = 2;

/** All that a transport remembers, but for the model's own part. Plain data. */
export interface TransportState {
  status: number;
  interruptStatus: number;
  configGeneration: number;
  deviceFeaturesSel: number;
  driverFeaturesSel: number;
  /** As the driver wrote them; they count once FEATURES_OK is accepted (legacy: at once). */
  driverFeatures: [number, number];
  negotiated: [number, number];
  queueSel: number;
  /** Legacy: log2 of the unit of QueuePFN. */
  guestPageShift: number;
  /** The driver broke a rule: nothing is served until the next reset. */
  broken: boolean;
  queues: QueueState[];
}

export function freshTransport(queueSizes: readonly number[]): TransportState {
  return {
    status: 0,
    interruptStatus: 0,
    configGeneration: 0,
    deviceFeaturesSel: 0,
    driverFeaturesSel: 0,
    driverFeatures: [0, 0],
    negotiated: [0, 0],
    queueSel: 0,
    guestPageShift: 0,
    broken: false,
    queues: queueSizes.map(freshQueue),
  };
}

/** A saved transport from untrusted JSON, for a device with `queues` queues of at most `most` entries. */
export function transportStateFrom(
  value: JsonValue,
  queues: number,
  most: number,
  offered: Features,
): TransportState {
  const word = (key: string): number => value.get(key).integer(0, 0xffff_ffff);
  const pair = (key: string): [number, number] => {
    const [low, high] = value.get(key).list((item) => item.integer(0, 0xffff_ffff), 2);
    return low === undefined || high === undefined ? value.get(key).fail('two words') : [low, high];
  };
  const negotiated = pair('negotiated');
  if ((negotiated[0] & ~offered[0]) !== 0 || (negotiated[1] & ~offered[1]) !== 0)
    value.get('negotiated').fail('only features that this device offers');
  const list = value.get('queues').list((item) => queueStateFrom(item, most), queues);
  if (list.length !== queues) value.get('queues').fail(`${queues} queues`);
  return {
    status: value.get('status').integer(0, 0xff),
    interruptStatus: value.get('interruptStatus').integer(0, 3),
    configGeneration: word('configGeneration'),
    deviceFeaturesSel: word('deviceFeaturesSel'),
    driverFeaturesSel: word('driverFeaturesSel'),
    driverFeatures: pair('driverFeatures'),
    negotiated,
    queueSel: value.get('queueSel').integer(0, 0xffff),
    guestPageShift: value.get('guestPageShift').integer(0, 31),
    broken: value.get('broken').flag(),
    queues: list,
  };
}
