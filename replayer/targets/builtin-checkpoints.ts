import type { VirtioMmio } from '../../devices/transport/virtio-mmio.ts';
import type { Checkpoints } from '../target.ts';
import type { Plugged } from './builtin-devices.ts';
import type { HeldModel } from './held-model.ts';
import type { PageHistory } from './page-history.ts';
import type { TrackedRam } from './tracked-memory.ts';

/** A device in its slot. */
export interface Slot {
  device: VirtioMmio;
  model: HeldModel;
  plugged: Plugged;
  /** Level of its interrupt line. */
  level: 0 | 1;
}

/** All but memory and disks. */
interface Moment {
  transport: number;
  level: 0 | 1;
  device: unknown;
  mark: unknown;
}

/**
 * Moments of the built-in target: memory and disks as the pages that changed in between; state of devices whole, with
 * images that did not change held once; of frames sent and text put out only how many there were, for a replay
 * brings the same ones again.
 */
export class BuiltinCheckpoints implements Checkpoints {
  private readonly memory: TrackedRam;
  private readonly slots: ReadonlyMap<number, Slot>;
  private moments = new Map<number, Moment[]>();
  private latest: Moment[] | undefined;

  constructor(memory: TrackedRam, slots: ReadonlyMap<number, Slot>) {
    this.memory = memory;
    this.slots = slots;
  }

  get bytes(): number {
    const seen = new Set<Uint8Array>();
    let bytes = 0;
    for (const moment of this.moments.values()) bytes += weigh(moment, seen);
    for (const history of this.histories()) bytes += history.heldBytes;
    return bytes;
  }

  take(at: number): void {
    const moment = [...this.slots].map(([transport, { device, plugged, level }]) => ({
      transport,
      level,
      device: device.save(),
      mark: plugged.mark(),
    }));
    if (this.latest !== undefined) share(moment, this.latest);
    this.moments.set(at, moment);
    this.latest = moment;
    for (const history of this.histories()) history.take(at);
  }

  back(at: number): void {
    const moment = this.moments.get(at);
    if (moment === undefined) throw new RangeError(`no moment ${at}`);
    for (const history of this.histories()) history.back(at);
    for (const { transport, level, device, mark } of moment) {
      const slot = this.slots.get(transport)!;
      slot.device.restore(device);
      slot.plugged.rewind(mark);
      slot.level = level;
    }
  }

  keep(moments: readonly number[]): void {
    this.moments = new Map([...this.moments].filter(([at]) => moments.includes(at)));
    for (const history of this.histories()) history.keep(moments);
  }

  private *histories(): Iterable<PageHistory> {
    yield* this.memory.histories;
    for (const { plugged } of this.slots.values()) if (plugged.history !== undefined) yield plugged.history;
  }
}

/** Bytes of plain data, about; byte arrays that are in `seen` already cost nothing. */
function weigh(value: unknown, seen: Set<Uint8Array>): number {
  if (value instanceof Uint8Array) {
    if (seen.has(value)) return 0;
    seen.add(value);
    return value.length;
  }
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 8;
  let bytes = 16;
  for (const item of Object.values(value)) bytes += weigh(item, seen);
  return bytes;
}

/** Byte arrays of `value` that hold the same as those of `other` at the same place become those. */
function share(value: object, other: object): void {
  const into = value as Record<string, unknown>;
  for (const [key, before] of Object.entries(other)) {
    const now = into[key];
    if (now instanceof Uint8Array && before instanceof Uint8Array) {
      if (Buffer.compare(now, before) === 0) into[key] = before;
    } else if (typeof now === 'object' && now !== null && typeof before === 'object' && before !== null)
      share(now, before as object);
  }
}
