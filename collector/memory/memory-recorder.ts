import { TraceError, isTraceError } from '../../trace/errors.ts';
import type { MemoryFacts } from '../../trace/recording-facts.ts';
import { GUEST_VIRTIO_MMIO_BASE, VIRTIO_MMIO_WINDOW } from '../../trace/virtio-mmio.ts';
import { deviceNamed } from '../probes/device-names.ts';
import type { DeviceModelView, HostView } from '../probes/host-view.ts';
import { QmpClient } from '../record/qmp.ts';
import type { RawFiles } from '../record/raw-files.ts';
import { writeAccessJsonl } from '../sources/access-jsonl/write.ts';
import type { HostTransport } from '../transports/transport.ts';
import { ChainTracker } from './chain-tracker.ts';
import { GuestMemory } from './guest-memory.ts';
import { IoreqSlots } from './ioreq-slots.ts';
import { IoreqWatcher } from './ioreq-watcher.ts';
import { loadLibc, type Mapping } from './libc.ts';
import { Privcmd } from './privcmd.ts';
import { readDeviceStates, type DeviceState } from './qemu-state.ts';
import { synthesise } from './synthesise.ts';
import { SyscallTracer } from './syscall-tracer.ts';
import { eventLoopThreads } from './threads.ts';
import { ProcessView } from './tracee-view.ts';

/** Among the raw files. */
export const MEMORY_FILE = 'memory.jsonl';
/** Xen's MAX_NR_IOREQ_SERVERS. */
const SERVERS = 8;
/** Windows of the virtio-mmio range of a guest (xen/include/public/arch-arm.h). */
const WINDOWS = 0x10_0000 / VIRTIO_MMIO_WINDOW;
const FLUSH_MS = 500;

export interface MemoryOptions {
  /** What buffers hold is recorded, not only its length and hash. */
  payload: boolean;
  /** Only these devices, by name, base or line (deviceNamed); all if empty or absent. */
  devices?: readonly string[];
}

/**
 * Records what a replay needs of a domain that runs: its accesses, and the memory that they are about, while its
 * vCPUs are held in them (docs/RECORDING.md). Runs in Dom0 itself; changes nothing there: its device models are
 * followed by ptrace, and are free when this process ends in whatever way.
 */
export class MemoryRecorder {
  readonly failed: Promise<TraceError>;
  readonly warnings: string[] = [];
  private readonly payload: boolean;
  private readonly privcmd: Privcmd;
  private readonly pages: Mapping[];
  private readonly memory: GuestMemory;
  private readonly tracker: ChainTracker;
  private readonly tracer: SyscallTracer;
  private readonly watcher: IoreqWatcher;
  /** Transports that are recorded; undefined: all. */
  private readonly only: ReadonlySet<number> | undefined;
  private readonly views = new Map<number, ProcessView>();
  private readonly waiting = new Map<number, readonly DeviceState[]>();
  private timer: NodeJS.Timeout | undefined;
  private inFlight = 0;
  private synthesised = 0;
  private ending: Promise<MemoryFacts> | undefined;
  private tellFailed: (error: TraceError) => void = () => undefined;

  private constructor(
    parts: { privcmd: Privcmd; pages: Mapping[]; libc: Awaited<ReturnType<typeof loadLibc>> },
    view: HostView,
    files: Pick<RawFiles, 'append'>,
    { payload, devices = [] }: MemoryOptions,
  ) {
    const { privcmd, pages, libc } = parts;
    const { domid } = view.domain;
    this.payload = payload;
    this.privcmd = privcmd;
    this.pages = pages;
    this.memory = new GuestMemory(privcmd, domid);
    this.tracker = new ChainTracker({
      read: this.memory.read,
      base: GUEST_VIRTIO_MMIO_BASE,
      slots: WINDOWS,
      contents: payload,
      flush: (batch) => {
        files.append(MEMORY_FILE, Buffer.from(writeAccessJsonl(batch)));
      },
    });
    const bases = devices.map((name) => deviceNamed(view, name).base);
    this.only = bases.length === 0 ? undefined : new Set(bases.map((base) => this.tracker.transport(base)));
    this.watcher = new IoreqWatcher({
      ...(this.only === undefined ? {} : { only: this.only }),
      domid,
      pages: pages.map(({ bytes }) => new IoreqSlots(bytes)),
      views: this.views,
      remotePort: (port) => {
        const remote = privcmd.remotePort(port);
        return remote?.domid === domid ? remote.port : undefined;
      },
      tracker: this.tracker,
      base: GUEST_VIRTIO_MMIO_BASE,
      transportOf: new Map(view.devices.map(({ base, spi }) => [spi, this.tracker.transport(base)])),
      invalidate: () => {
        this.memory.drop();
      },
      now: () => performance.now(),
      held: () => this.tracer.heldMs,
      begun: ({ pid, tid }) => {
        if (pid === tid) this.begun(pid);
      },
    });
    this.tracer = new SyscallTracer(libc, this.watcher);
    this.failed = new Promise((resolve) => (this.tellFailed = resolve));
    void this.tracer.failed.then((error) => {
      this.fail(error);
    });
  }

