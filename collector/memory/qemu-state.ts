import { isTraceError } from '../../trace/errors.ts';
import { featureWords } from './features.ts';

/** The part of QmpClient that is needed. */
export interface Monitor {
  execute(command: string, args?: Record<string, unknown>): Promise<unknown>;
}

/** A virtio device whose driver has set it up before the recording began. */
export interface DeviceState {
  /** Guest-physical address of its register window. */
  window: number;
  deviceId: number;
  /** The Version register. */
  version: 1 | 2;
  driverFeatures: [low: number, high: number];
  /** Undefined if QEMU names one that is not known here. */
  deviceFeatures: [low: number, high: number] | undefined;
  queues: QueueState[];
}

export interface QueueState {
  index: number;
  numMax: number;
  num: number;
  align: number;
  desc: number;
  avail: number;
  used: number;
  /** Buffers that the device had taken and not yet used, when QEMU was asked. */
  inFlight: number;
}

type Answer = Record<string, unknown>;

const MOST_QUEUES = 1024;

/**
 * The devices that are in use, from QEMU's monitor (x-query-virtio, since QEMU 7.2; x-query-virtio-status and
 * -queue-status, qapi/virtio.json). None if no driver is at work; a text if QEMU cannot tell.
 */
export async function readDeviceStates(monitor: Monitor): Promise<DeviceState[] | string> {
  try {
    const states: DeviceState[] = [];
    const windows = windowsOf(
      string(await monitor.execute('human-monitor-command', { 'command-line': 'info qtree' })),
    );
    for (const device of list(await monitor.execute('x-query-virtio'))) {
      const path = string(device['path']);
      const state = await readDevice(monitor, path, windows);
      if (typeof state === 'string') return `${path}: ${state}`;
      if (state !== undefined) states.push(state);
    }
    return states;
  } catch (error) {
    if (isTraceError(error)) return error.message;
    throw error;
  }
}

async function readDevice(
  monitor: Monitor,
  path: string,
  windows: ReadonlyMap<string, number>,
): Promise<DeviceState | string | undefined> {
  const status = object(await monitor.execute('x-query-virtio-status', { path }));
  const statuses = strings(object(status['status'])['statuses']);
  if (!statuses.some((text) => text.startsWith('VIRTIO_CONFIG_S_DRIVER_OK'))) return undefined;
  const bus = string(await monitor.execute('qom-get', { path, property: 'parent_bus' }));
  const window = windows.get(bus.slice(bus.lastIndexOf('/') + 1));
  if (window === undefined) return 'it is not behind virtio-mmio';
  const mmio = bus.slice(0, bus.lastIndexOf('/'));
  const legacy = await monitor.execute('qom-get', { path: mmio, property: 'force-legacy' });
  const driverFeatures = features(status['guest-features']);
  if (driverFeatures === undefined) return 'its features are not known by name';
  const queues: QueueState[] = [];
  for (let index = 0; index < Math.min(whole(status['num-vqs']), MOST_QUEUES); index++) {
    const queue = object(await monitor.execute('x-query-virtio-queue-status', { path, queue: index }));
    if (whole(queue['vring-desc']) === 0) continue;
    queues.push({
      index,
      numMax: whole(queue['vring-num-default']),
      num: whole(queue['vring-num']),
      align: whole(queue['vring-align']),
      desc: whole(queue['vring-desc']),
      avail: whole(queue['vring-avail']),
      used: whole(queue['vring-used']),
      inFlight: whole(queue['inuse']),
    });
  }
  return {
    window,
    deviceId: whole(status['device-id']),
    version: legacy === true ? 1 : 2,
    driverFeatures,
    deviceFeatures: features(status['host-features']),
    queues,
  };
}

/**
 * By name of the bus: where its transport's registers are. Their numbers are no help: QEMU's machine for Xen counts
 * them downwards. Source: the text of `info qtree`.
 */
function windowsOf(qtree: string): Map<string, number> {
  const windows = new Map<string, number>();
  let window = -1;
  for (const line of qtree.split('\n')) {
    const [, what = '', value = ''] = /^\s*(dev:|mmio|bus:) ([\w.-]+)/.exec(line) ?? [];
    if (what === 'dev:') window = -1;
    else if (what === 'mmio' && window < 0) window = Number.parseInt(value, 16);
    else if (what === 'bus:' && value.startsWith('virtio-mmio-bus.') && window >= 0)
      windows.set(value, window);
  }
  return windows;
}

function features(value: unknown): [number, number] | undefined {
  const given = object(value);
  const unknown = given['unknown-dev-features'];
  return featureWords(
    [...strings(given['transports']), ...strings(given['dev-features'])],
    typeof unknown === 'number' ? BigInt(unknown) : 0n,
  );
}

function object(value: unknown): Answer {
  return typeof value === 'object' && value !== null ? (value as Answer) : {};
}

function list(value: unknown): Answer[] {
  return Array.isArray(value) ? value.map(object) : [];
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function string(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function whole(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}
