import { configFieldName } from '../../devices/models/index.ts';
import { NET_DEVICE_ID, NET_F_OFFLOADS_LOW } from '../../devices/models/net-format.ts';
import { TraceError } from '../../trace/errors.ts';
import { REG_CONFIG, registerName } from '../../trace/virtio-mmio.ts';
import type { Divergences } from './divergences.ts';
import type { Observed } from './observed.ts';
import type { Policies } from './policy.ts';

const REG_DEVICE_FEATURES = 0x010;
/** Reads that may await their answer at a time: a power of two. */
export const MOST_PENDING = 8192;

/** By bytes of an access: what of its value's two halves counts. */
const LOW_MASK = new Uint32Array([0, 0xff, 0xffff, 0, 0xffff_ffff, 0, 0, 0, 0xffff_ffff]);
const HIGH_MASK = new Uint32Array([0, 0, 0, 0, 0, 0, 0, 0, 0xffff_ffff]);

export interface SlotName {
  name: string;
  deviceId: number;
}

/** Compares the answers of register reads, which come in the order of the reads, with those recorded. */
export class AnswerCheck {
  compared = 0;
  private readonly step = new Uint32Array(MOST_PENDING);
  private readonly low = new Uint32Array(MOST_PENDING);
  private readonly high = new Uint32Array(MOST_PENDING);
  private readonly size = new Uint8Array(MOST_PENDING);
  private readonly offset = new Uint16Array(MOST_PENDING);
  private readonly slot = new Uint16Array(MOST_PENDING);
  private asked = 0;
  private answered = 0;
  private readonly policies: Policies;
  private readonly divergences: Divergences;
  private readonly observed: Observed;
  private readonly names: (slot: number) => SlotName;

  constructor(
    policies: Policies,
    divergences: Divergences,
    observed: Observed,
    names: (slot: number) => SlotName,
  ) {
    this.policies = policies;
    this.divergences = divergences;
    this.observed = observed;
    this.names = names;
  }

  get pending(): number {
    return this.asked - this.answered;
  }

  /** Before the target is asked. `offset` in the window of `slot`; the caller keeps `pending` below MOST_PENDING. */
  expect(step: number, slot: number, offset: number, size: number, low: number, high: number): void {
    const n = this.asked++ & (MOST_PENDING - 1);
    this.step[n] = step;
    this.slot[n] = slot;
    this.offset[n] = offset;
    this.size[n] = size;
    this.low[n] = low;
    this.high[n] = high;
  }

  answer(step: number, value: number, high: number): void {
    const n = this.answered & (MOST_PENDING - 1);
    if (this.answered === this.asked || this.step[n] !== step) throw outOfTurn(step);
    this.answered++;
    this.compared++;
    const size = this.size[n]!;
    const low = (value & LOW_MASK[size]!) >>> 0;
    const top = (high & HIGH_MASK[size]!) >>> 0;
    this.observed.pair(low, top);
    if (low === (this.low[n]! & LOW_MASK[size]!) >>> 0 && top === (this.high[n]! & HIGH_MASK[size]!) >>> 0)
      return;
    this.differs(n, low, top);
  }

  /** Goes back to when so many had been compared and none was awaited. */
  backTo(compared: number): void {
    this.compared = compared;
    this.asked = this.answered = compared;
  }

  private differs(n: number, low: number, high: number): void {
    const size = this.size[n]!;
    const offset = this.offset[n]!;
    const mark = this.policies.register[offset]!;
    if (mark !== 0) {
      this.policies.countMark(mark);
      return;
    }
    const slot = this.slot[n]!;
    const { name, deviceId } = this.names(slot);
    if (
      this.policies.netHeader &&
      deviceId === NET_DEVICE_ID &&
      offset === REG_DEVICE_FEATURES &&
      size === 4
    ) {
      if (((low ^ this.low[n]!) & ~NET_F_OFFLOADS_LOW) === 0) {
        this.policies.count('net-header');
        return;
      }
    }
    this.divergences.add({
      step: this.step[n]!,
      kind: 'register',
      transport: slot,
      device: name,
      register: registerTitle(deviceId, offset),
      field: 'value',
      expected: valueText(this.low[n]! & LOW_MASK[size]!, this.high[n]! & HIGH_MASK[size]!, size),
      got: valueText(low, high, size),
    });
  }
}

/** 'InterruptStatus', 'Config+0x0 (capacity)'. */
export function registerTitle(deviceId: number, offset: number): string {
  const field = offset >= REG_CONFIG ? configFieldName(deviceId, offset - REG_CONFIG) : undefined;
  return field === undefined ? registerName(offset) : `${registerName(offset)} (${field})`;
}

function valueText(low: number, high: number, size: number): string {
  const digits = (word: number, width: number): string => (word >>> 0).toString(16).padStart(width, '0');
  return size === 8 ? `0x${digits(high, 8)}${digits(low, 8)}` : `0x${digits(low, 2 * size)}`;
}

function outOfTurn(step: number): TraceError {
  return new TraceError('E_TARGET', `the device model answered step ${step}, which it was not asked now`);
}
