import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TraceError } from '../../../trace/errors.ts';
import type {
  Debuggee,
  DevicePlan,
  FinalState,
  RecordedUsed,
  ReplaySetup,
  ReplaySink,
  ReplayTarget,
} from '../../target.ts';
import { capabilities } from '../qemu/capabilities.ts';
import { readPixmap } from '../qemu/screen.ts';
import { QemuTarget } from '../qemu/target.ts';
import { explained, launch, type BackendChoice } from './backend.ts';
import { choose, type BackendOption } from './choose.ts';
import { PrivateFolder, type BackendProcess } from './process.ts';

/** Least time for asking a QEMU what it is. Milliseconds. */
const START_MS = 20_000;
/** First version of QEMU that is known to be the front-end of a gpu without KVM. */
const GPU_VERSION = 10;

/** Whether this QEMU can be the front-end of a back-end that nobody asked for by name. */
function canFront(qemu: string, plan: DevicePlan): boolean {
  // What libvhost-user is made for, and so what the programs that we know serve.
  if (plan.version === 1) return false;
  return plan.kind !== 'gpu' || Number(/^QEMU (\d+)/.exec(qemu)?.[1] ?? 0) >= GPU_VERSION;
}

interface Behind {
  choice: BackendChoice;
  started: BackendProcess | undefined;
  diskPath: string | undefined;
  /** Rejects when the back-end ends. */
  lost: Promise<never> | undefined;
}

/**
 * A replay into vhost-user back-ends with a stock QEMU as their front-end: what QEMU users have, and possible without a
 * foreign function interface. QEMU's other devices are emulated as in a replay into QEMU.
 */
export class QemuFrontEnd implements ReplayTarget {
  name = 'vhost-user behind QEMU';
  private readonly binary: readonly string[];
  private readonly backends: readonly BackendOption[];
  private readonly setup: ReplaySetup;
  private readonly sink: ReplaySink;
  private readonly behind = new Map<number, Behind>();
  private folder: PrivateFolder | undefined;
  private qemu: QemuTarget | undefined;

  constructor(
    binary: readonly string[],
    backends: readonly BackendOption[],
    setup: ReplaySetup,
    sink: ReplaySink,
  ) {
    this.binary = binary;
    this.backends = backends;
    this.setup = setup;
    this.sink = sink;
  }

