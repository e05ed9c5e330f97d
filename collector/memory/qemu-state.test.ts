import { describe, expect, it } from 'vitest';
import { TraceError } from '../../trace/errors.ts';
import { writeAccessJsonl } from '../sources/access-jsonl/write.ts';
import { ChainTracker } from './chain-tracker.ts';
import { featureWords } from './features.ts';
import { readDeviceStates, type Monitor } from './qemu-state.ts';
import { synthesise } from './synthesise.ts';

/** What QEMU 10's xenpvh machine answered about a guest with a disk and a network (shortened). */
const QTREE = `  dev: virtio-mmio, id ""
    gpio-out "sysbus-irq" 1
    mmio 0000000002000000/0000000000000200
    bus: virtio-mmio-bus.9
      type virtio-mmio-bus
      dev: virtio-blk-device, id ""
        drive = "d0"
  dev: virtio-mmio, id ""
    mmio 0000000002000200/0000000000000200
    bus: virtio-mmio-bus.8
`;
const BLK = '/machine/peripheral-anon/device[0]';
const NET = '/machine/peripheral-anon/device[1]';
const STATUS = {
  'device-id': 2,
  'num-vqs': 1,
  status: {
    statuses: [
      'VIRTIO_CONFIG_S_DRIVER: Guest OS compatible with device',
      'VIRTIO_CONFIG_S_DRIVER_OK: Driver setup and ready',
    ],
  },
  'guest-features': {
    'dev-features': [
      'VIRTIO_BLK_F_FLUSH: Flush command supported',
      'VIRTIO_BLK_F_SEG_MAX: Max segments in a request is seg_max',
    ],
    transports: ['VIRTIO_RING_F_EVENT_IDX: Used & avail. event fields enabled'],
  },
  'host-features': {
    'dev-features': ['VIRTIO_BLK_F_FLUSH: Flush command supported'],
    transports: ['VIRTIO_F_VERSION_1: Device compliant with VirtIO 1.0'],
    'unknown-dev-features': 8,
  },
};
const QUEUE = {
  'vring-num': 4,
  'vring-num-default': 1024,
  'vring-align': 4096,
  'vring-desc': 0x4000_0000,
  'vring-avail': 0x4000_0040,
  'vring-used': 0x4000_1000,
  'last-avail-idx': 21,
  'used-idx': 21,
  inuse: 0,
};

function monitor(change: Record<string, unknown> = {}): Monitor {
  return {
    execute(command, args = {}) {
      const key = [command, ...Object.values(args)].join(' ');
      const answers: Record<string, unknown> = {
        'human-monitor-command info qtree': QTREE,
        'x-query-virtio': [
          { name: 'virtio-blk', path: BLK },
          { name: 'virtio-net', path: NET },
        ],
        [`x-query-virtio-status ${BLK}`]: STATUS,
        [`x-query-virtio-status ${NET}`]: { ...STATUS, status: { statuses: [] } },
        [`qom-get ${BLK} parent_bus`]: '/machine/unattached/device[12]/virtio-mmio-bus.9',
        'qom-get /machine/unattached/device[12] force-legacy': true,
        [`x-query-virtio-queue-status ${BLK} 0`]: QUEUE,
        ...change,
      };
      if (key in answers) return Promise.resolve(answers[key]);
      return Promise.reject(new TraceError('E_HOST', `QEMU refused ${key}`));
    },
  };
}

