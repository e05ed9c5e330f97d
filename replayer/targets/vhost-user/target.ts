import { RamBanks } from '../../../devices/guest-memory.ts';
import { VirtioMmio } from '../../../devices/transport/virtio-mmio.ts';
import type {
  DevicePlan,
  FinalState,
  MakeTarget,
  RecordedUsed,
  ReplaySetup,
  ReplaySink,
  ReplayTarget,
} from '../../target.ts';
import { builtinTarget } from '../builtin.ts';
import { Backend } from './backend.ts';
import { choose, type BackendOption } from './choose.ts';
import type { RingMode } from './model.ts';
import { loadPosix, type Posix } from './posix.ts';
import { PrivateFolder } from './process.ts';
import { SHADOW_BYTES } from './shadow-ring.ts';
import { QemuFrontEnd } from './qemu-front-end.ts';
import { SharedRam } from './shared-ram.ts';

export type { BackendOption };

export interface VhostUserOptions {
  /** None: the back-ends that Linux distributions have, for each device that one of them can serve. */
  backends?: readonly BackendOption[];
  /**
   * 'own' (default): the guest's rings are served here, and back-ends get the requests over rings of our own; guests
   * of every kind, and the recorded order of completion. 'guest': the back-end serves the guest's rings.
   */
  rings?: RingMode;
  /**
   * Words of the command that starts a QEMU: it is the front-end then, in our place, and emulates the other devices too.
   * Needs no koffi; back-ends serve the guest's rings and complete in their own order.
   */
  qemu?: readonly string[];
  /** For tests: where system calls come from, and the target of the other devices. */
  posix?: () => Promise<Posix>;
  rest?: (options: { memory: RamBanks }) => MakeTarget;
}

/** Bytes of a device's register window. */
const WINDOW = 0x200;

/**
 * A replay into vhost-user back-ends. The registers, guest memory, and every device without a back-end are ours; the
 * requests of the others are carried out by back-ends, which see the guest's memory and nothing else of the guest.
 */
export function vhostUserTarget(options: VhostUserOptions = {}): MakeTarget {
  const { qemu, backends = [] } = options;
  return (setup, sink) =>
    qemu === undefined
      ? new VhostUserTarget(options, setup, sink)
      : new QemuFrontEnd(qemu, backends, setup, sink);
}

interface Served {
  backend: Backend;
  device: VirtioMmio;
}

class VhostUserTarget implements ReplayTarget {
  name = 'vhost-user';
  private readonly options: VhostUserOptions;
  private readonly setup: ReplaySetup;
  private readonly sink: ReplaySink;
  private readonly served = new Map<number, Served>();
  private posix: Posix | undefined;
  private folder: PrivateFolder | undefined;
  private ram: SharedRam | undefined;
  private rest: ReplayTarget | undefined;
  private step = 0;
  private stopped = false;

  constructor(options: VhostUserOptions, setup: ReplaySetup, sink: ReplaySink) {
    this.options = options;
    this.setup = setup;
    this.sink = sink;
  }

