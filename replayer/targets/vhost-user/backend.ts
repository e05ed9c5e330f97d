import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isTraceError, TraceError } from '../../../trace/errors.ts';
import { featureName } from '../../feature-names.ts';
import type { DevicePlan } from '../../target.ts';
import { Connection } from './connection.ts';
import { displaySize } from '../display.ts';
import { GpuSocket } from './gpu-socket.ts';
import { featureBits, VhostUserModel, type RingMode } from './model.ts';
import type { Posix } from './posix.ts';
import { BackendProcess, type PrivateFolder } from './process.ts';
import type { SharedRam } from './shared-ram.ts';

/** Who serves a transport: a command that we start, or the socket of a back-end that runs already. */
export interface BackendChoice {
  plan: DevicePlan;
  /** Words of a command line; {socket} and {disk} stand for paths in our private folder. */
  command?: readonly string[];
  socket?: string;
}

/** Where Debian and others put the programs that are no commands of their own. */
const GPU_PLACES = [
  '/usr/lib/qemu/vhost-user-gpu',
  '/usr/libexec/vhost-user-gpu',
  '/usr/libexec/qemu/vhost-user-gpu',
];
const STORAGE_DAEMON = 'qemu-storage-daemon';

/** The program of a Linux distribution that serves such a device; undefined if there is none on this machine. */
export function stockCommand(plan: Pick<DevicePlan, 'kind' | 'disk'>): readonly string[] | undefined {
  if (plan.kind === 'gpu') {
    const program = GPU_PLACES.find((path) => existsSync(path));
    return program === undefined ? undefined : [program, '-s', '{socket}'];
  }
  if (plan.kind !== 'blk' || spawnSync(STORAGE_DAEMON, ['--version']).status !== 0) return undefined;
  return [
    STORAGE_DAEMON,
    '--blockdev',
    'driver=file,node-name=disk,filename={disk},discard=unmap,locking=off',
    '--export',
    'type=vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path={socket}' +
      (plan.disk?.readOnly === true ? '' : ',writable=on'),
  ];
}

const QUEUES: Readonly<Partial<Record<DevicePlan['kind'], number>>> = { gpu: 2, net: 2, console: 2 };

/** One back-end with its connection and the device in front of it. */
export class Backend {
  readonly plan: DevicePlan;
  /** Who it is, for the result. */
  readonly label: string;
  readonly model: VhostUserModel;
  readonly connection: Connection;
  readonly gpu: GpuSocket | undefined;
  private readonly posix: Posix;
  private readonly process: BackendProcess | undefined;
  private readonly diskPath: string | undefined;

  private constructor(parts: {
    plan: DevicePlan;
    label: string;
    model: VhostUserModel;
    connection: Connection;
    gpu: GpuSocket | undefined;
    posix: Posix;
    process: BackendProcess | undefined;
    diskPath: string | undefined;
  }) {
    this.plan = parts.plan;
    this.label = parts.label;
    this.model = parts.model;
    this.connection = parts.connection;
    this.gpu = parts.gpu;
    this.posix = parts.posix;
    this.process = parts.process;
    this.diskPath = parts.diskPath;
  }

  /** Starts or reaches a back-end and makes its device. Leaves nothing behind when it fails. */
  static async open(
    posix: Posix,
    ram: SharedRam,
    folder: PrivateFolder,
    choice: BackendChoice,
    mode: RingMode,
    timeoutMs: number,
  ): Promise<Backend> {
    const { plan, command } = choice;
    const n = plan.transport;
    const socket = choice.socket ?? join(folder.path, `${n}.sock`);
    let diskPath: string | undefined;
    let started: BackendProcess | undefined;
    let gpu: GpuSocket | undefined;
    let fd = -1;
    try {
      if (command !== undefined) {
        ({ started, diskPath } = launch(plan, command, folder, socket));
        fd = await started.until(() => reach(posix, socket), timeoutMs, 'open its socket');
      } else fd = posix.connect(socket);
      const connection = new Connection(posix, fd, timeoutMs);
      connection.open();
      if (plan.kind === 'gpu') {
        const edid = plan.edid === undefined ? {} : { edid: plan.edid };
        gpu = new GpuSocket(posix, { size: displaySize(plan.edid), ...edid, timeoutMs });
        connection.setGpuSocket(gpu.theirs);
        posix.close(gpu.theirs);
      }
      const queues = QUEUES[plan.kind] ?? Math.max(1, connection.queues());
      const model = new VhostUserModel({ posix, connection, ram }, plan, queues, mode);
      const label = command?.[0]?.split('/').at(-1) ?? socket;
      return new Backend({ plan, label, model, connection, gpu, posix, process: started, diskPath });
    } catch (error) {
      if (fd >= 0) posix.close(fd);
      gpu?.close();
      await started?.stop();
      throw explained(error, plan, started);
    }
  }