describe('the state of devices that are in use already', () => {
  it('comes from the monitor; a device without a driver is left out', async () => {
    expect(await readDeviceStates(monitor())).toEqual([
      {
        window: 0x0200_0000,
        deviceId: 2,
        version: 1,
        driverFeatures: [0x2000_0204, 0],
        deviceFeatures: [0x208, 1],
        queues: [
          {
            index: 0,
            numMax: 1024,
            num: 4,
            align: 4096,
            desc: 0x4000_0000,
            avail: 0x4000_0040,
            used: 0x4000_1000,
            inFlight: 0,
          },
        ],
      },
    ]);
  });

  it('a QEMU that cannot tell says why', async () => {
    expect(await readDeviceStates(monitor({ 'x-query-virtio': 1 }))).toEqual([]);
    expect(await readDeviceStates(monitor({ 'human-monitor-command info qtree': '' }))).toBe(
      `${BLK}: it is not behind virtio-mmio`,
    );
    const odd = { ...STATUS, 'guest-features': { 'dev-features': ['VIRTIO_NEW_F_X: new'] } };
    expect(await readDeviceStates(monitor({ [`x-query-virtio-status ${BLK}`]: odd }))).toBe(
      `${BLK}: its features are not known by name`,
    );
    const old: Monitor = { execute: () => Promise.reject(new TraceError('E_HOST', 'CommandNotFound')) };
    expect(await readDeviceStates(old)).toBe('CommandNotFound');
  });

  it('features by name', () => {
    expect(featureWords([])).toEqual([0, 0]);
    expect(featureWords(['VIRTIO_F_RING_PACKED: x', 'VIRTIO_NET_F_SPEED_DUPLEX: y'], 1n)).toEqual([
      1, 0x8000_0004,
    ]);
    expect(featureWords(['VIRTIO_F_OTHER: x'])).toBeUndefined();
  });
});

describe('a set-up that nobody saw', () => {
  const ram = new Uint8Array(0x2000);
  const words = new DataView(ram.buffer);

  function record(version: 1 | 2): string[] {
    let text = '';
    const tracker = new ChainTracker({
      read: (gpa, length) => {
        const at = gpa - 0x4000_0000;
        return at >= 0 && at + length <= ram.length ? ram.subarray(at, at + length) : undefined;
      },
      base: 0x0200_0000,
      slots: 4,
      flush: (batch) => (text += writeAccessJsonl(batch)),
    });
    const read = (gpa: number, length: number): Uint8Array =>
      ram.subarray(gpa - 0x4000_0000, gpa - 0x4000_0000 + length);
    const inFlight = synthesise(tracker, read, {
      window: 0x0200_0200,
      deviceId: 2,
      version,
      driverFeatures: [0, version === 1 ? 0 : 1],
      deviceFeatures: [0x200, 1],
      queues: [
        {
          index: 0,
          numMax: 8,
          num: 4,
          align: 4096,
          desc: 0x4000_0000,
          avail: 0x4000_0040,
          used: 0x4000_1000,
          inFlight: 1,
        },
      ],
    });
    expect(inFlight).toBe(1);
    tracker.finish();
    return text
      .trim()
      .split('\n')
      .map((line) => {
        const row = JSON.parse(line) as Record<string, unknown>;
        const { t, a, v, n, synth } = row;
        if (t === 'R' || t === 'W') expect(synth).toBe(true);
        return t === 'M'
          ? `M ${String(n)}`
          : `${String(t)} ${(Number(a) - 0x0200_0200).toString(16)} ${Number(v).toString(16)}`;
      });
  }

  it('is told in the order of the specification; what the device has not used is new to a replay', () => {
    // 21 made available, 20 used: the one between is made available again, in a ring that begins at 0.
    words.setUint16(0x42, 21, true);
    words.setUint16(0x1002, 20, true);
    words.setUint32(8, 0, true);
    expect(record(1)).toEqual([
      'R 0 74726976',
      'R 4 1',
      'R 8 2',
      'W 70 0',
      'W 70 1',
      'W 70 3',
      'W 14 0',
      'R 10 200',
      'W 24 0',
      'W 20 0',
      'W 28 1000',
      'W 30 0',
      'R 34 8',
      'W 38 4',
      'W 3c 1000',
      'W 40 40000',
      'W 70 7',
      'M 16',
      'M 14',
    ]);
    expect(record(2)).toEqual([
      'R 0 74726976',
      'R 4 2',
      'R 8 2',
      'W 70 0',
      'W 70 1',
      'W 70 3',
      'W 14 1',
      'R 10 1',
      'W 14 0',
      'R 10 200',
      'W 24 1',
      'W 20 1',
      'W 24 0',
      'W 20 0',
      'W 70 b',
      'W 30 0',
      'R 34 8',
      'W 38 4',
      'W 80 40000000',
      'W 84 0',
      'W 90 40000040',
      'W 94 0',
      'W a0 40001000',
      'W a4 0',
      'W 44 1',
      'W 70 f',
      'M 16',
      'M 14',
    ]);
  });
});
