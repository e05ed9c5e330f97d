import { TraceError } from '../../trace/errors.ts';
import { REG_CONFIG, REG_INTERRUPT_STATUS, VIRTIO_MMIO_REGISTERS } from '../../trace/virtio-mmio.ts';
import type { Ignored } from '../result.ts';

/** What a replay may be told not to take for a difference; each is counted and listed in the result. */
export const POLICIES: Readonly<Record<string, string>> = {
  irq: 'interrupts: their order, and InterruptStatus',
  config: 'the configuration space',
  'used-order': 'the order in which requests of one look were used',
  racy: 'chains that the guest may have changed while they were recorded',
  memory: 'what devices wrote into buffers',
  'net-header':
    'checksum and segmentation, which a host interface (tap) had offered and told of received frames',
  'register:NAME': 'what one register gives (QueueNumMax, DeviceFeatures ...)',
};
/** Holds always: where exactly an interrupt comes is up to threads and clocks, in which order is not. */
const POSITION = 'irq-position';

const WINDOW = 0x200;

/** The policies of one replay. Words of `names` as in POLICIES; throws E_USAGE for another. */
export class Policies {
  readonly irq: boolean;
  readonly usedOrder: boolean;
  readonly racy: boolean;
  readonly memory: boolean;
  readonly netHeader: boolean;
  /** By register offset in a device's window: index into `list` + 1, 0 = compared. */
  readonly register = new Uint8Array(WINDOW);
  private readonly list: Ignored[] = [];

  constructor(names: readonly string[]) {
    this.list.push({
      policy: POSITION,
      why: 'the access at which an interrupt comes; its order is compared',
      count: 0,
    });
    for (const name of new Set(names)) this.add(name);
    const has = (policy: string): boolean => names.includes(policy);
    this.irq = has('irq');
    this.usedOrder = has('used-order');
    this.racy = has('racy');
    this.memory = has('memory');
    this.netHeader = has('net-header');
  }

  private add(name: string): void {
    if (name === POSITION) return;
    const register = /^register:(.+)$/.exec(name)?.[1];
    const why = register === undefined ? POLICIES[name] : 'what this register gives';
    if (why === undefined || name === 'register:NAME') throw unknown(name);
    const mark = this.list.push({ policy: name, why, count: 0 });
    if (name === 'config') this.register.fill(mark, REG_CONFIG);
    if (name === 'irq') this.register[REG_INTERRUPT_STATUS] = mark;
    if (register !== undefined) this.register[offsetOf(register)] = mark;
  }

  /** Counts a difference that the policy of that name keeps out. */
  count(policy: string, times = 1): void {
    const found = this.list.find((item) => item.policy === policy);
    if (found !== undefined) found.count += times;
  }

  /** Counts a register read that differs and is not to count; `mark` from `register`. */
  countMark(mark: number): void {
    this.list[mark - 1]!.count++;
  }

  get ignored(): Ignored[] {
    return this.list.map((item) => ({ ...item }));
  }

  /** Counts so far, for `restore`. */
  save(): number[] {
    return this.list.map(({ count }) => count);
  }

  restore(counts: readonly number[]): void {
    for (const [i, item] of this.list.entries()) item.count = counts[i]!;
  }

  countPosition(times: number): void {
    this.count(POSITION, times);
  }
}

function offsetOf(register: string): number {
  const found = VIRTIO_MMIO_REGISTERS.find(({ name }) => name.toLowerCase() === register.toLowerCase());
  if (found !== undefined) return found.offset;
  const offset = /^(?:0x)?([0-9a-f]{1,3})$/i.exec(register)?.[1];
  const value = offset === undefined ? NaN : parseInt(offset, 16);
  if (value < WINDOW) return value;
  throw new TraceError('E_USAGE', 'unknown register', {
    expected: `a name such as QueueNumMax, or an offset below 0x${WINDOW.toString(16)}`,
    got: register,
  });
}

function unknown(name: string): TraceError {
  return new TraceError('E_USAGE', 'unknown policy of --ignore', {
    expected: Object.keys(POLICIES).join(', '),
    got: name,
  });
}
