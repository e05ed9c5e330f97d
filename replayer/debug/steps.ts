import { NO_VCPU } from '../../trace/ids.ts';
import { NO_QUEUE, REC_TAG } from '../../trace/recording.ts';
import { REG_CONFIG, REG_QUEUE_NOTIFY, registerName, VIRTIO_MMIO_WINDOW } from '../../trace/virtio-mmio.ts';
import { configFieldName } from '../../devices/models/index.ts';
import { address, type Recording } from '../recording/load.ts';
import { slotAt } from '../recording/slots.ts';
import type { DevicePlan } from '../target.ts';

/** Transport of an access that hits no slot. */
const NO_SLOT = 0xffff;

/**
 * The accesses of a recording as a debugger counts them. Position k means: all that the recording holds before
 * access k has happened, its memory is in place, and access k comes next. Position `count` is the end.
 */
export class Steps {
  readonly recording: Recording;
  readonly count: number;
  /** By position: row of the access. One more entry: the number of rows. */
  readonly row: Uint32Array;
  /** By position: step number in the recording. */
  readonly step: Uint32Array;
  readonly write: Uint8Array;
  readonly transport: Uint16Array;
  /** Within the device's window, in bytes. */
  readonly offset: Uint16Array;
  readonly size: Uint8Array;
  /** As a double: exact for all that the registers of up to 4 bytes hold. */
  readonly value: Float64Array;
  readonly vcpu: Uint16Array;
  /** Memory records between the access before and this one, and the buffers that its notify record names. */
  readonly memory: Uint32Array;
  readonly added: Uint32Array;
  private readonly names = new Map<number, { name: string; deviceId: number }>();

  constructor(recording: Recording, devices: readonly DevicePlan[]) {
    const { accesses, layout } = recording;
    this.recording = recording;
    this.count = accesses;
    this.row = new Uint32Array(accesses + 1);
    this.step = new Uint32Array(accesses);
    this.write = new Uint8Array(accesses);
    this.transport = new Uint16Array(accesses);
    this.offset = new Uint16Array(accesses);
    this.size = new Uint8Array(accesses);
    this.value = new Float64Array(accesses);
    this.vcpu = new Uint16Array(accesses);
    this.memory = new Uint32Array(accesses);
    this.added = new Uint32Array(accesses);
    for (const { transport, kind, deviceId } of devices)
      this.names.set(transport, { name: `${kind}${transport}`, deviceId });
    let [k, row, memory, added] = [0, 0, 0, 0];
    for (const batch of recording.batches) {
      for (let i = 0; i < batch.length; i++, row++) {
        const tag = batch.tag[i]!;
        if (tag === REC_TAG.MEMORY) memory++;
        if (tag === REC_TAG.NOTIFY && batch.queue[i] !== NO_QUEUE) added = batch.adv[i]!;
        if (tag !== REC_TAG.READ && tag !== REC_TAG.WRITE) continue;
        const at = address(batch, i);
        const slot = slotAt(layout, at) ?? NO_SLOT;
        this.row[k] = row;
        this.step[k] = batch.step[i]!;
        this.write[k] = tag === REC_TAG.WRITE ? 1 : 0;
        this.transport[k] = slot;
        this.offset[k] = slot === NO_SLOT ? 0 : (at - layout.base) % VIRTIO_MMIO_WINDOW;
        this.size[k] = batch.size[i]!;
        this.value[k] = recordedValue(batch.size[i]!, batch.value[2 * i]!, batch.value[2 * i + 1]!);
        this.vcpu[k] = batch.vcpu[i]!;
        this.memory[k] = memory;
        this.added[k] = added;
        [memory, added] = [0, 0];
        k++;
      }
    }
    this.row[k] = row;
  }

  /** First position whose access has this step number or a later one; `count` behind the last. */
  positionOf(step: number): number {
    let [low, high] = [0, this.count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.step[middle]! < step) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** blk0: the kind, and the number of the transport; slot9 where no device is. */
  deviceName(transport: number): string {
    return this.names.get(transport)?.name ?? (transport === NO_SLOT ? 'nowhere' : `slot${transport}`);
  }

  /** Register that access k is about; the field's name in a configuration space. */
  register(k: number): string {
    const offset = this.offset[k]!;
    const device = this.names.get(this.transport[k]!);
    if (offset < REG_CONFIG || device === undefined) return registerName(offset);
    const field = configFieldName(device.deviceId, offset - REG_CONFIG);
    return field === undefined ? registerName(offset) : `config.${field}`;
  }

  isNotify(k: number): boolean {
    return this.write[k] === 1 && this.offset[k] === REG_QUEUE_NOTIFY && this.transport[k] !== NO_SLOT;
  }

  /** Queue that access k notifies; undefined if it does not. */
  notified(k: number): number | undefined {
    return k < this.count && this.isNotify(k) ? this.value[k]! & 0xffff : undefined;
  }

  /** One line: step, direction, device, register, value, and what comes with it. */
  text(k: number): string {
    if (k >= this.count) return 'the end of the recording';
    const digits = 2 * Math.min(this.size[k]!, 8);
    const parts = [
      String(this.step[k]!).padStart(7),
      this.write[k] === 1 ? 'W' : 'R',
      this.deviceName(this.transport[k]!).padEnd(9),
      this.register(k).padEnd(20),
      `0x${this.value[k]!.toString(16).padStart(digits, '0')}`,
    ];
    const queue = this.notified(k);
    if (queue !== undefined) parts.push(` queue ${queue}, ${plural(this.added[k]!, 'new chain')}`);
    if (this.memory[k]! > 0) parts.push(` ${plural(this.memory[k]!, 'memory record')}`);
    if (this.vcpu[k] !== NO_VCPU) parts.push(` vcpu ${this.vcpu[k]!}`);
    return parts.join(' ');
  }
}

/** Of a recorded value only the low `size` bytes count (docs/ACCESS-JSONL.md). */
function recordedValue(size: number, low: number, high: number): number {
  if (size === 8) return low + high * 0x1_0000_0000;
  return size >= 4 ? low : low % 2 ** (8 * size);
}

export function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