  async start(): Promise<void> {
    const { setup, sink } = this;
    try {
      this.posix = await (this.options.posix ?? loadPosix)();
      const choices = choose(setup.devices, this.options.backends ?? []);
      this.folder = new PrivateFolder();
      const rings = choices.reduce((sum, { plan }) => sum + MOST_QUEUES[plan.kind], 0);
      const ram = new SharedRam(this.posix, setup.ram, rings * SHADOW_BYTES);
      this.ram = ram;
      const memory = new RamBanks(ram.banks);
      const mode = this.options.rings ?? 'own';
      for (const choice of choices) {
        const backend = await Backend.open(this.posix, ram, this.folder, choice, mode, setup.timeoutMs);
        this.served.set(choice.plan.transport, {
          backend,
          device: this.plug(backend, memory),
        });
      }
      const others = setup.devices.filter(({ transport }) => !this.served.has(transport));
      const rest = this.options.rest ?? builtinTarget;
      this.rest = rest({ memory })({ ...setup, devices: others }, sink);
      await this.rest.start();
      this.rename();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  private plug({ model, plan }: Backend, memory: RamBanks): VirtioMmio {
    let now: 0 | 1 = 0;
    return new VirtioMmio({
      version: plan.version,
      model,
      memory,
      line: {
        set: (level) => {
          if (level !== now) this.sink.line(this.step, plan.transport, level);
          now = level;
        },
      },
      ...(plan.offered === undefined ? {} : { offered: plan.offered }),
      ...(plan.queueNumMax === undefined ? {} : { queueNumMax: plan.queueNumMax }),
    });
  }

  /** Who serves what, for the result. */
  private rename(): void {
    const parts = [...this.served.values()].map(({ backend }) => {
      const { plan, label, lacks } = backend;
      const without = lacks.length === 0 ? '' : `, which lacks ${lacks.join(', ')}`;
      return `${plan.kind} ${plan.transport} by ${label}${without}`;
    });
    const others = this.setup.devices.length - this.served.size;
    this.name = `vhost-user (${parts.join('; ')}${others > 0 ? '; the rest built in' : ''})`;
  }

  setMemory(gpa: number, bytes: Uint8Array): void {
    // What a back-end still reads must not change under it: the recorded device had read it at this point.
    for (const { backend } of this.served.values()) this.settle(backend);
    this.rest!.setMemory(gpa, bytes);
  }

  private at(address: number): Served | undefined {
    for (const entry of this.served.values()) {
      const { base } = entry.backend.plan;
      if (address >= base && address < base + WINDOW) return entry;
    }
    return undefined;
  }

  read(step: number, address: number, size: number): void {
    const served = this.at(address);
    this.step = step;
    if (served === undefined) {
      this.rest!.read(step, address, size);
      return;
    }
    const { device, backend } = served;
    const offset = address - backend.plan.base;
    const low = device.read(offset, Math.min(size, 4));
    this.sink.answer(step, low, size === 8 ? device.read(offset + 4, 4) : 0);
  }

  write(step: number, address: number, size: number, value: number, high = 0): void {
    const served = this.at(address);
    this.step = step;
    if (served === undefined) {
      this.rest!.write(step, address, size, value, high);
      return;
    }
    const { device, backend } = served;
    const offset = address - backend.plan.base;
    try {
      device.write(offset, Math.min(size, 4), value);
      if (size === 8) device.write(offset + 4, 4, high);
    } catch (error) {
      throw backend.explained(error);
    }
  }

  /** Waits, within the time limit, until a back-end has carried out what it was given. */
  private settle(backend: Backend): void {
    const end = Date.now() + this.setup.timeoutMs;
    try {
      while (backend.collect() > 0 && Date.now() < end) backend.wait(Math.min(100, this.setup.timeoutMs));
      backend.check();
    } catch (error) {
      throw backend.explained(error);
    }
  }

  async used(step: number, used: RecordedUsed): Promise<boolean> {
    const served = this.served.get(used.transport);
    if (served === undefined) return await this.rest!.used(step, used);
    this.step = step;
    const { backend } = served;
    try {
      const { model } = backend;
      const end = Date.now() + this.setup.timeoutMs;
      while (backend.collect() > 0 && !model.done(used) && Date.now() < end) {
        backend.wait(5);
        // A key of the user's and the end of the back-end come by way of the event loop.
        if (!model.done(used)) await new Promise((done) => setImmediate(done));
      }
      const all = model.done(used);
      if (!all) backend.check();
      model.release(used);
      return all;
    } catch (error) {
      throw await backend.explain(error);
    }
  }

  view(gpa: number, length: number): Uint8Array | Promise<Uint8Array> {
    return this.rest!.view(gpa, length);
  }

  async flush(): Promise<void> {
    await this.rest!.flush();
  }

  async final(): Promise<FinalState> {
    const rest = await this.rest!.final();
    const disks = new Map(rest.disks);
    const screens = new Map(rest.screens);
    for (const [transport, { backend }] of this.served) {
      this.settle(backend);
      const disk = backend.disk();
      if (disk !== undefined) disks.set(transport, disk);
      if (backend.gpu?.screen !== undefined) screens.set(transport, backend.gpu.screen);
    }
    this.rename();
    return { ...rest, disks, screens };
  }

  async stop(): Promise<void> {
    if (this.stopped) return;
    this.stopped = true;
    await this.rest?.stop();
    for (const { backend } of this.served.values()) await backend.stop();
    this.ram?.close();
    await this.folder?.remove();
  }
}

/** Rings to have room for. */
const MOST_QUEUES: Readonly<Record<DevicePlan['kind'], number>> = { blk: 16, gpu: 2, net: 3, console: 64 };
