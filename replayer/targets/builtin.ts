import { TraceError } from '../../trace/errors.ts';
import type { RegisterBus } from '../../devices/device.ts';
import { GuestFault, RamBanks, type RamBank } from '../../devices/guest-memory.ts';
import { EmptySlot } from '../../devices/transport/empty-slot.ts';
import { VirtioMmio } from '../../devices/transport/virtio-mmio.ts';
import type {
  Checkpoints,
  FinalState,
  MakeTarget,
  RecordedUsed,
  ReplaySetup,
  ReplaySink,
  ReplayTarget,
} from '../target.ts';
import { BuiltinCheckpoints, type Slot } from './builtin-checkpoints.ts';
import { HeldModel } from './held-model.ts';
import { plugIn, type FinalMaps } from './builtin-devices.ts';
import { TrackedRam } from './tracked-memory.ts';

export interface BuiltinOptions {
  /** Guest RAM to use, which must hold the banks of the replay; else it is made. */
  memory?: RamBanks;
}

/** The device models of this program as a target: no process, no wait, and the same every time. */
export function builtinTarget(options: BuiltinOptions = {}): MakeTarget {
  return (setup, sink) => new BuiltinTarget(options, setup, sink);
}

/** Bytes of a slot's register window, as a shift. */
const WINDOW_SHIFT = 9;
const SLOTS = 32;

export class BuiltinTarget implements ReplayTarget {
  readonly name = 'built-in';
  readonly memory: RamBanks;
  private readonly setup: ReplaySetup;
  private readonly sink: ReplaySink;
  private readonly slots = new Map<number, Slot>();
  /** By slot number. */
  private readonly buses: RegisterBus[] = [];
  private readonly base: number;
  private step = 0;
  readonly checkpoints?: Checkpoints;

  constructor(options: BuiltinOptions, setup: ReplaySetup, sink: ReplaySink) {
    this.setup = setup;
    this.sink = sink;
    const blank = (): RamBank[] =>
      setup.ram.map(({ base, length }) => ({ base, bytes: new Uint8Array(length) }));
    if (setup.checkpoints === true && options.memory === undefined) {
      const memory = new TrackedRam(blank());
      this.memory = memory;
      this.checkpoints = new BuiltinCheckpoints(memory, this.slots);
    } else this.memory = options.memory ?? new RamBanks(blank());
    const [first] = setup.devices;
    this.base = first === undefined ? 0 : first.base - (first.transport << WINDOW_SHIFT);
    const empty = new EmptySlot(first?.version ?? 2);
    for (let i = 0; i < SLOTS; i++) this.buses.push(empty);
  }

  /** By transport: for those who look inside. */
  get devices(): ReadonlyMap<number, VirtioMmio> {
    return new Map([...this.slots].map(([transport, { device }]) => [transport, device]));
  }

  start(): void {
    for (const plan of this.setup.devices) {
      const plugged = plugIn(plan, this.checkpoints !== undefined);
      const model = new HeldModel(plugged.model);
      const device = new VirtioMmio({
        version: plan.version,
        model,
        memory: this.memory,
        line: {
          set: (level) => {
            if (slot.level === level) return;
            slot.level = level;
            this.sink.line(this.step, plan.transport, level);
          },
        },
        ...(plan.offered === undefined ? {} : { offered: plan.offered }),
        ...(plan.queueNumMax === undefined ? {} : { queueNumMax: plan.queueNumMax }),
      });
      const slot: Slot = { device, model, plugged, level: 0 };
      this.slots.set(plan.transport, slot);
      this.buses[plan.transport] = device;
    }
  }

  setMemory(gpa: number, bytes: Uint8Array): void {
    this.view(gpa, bytes.length).set(bytes);
  }

  read(step: number, address: number, size: number): void {
    this.step = step;
    const offset = address - this.base;
    const bus = this.buses[offset >>> WINDOW_SHIFT]!;
    const at = offset & 0x1ff;
    if (size !== 8) this.sink.answer(step, bus.read(at, size), 0);
    else this.sink.answer(step, bus.read(at, 4), bus.read(at + 4, 4));
  }

  write(step: number, address: number, size: number, value: number, high = 0): void {
    this.step = step;
    const offset = address - this.base;
    const bus = this.buses[offset >>> WINDOW_SHIFT]!;
    const at = offset & 0x1ff;
    if (size !== 8) {
      bus.write(at, size, value);
      return;
    }
    bus.write(at, 4, value);
    bus.write(at + 4, 4, high);
  }

  used(step: number, used: RecordedUsed): boolean {
    const slot = this.slots.get(used.transport);
    if (slot === undefined) return false;
    this.step = step;
    const there = (): boolean => hasUsed(slot.device, used);
    const release = (): void => {
      while (!there() && slot.model.release(used.queue));
    };
    release();
    slot.plugged.outside?.(used, there, slot.device.negotiated);
    release();
    return there();
  }

  view(gpa: number, length: number): Uint8Array {
    try {
      return this.memory.view(gpa, length);
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      throw new TraceError('E_NOT_REPLAYABLE', 'the recording names memory that is not RAM', {
        got: `${length} bytes at 0x${gpa.toString(16)}`,
      });
    }
  }

  flush(): void {
    // Everything is done at once.
  }

  final(): FinalState {
    const final: FinalMaps = { disks: new Map(), sent: new Map(), output: new Map(), screens: new Map() };
    for (const [transport, { plugged }] of this.slots) plugged.final(transport, final);
    return final;
  }

  stop(): void {
    // There is nothing outside of this object.
  }

  /** All but guest RAM, as it is now. For restore() of a target of the same setup in this process. */
  save(): unknown {
    return [...this.slots].map(([transport, { device, plugged, level }]): SavedSlot => ({
      transport,
      level,
      device: device.save(),
      backend: plugged.save(),
    }));
  }

  restore(saved: unknown): void {
    for (const { transport, level, device, backend } of saved as readonly SavedSlot[]) {
      const slot = this.slots.get(transport);
      if (slot === undefined) throw new RangeError(`no device ${transport}`);
      slot.device.restore(device);
      slot.plugged.restore(backend);
      slot.level = level;
    }
  }
}

interface SavedSlot {
  transport: number;
  level: 0 | 1;
  device: unknown;
  backend: unknown;
}

/** Whether a queue has used what the recording says, or more. */
function hasUsed(device: VirtioMmio, { queue, index, packed, size }: RecordedUsed): boolean {
  const state = device.state.queues[queue];
  if (state?.ready !== true) return false;
  if (packed !== true) return ((state.usedIdx - index) & 0xffff) < 0x8000;
  // Places of a ring passed twice: once for each value of the wrap counter (VIRTIO 1.2, 2.8.1).
  const place = (at: number, wrap: boolean): number => at + (wrap ? 0 : size);
  const now = place(state.usedIdx, state.usedWrap);
  const then = place(index & 0x7fff, (index & 0x8000) !== 0);
  return (now - then + 2 * size) % (2 * size) < size;
}
