import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { MockDriver } from '../../../../devices/driver/mock-driver.ts';
import type { GuestMemory, RamBanks } from '../../../../devices/guest-memory.ts';
import type { DevicePlan, FinalState, ReplayTarget } from '../../../target.ts';
import { vhostUserTarget, type VhostUserOptions } from '../target.ts';

/** Why no back-end can be driven here; undefined when one can. */
export function backendMissing(): string | undefined {
  const found = spawnSync('qemu-storage-daemon', ['--version']).status === 0;
  if (!found) console.warn('SKIPPED: vhost-user back-ends, because qemu-storage-daemon is not installed');
  return found ? undefined : 'qemu-storage-daemon is not installed';
}

export const BASE = 0x0a00_0000;
const RAM_BASE = 0x4000_0000;
const RAM_BYTES = 16 << 20;

export function blockPlan(disk: Uint8Array, version: 1 | 2, readOnly = false): DevicePlan {
  return {
    transport: 0,
    kind: 'blk',
    deviceId: 2,
    version,
    base: BASE,
    spi: 48,
    config: { bytes: new Uint8Array(0x39), seen: new Uint8Array(0x39) },
    disk: { bytes: disk, readOnly, serial: '' },
  };
}

/**
 * A target with its device driven at once, not from a recording: the mock driver's accesses go to the target, and
 * it learns of used elements when `use` lets the device have them.
 */
export class Live {
  readonly target: ReplayTarget;
  readonly levels: number[] = [];
  memory!: RamBanks;
  driver!: MockDriver;
  private readonly plan: DevicePlan;
  private step = 0;
  private answer = 0;

  constructor(plan: DevicePlan, options: VhostUserOptions = {}, timeoutMs = 20_000) {
    this.plan = plan;
    const rest: VhostUserOptions['rest'] = ({ memory }) => {
      this.memory = memory;
      return () => withoutDevices(memory);
    };
    this.target = vhostUserTarget({ rest, ...options })(
      { devices: [plan], ram: [{ base: RAM_BASE, length: RAM_BYTES }], timeoutMs },
      {
        answer: (_, value) => (this.answer = value),
        line: (_, __, level) => this.levels.push(level),
      },
    );
  }

  async start(): Promise<this> {
    await this.target.start();
    this.again();
    return this;
  }

  /** A driver that knows nothing of the one before and takes the same memory for its rings, uncleared. */
  again(): void {
    const bus = {
      read: (offset: number, size: number): number => {
        this.target.read(this.step++, this.plan.base + offset, size);
        return this.answer;
      },
      write: (offset: number, size: number, value: number): void => {
        this.target.write(this.step++, this.plan.base + offset, size, value);
      },
    };
    this.driver = new MockDriver({ bus, memory: this.memory, base: RAM_BASE, length: RAM_BYTES });
  }

  /** Lets the device have used these chains, in this order. `index`: the used index after them, where it matters. */
  use(queue: number, ids: readonly number[], index = 0): Promise<boolean> {
    const elements = ids.map((id) => ({ id, len: 0, buffers: [], racy: false }));
    const used = { transport: this.plan.transport, queue, ring: 0, index, size: 0, elements };
    return Promise.resolve(this.target.used(this.step++, used));
  }

  /** One request: offered, notified and used; gives what the device wrote. */
  async request(queue: number, out: readonly Uint8Array[], into: readonly number[], indirect = false) {
    const id = this.driver.offer(queue, out, into, indirect);
    this.driver.kick(queue);
    if (!(await this.use(queue, [id]))) throw new Error(`chain ${id} was not used`);
    const [chain] = this.driver.queue(queue).used();
    return { chain: chain!, bytes: this.driver.written(chain!) };
  }
}

function withoutDevices(memory: GuestMemory): ReplayTarget {
  const nothing = (): void => undefined;
  const final: FinalState = { disks: new Map(), sent: new Map(), output: new Map(), screens: new Map() };
  return {
    name: 'nothing',
    start: nothing,
    setMemory: (gpa, bytes) => {
      memory.view(gpa, bytes.length).set(bytes);
    },
    read: nothing,
    write: nothing,
    used: () => false,
    view: (gpa, length) => memory.view(gpa, length),
    flush: nothing,
    final: () => final,
    stop: nothing,
  };
}

/** Processes whose command line holds `text`, and files in `folder`: what a target may have left. */
export function leftovers(text: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return line.includes(text) ? [`${pid}: ${line}`] : [];
      } catch {
        return [];
      }
    })
    .concat(existsSync(text) ? [text] : []);
}
