import { TraceError } from '../trace/errors.ts';
import { REC_TAG } from '../trace/recording.ts';
import { serialOf } from './recording/answers.ts';
import type { Recording } from './recording/load.ts';
import { planDevices } from './recording/plan.ts';
import { planRam } from './recording/ram.ts';
import type { ReplayLevel } from './result.ts';
import type { DevicePlan, ReplaySetup } from './target.ts';

const SECTOR = 512;
const BLK_F_RO = 1 << 5;
/** A blank disk for a replay of registers alone has no more: its size is in the configuration space. */
const MOST_BLANK_BYTES = 1 << 30;
const DEFAULT_TIMEOUT_MS = 10_000;

export interface PrepareOptions {
  /** Disks as they were at the start, by transport; never changed. */
  disks?: ReadonlyMap<number, Uint8Array>;
  /** How long to wait for a used element. Milliseconds; 10 s unless given. */
  timeoutMs?: number;
}

/** What is known of a recording before it is replayed; good for any number of replays, also of parts of it. */
export interface Prepared {
  level: ReplayLevel;
  levelReason?: string;
  /** Plans without disks: those are each replay's own. */
  devices: readonly DevicePlan[];
  unserved: readonly { transport: number; what: string }[];
  ram: ReplaySetup['ram'];
  timeoutMs: number;
  disks: ReadonlyMap<number, { bytes: Uint8Array; readOnly: boolean; serial: string }>;
}

/**
 * Finds out what a replay of the recording needs. Throws E_NOT_REPLAYABLE if it lacks that, or a disk is not given,
 * and E_USAGE if a disk is given for a transport without one.
 */
export function prepare(recording: Recording, options: PrepareOptions = {}): Prepared {
  const { devices, unserved } = planDevices(recording);
  const lack = lackOfMemory(recording);
  const level: ReplayLevel = lack === undefined ? 'rings and memory' : 'registers';
  const images = options.disks ?? new Map<number, Uint8Array>();
  checkTransports(images, devices, '--disk');
  const disks: [number, { bytes: Uint8Array; readOnly: boolean; serial: string }][] = [];
  for (const plan of devices) {
    if (plan.kind !== 'blk') continue;
    const bytes = images.get(plan.transport) ?? blank(plan, level);
    const readOnly = ((plan.offered?.[0] ?? 0) & BLK_F_RO) !== 0;
    disks.push([plan.transport, { bytes, readOnly, serial: serialOf(recording, plan.transport) }]);
  }
  return {
    level,
    ...(lack === undefined ? {} : { levelReason: lack }),
    devices,
    unserved,
    ram: planRam(recording),
    timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    disks: new Map(disks),
  };
}

/** The setup of one replay, with disks of its own. */
export function setupOf({ devices, disks, ram, timeoutMs }: Prepared): ReplaySetup {
  const own = devices.map((plan) => {
    const disk = disks.get(plan.transport);
    return disk === undefined ? plan : { ...plan, disk: { ...disk, bytes: Uint8Array.from(disk.bytes) } };
  });
  return { devices: own, ram, timeoutMs };
}

/** Throws E_USAGE if an image is for a transport that has no disk. */
export function checkTransports(
  images: ReadonlyMap<number, unknown>,
  devices: readonly DevicePlan[],
  option: string,
): void {
  const blocks = devices.filter(({ kind }) => kind === 'blk').map(({ transport }) => transport);
  for (const transport of images.keys()) {
    if (blocks.includes(transport)) continue;
    throw new TraceError('E_USAGE', `${option}: transport ${transport} of the recording has no disk`, {
      expected: blocks.length === 0 ? 'none: there is no block device' : blocks.join(', '),
    });
  }
}

function lackOfMemory(recording: Recording): string | undefined {
  if (recording.events !== undefined)
    return 'the trace was not recorded for a replay: it holds no guest memory';
  if (!recording.hasMemory) return 'the recording holds no guest memory';
  for (const batch of recording.batches) {
    for (let i = 0; i < batch.length; i++) {
      if (batch.tag[i] === REC_TAG.OTHER && batch.rest[i]!.includes('"t":"H"'))
        return 'the recording holds lengths and hashes of guest memory instead of its bytes';
    }
  }
  return undefined;
}

function blank(plan: DevicePlan, level: ReplayLevel): Uint8Array {
  const size = SECTOR * capacityOf(plan);
  if (level === 'registers') return new Uint8Array(Math.min(size, MOST_BLANK_BYTES));
  throw new TraceError('E_NOT_REPLAYABLE', `the disk of transport ${plan.transport} is needed`, {
    expected: `--disk ${plan.transport}=IMAGE, the image of ${size > 0 ? `${size} bytes ` : ''}as it was at the start`,
  });
}

/** Sectors by the configuration space as recorded; 0 if the guest did not read it. */
export function capacityOf({ config }: DevicePlan): number {
  if (config?.seen.subarray(0, 8).every((seen) => seen === 1) !== true) return 0;
  const words = new DataView(config.bytes.buffer, config.bytes.byteOffset);
  return words.getUint32(0, true) + words.getUint32(4, true) * 0x1_0000_0000;
}