  async start(): Promise<void> {
    try {
      const { name } = await capabilities(this.binary, Math.max(START_MS, this.setup.timeoutMs));
      const choices = choose(this.setup.devices, this.backends, (plan) => canFront(name, plan));
      const folder = new PrivateFolder();
      this.folder = folder;
      const swap = new Map<number, readonly string[]>();
      for (const choice of choices) {
        const { plan, command } = choice;
        const socket = choice.socket ?? join(folder.path, `${plan.transport}.sock`);
        const parts = command === undefined ? NOT_OURS : launch(plan, command, folder, socket);
        this.behind.set(plan.transport, { choice, ...parts, lost: lossOf(plan, parts.started) });
        await this.listening(choice, parts.started, socket);
        swap.set(plan.transport, deviceWords(choice, socket));
      }
      this.qemu = new QemuTarget({ binary: this.binary, swap }, this.setup, this.sink);
      await this.during(() => this.qemu!.start());
      this.name = `${this.qemu.name} in front of vhost-user (${choices.map(label).join('; ')})`;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  private async listening(
    { plan }: BackendChoice,
    started: BackendProcess | undefined,
    socket: string,
  ): Promise<void> {
    try {
      const there = (): true | undefined => (existsSync(socket) ? true : undefined);
      if (started !== undefined) await started.until(there, this.setup.timeoutMs, 'open its socket');
      else if (there() === undefined) throw new TraceError('E_TARGET', `there is no socket ${socket}`);
    } catch (error) {
      throw explained(error, plan, started);
    }
  }

  /** A failure of QEMU's is told with what back-ends that have ended said: it is mostly they who failed. */
  private async during<T>(work: () => T | Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      let told = error;
      for (const { choice, started } of this.behind.values())
        if (started?.ended !== undefined) told = explained(told, choice.plan, started);
      throw told;
    }
  }

  get debuggee(): Debuggee {
    return this.qemu!.debuggee!;
  }

  setMemory(gpa: number, bytes: Uint8Array): void {
    this.qemu!.setMemory(gpa, bytes);
  }

  read(step: number, address: number, size: number): void {
    this.qemu!.read(step, address, size);
  }

  write(step: number, address: number, size: number, value: number, high?: number): void {
    this.qemu!.write(step, address, size, value, high);
  }

  /** QEMU goes on without a back-end, but what that had to do is lost. */
  async used(step: number, used: RecordedUsed): Promise<boolean> {
    const came = this.during(() => this.qemu!.used(step, used));
    const lost = this.behind.get(used.transport)?.lost;
    if (lost === undefined) return came;
    // The loser of the race is nobody's business.
    came.catch(() => undefined);
    return Promise.race([came, lost]);
  }

  view(gpa: number, length: number): Uint8Array | Promise<Uint8Array> {
    return this.qemu!.view(gpa, length);
  }

  flush(): Promise<void> {
    return this.during(() => this.qemu!.flush());
  }

  async final(): Promise<FinalState> {
    const state = await this.during(() => this.qemu!.final());
    const disks = new Map(state.disks);
    const screens = new Map(state.screens);
    for (const [transport, { choice, diskPath }] of this.behind) {
      disks.delete(transport);
      if (diskPath !== undefined) disks.set(transport, readFileSync(diskPath));
      if (choice.plan.kind !== 'gpu') continue;
      const filename = join(this.folder!.path, `${transport}.ppm`);
      await this.qemu!.qmp('screendump', { device: `gpu${transport}`, filename });
      screens.set(transport, readPixmap(readFileSync(filename)));
    }
    return { ...state, disks, screens };
  }

  async stop(): Promise<void> {
    await this.qemu?.stop();
    for (const { started } of this.behind.values()) await started?.stop();
    await this.folder?.remove();
    this.folder = undefined;
  }
}

const NOT_OURS = { started: undefined, diskPath: undefined };

function lossOf(plan: DevicePlan, started: BackendProcess | undefined): Promise<never> | undefined {
  if (started === undefined) return undefined;
  const lost = new Promise<never>((_, reject) => {
    started.onEnd(() => {
      reject(explained(new TraceError('E_TARGET', 'the back-end is gone'), plan, started));
    });
  });
  lost.catch(() => undefined);
  return lost;
}

const label = ({ plan, command, socket }: BackendChoice): string =>
  `${plan.kind} ${plan.transport} by ${command?.[0]?.split('/').at(-1) ?? socket ?? ''}`;

/** What stands in QEMU's command line for a device of which a back-end does the work. */
function deviceWords({ plan }: BackendChoice, socket: string): string[] {
  const { transport, kind } = plan;
  const device = QEMU_DEVICES[kind];
  if (device === undefined)
    throw new TraceError('E_TARGET', `QEMU has no vhost-user front-end for transport ${transport}, ${kind}`, {
      expected: 'a block device or a gpu',
    });
  return [
    ...['-chardev', `socket,id=vhost${transport},path=${socket.replaceAll(',', ',,')}`],
    ...[
      '-device',
      `${device},id=${kind}${transport},bus=virtio-mmio-bus.${transport},chardev=vhost${transport}`,
    ],
    // The back-end is notified by an eventfd; this word comes after the one that turns them off.
    ...['-global', 'virtio-mmio.ioeventfd=on'],
  ];
}

const QEMU_DEVICES: Readonly<Partial<Record<BackendChoice['plan']['kind'], string>>> = {
  blk: 'vhost-user-blk',
  gpu: 'vhost-user-gpu',
};