  /** Begins at once. Rejects with E_HOST, and nothing is left then. */
  static async start(
    host: HostTransport,
    view: HostView,
    files: Pick<RawFiles, 'append'>,
    options: MemoryOptions,
  ): Promise<MemoryRecorder> {
    const libc = await loadLibc();
    const privcmd = new Privcmd(libc);
    const pages: Mapping[] = [];
    for (let server = 0; server < SERVERS; server++) {
      const page = privcmd.ioreqPage(view.domain.domid, server);
      if (page !== undefined) pages.push(page);
    }
    const recorder = new MemoryRecorder({ privcmd, pages, libc }, view, files, options);
    try {
      if (pages.length === 0)
        throw new TraceError('E_HOST', 'the domain has no ioreq page that Dom0 may see', {
          got: `domain ${view.domain.domid}`,
        });
      for (const model of view.deviceModels) await recorder.follow(host, model);
    } catch (error) {
      await recorder.stop();
      throw error;
    }
    recorder.timer = setInterval(() => {
      recorder.flush();
    }, FLUSH_MS);
    return recorder;
  }

  private async follow(host: HostTransport, model: DeviceModelView): Promise<void> {
    const { pid } = model;
    const states = await deviceStates(host, model);
    if (typeof states === 'string')
      this.warnings.push(
        `process ${pid} does not tell how its devices were set up (${states}): what a driver did before the recording is missing`,
      );
    else if (states.length > 0) this.waiting.set(pid, states);
    try {
      this.views.set(pid, new ProcessView(pid));
    } catch {
      throw new TraceError('E_HOST', `the memory of process ${pid} cannot be read`, {
        expected: 'root in Dom0',
      });
    }
    for (const tid of eventLoopThreads(pid)) this.tracer.follow(pid, tid);
  }

  /** The device model stands still for the first time. */
  private begun(pid: number): void {
    for (const state of this.waiting.get(pid) ?? []) {
      const transport = this.tracker.transport(state.window);
      if (this.only?.has(transport) === false) continue;
      this.inFlight += synthesise(this.tracker, this.memory.read, state);
      this.watcher.inUse(transport);
      this.synthesised++;
    }
    this.waiting.delete(pid);
  }

  private flush(): void {
    try {
      this.tracker.flush();
    } catch (error) {
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    clearInterval(this.timer);
    this.tellFailed(
      isTraceError(error)
        ? error
        : new TraceError(
            'E_HOST',
            `recording memory failed: ${error instanceof Error ? error.message : String(error)}`,
          ),
    );
  }

  /** ioreqs recorded by now, and how much longer than by themselves they took at least; NaN: not known. */
  get status(): { ioreqs: number; slower: number } {
    const { ioreqs, busyMs, heldMs } = this.watcher;
    return { ioreqs, slower: busyMs > heldMs && ioreqs > 0 ? busyMs / (busyMs - heldMs) : NaN };
  }

  /** Lets the device models go and writes what is left. May be called again. */
  stop(): Promise<MemoryFacts> {
    return (this.ending ??= this.end());
  }

  private async end(): Promise<MemoryFacts> {
    clearInterval(this.timer);
    await this.tracer.stop();
    try {
      this.tracker.finish();
    } catch (error) {
      this.fail(error);
    }
    const facts = this.facts();
    for (const view of this.views.values()) view.close();
    this.memory.drop();
    for (const page of this.pages) page.release();
    this.privcmd.close();
    return facts;
  }

  private facts(): MemoryFacts {
    const { lost } = this.tracker;
    const { slower, ioreqs } = this.status;
    return {
      payload: this.payload,
      ioreqs,
      lines: this.watcher.lines,
      ...(Number.isNaN(slower) ? {} : { slower: Math.round(slower * 100) / 100 }),
      synthesised: this.synthesised,
      inFlight: this.inFlight,
      racy: lost.racyElements,
      lost: lost.brokenChains + lost.brokenRings + lost.unknownElements,
    };
  }
}

/** None if the driver has not begun; a text if the device model cannot tell. */
async function deviceStates(host: HostTransport, model: DeviceModelView): Promise<DeviceState[] | string> {
  const { qmpSocket } = model;
  if (qmpSocket === undefined) return 'it has no QMP monitor';
  try {
    const client = await QmpClient.open(await host.connect(qmpSocket), qmpSocket);
    try {
      return await readDeviceStates(client);
    } finally {
      client.close();
    }
  } catch (error) {
    if (isTraceError(error)) return error.message;
    throw error;
  }
}