  /** Takes what has come from the back-end; the number of requests that it still has. */
  collect(): number {
    const pending = this.model.collect();
    // After it: what a flushed image shows was sent before the flush was given back.
    if (this.gpu !== undefined) this.gpu.serve();
    return pending;
  }

  /** Waits until something comes from the back-end. */
  wait(timeoutMs: number): void {
    const { gpu } = this;
    const fds = [this.connection.fd, ...(gpu === undefined ? [] : [gpu.fd]), ...this.model.calls];
    const [connection] = this.posix.poll(fds, timeoutMs);
    // Nothing comes unasked on the connection but its end.
    if (connection!.hangup) throw new TraceError('E_TARGET', 'the back-end closed the connection');
  }

  /** What is pending is late: throws unless the back-end still answers; then it is waited for no more. */
  check(): void {
    if (this.collect() === 0) return;
    this.connection.alive();
    this.model.giveUp();
  }

  /** The error with what the back-end said and how it ended. */
  async explain(error: unknown): Promise<unknown> {
    // The news of its end arrives by way of the event loop.
    for (let i = 0; i < 20 && this.process !== undefined && this.process.ended === undefined; i++)
      await new Promise((done) => setTimeout(done, 5));
    return this.explained(error);
  }

  /** The same with what is known at once. */
  explained(error: unknown): unknown {
    return explained(error, this.plan, this.process);
  }

  /** Features that the recorded guest used and the back-end lacks. */
  get lacks(): string[] {
    return featureBits(this.model.lacking()).map((bit) => featureName(this.plan.kind, bit));
  }

  /** The disk as the back-end has left it, if it is ours. */
  disk(): Uint8Array | undefined {
    return this.diskPath === undefined ? undefined : readFileSync(this.diskPath);
  }

  get pid(): number | undefined {
    return this.process?.pid;
  }

  async stop(): Promise<void> {
    this.model.close();
    this.gpu?.close();
    this.posix.close(this.connection.fd);
    await this.process?.stop();
  }
}

/** Starts a back-end with what its command line names. */
export function launch(
  plan: DevicePlan,
  command: readonly string[],
  folder: PrivateFolder,
  socket: string,
): { started: BackendProcess; diskPath: string | undefined } {
  const n = plan.transport;
  let diskPath: string | undefined;
  if (command.some((word) => word.includes('{disk}'))) {
    if (plan.disk === undefined)
      throw new TraceError('E_NOT_REPLAYABLE', `the back-end of transport ${n} needs the disk's start image`);
    diskPath = join(folder.path, `${n}.img`);
    writeFileSync(diskPath, plan.disk.bytes, { mode: 0o600 });
  }
  const words = command.map((word) =>
    word.replaceAll('{socket}', socket).replaceAll('{disk}', diskPath ?? ''),
  );
  return { started: new BackendProcess(words, folder, `${n}.log`), diskPath };
}

function reach(posix: Posix, socket: string): number | undefined {
  if (!existsSync(socket)) return undefined;
  try {
    return posix.connect(socket);
  } catch {
    // It listens a moment after its socket is there.
    return undefined;
  }
}

/** A failure of the target's with the transport it is about, and what its back-end said and how it ended. */
export function explained<E>(
  error: E,
  plan: DevicePlan,
  started: BackendProcess | undefined,
): E | TraceError {
  if (!isTraceError(error) || error.code !== 'E_TARGET') return error;
  const words = started?.words() ?? '';
  const already = words === '' || error.message.includes(words);
  const text = already ? error.message : `${error.message}; ${words}`;
  return new TraceError('E_TARGET', `transport ${plan.transport} (${plan.kind}): ${text}`);
}
