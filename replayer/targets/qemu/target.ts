import { closeSync, fstatSync, readSync } from 'node:fs';
import type { Socket } from 'node:net';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { TraceError } from '../../../trace/errors.ts';
import type {
  Debuggee,
  FinalState,
  MakeTarget,
  RecordedUsed,
  ReplaySetup,
  ReplaySink,
  ReplayTarget,
} from '../../target.ts';
import { capabilities } from './capabilities.ts';
import * as virt from './command-line.ts';
import { Connections } from './connections.ts';
import { debuggee } from './debuggee.ts';
import { defaultBinary, QemuProcess } from './process.ts';
import { Qmp } from './qmp.ts';
import { Qtest } from './qtest.ts';
import { namelessFile, RamFile } from './ram-file.ts';
import { appeared, watchedBytes } from './ring-watch.ts';
import { readPixmap } from './screen.ts';

export interface QemuOptions {
  /** Words of the command that starts QEMU. Default: IOREQ_TRACE_QEMU, or Debian's qemu-system-aarch64. */
  binary?: readonly string[];
  /** By transport: words that take the place of its `-device` and whatever belongs to it. */
  swap?: ReadonlyMap<number, readonly string[]>;
}

/** A stock QEMU, machine virt, whose CPU never runs and whose virtio-mmio devices get the recorded accesses. */
export const qemuTarget =
  (options: QemuOptions = {}): MakeTarget =>
  (setup, sink) =>
    new QemuTarget(options, setup, sink);

/** Offsets of registers that the target itself must know (VIRTIO 1.2, 4.2.2). Status 0 resets a device. */
const QUEUE_NOTIFY = 0x50;
const STATUS = 0x70;
const OFFSET_MASK = virt.VIRT_TRANSPORT_BYTES - 1;
/** Index of a used ring in which nothing is. */
const NO_INDEX = new Uint8Array(2);
/** Least time for starting QEMU on a busy machine. Milliseconds. */
const START_MS = 10_000;
/** Looks at a used ring without a pause in between, then one a millisecond. */
const QUICK_LOOKS = 64;

export class QemuTarget implements ReplayTarget {
  name = 'QEMU';
  debuggee?: Debuggee;
  private readonly options: QemuOptions;
  private readonly setup: ReplaySetup;
  private readonly sink: ReplaySink;
  private readonly base: number;
  private ram: RamFile | undefined;
  private screen: number | undefined;
  private qemu: QemuProcess | undefined;
  private monitor: Qmp | undefined;
  private qtest!: Qtest;
  private readonly ends = new Connections();
  private readonly gpus = new Set<number>();
  /** By transport: 1 if the target must look at its writes. */
  private readonly watched = new Uint8Array(virt.VIRT_TRANSPORTS);
  /** By transport: used rings (split) that were looked at since its last reset. */
  private readonly rings = new Map<number, Set<number>>();
  /** Called when QEMU ends: those who wait for it. */
  private readonly waiting = new Set<() => void>();
  /**
   * A notify of a gpu that QEMU has not been given. It works on commands at the bottom of its main loop: in the
   * recording when the guest had gone on and set used_event anew. So it gets the memory that was recorded up to
   * the next access or used element first.
   */
  private late: { step: number; place: number; value: number } | undefined;
  /** First thing that went wrong; everything afterwards fails with it. */
  private failure: TraceError | undefined;
  private stopped = false;

  constructor(options: QemuOptions, setup: ReplaySetup, sink: ReplaySink) {
    this.options = options;
    this.setup = setup;
    this.sink = sink;
    this.base = virt.transportBase(setup.devices);
  }

  async start(): Promise<void> {
    try {
      await this.begin();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  private async begin(): Promise<void> {
    for (const { kind, transport, disk } of this.setup.devices)
      if (kind === 'blk' && disk === undefined && this.options.swap?.has(transport) !== true)
        throw new TraceError(
          'E_NOT_REPLAYABLE',
          `transport ${transport} is a disk, and its start image is not known`,
        );
    for (const plan of this.setup.devices)
      if (this.options.swap?.has(plan.transport) !== true) virt.checkOffloads(plan, this.setup.ignore ?? []);
    const binary = this.options.binary ?? defaultBinary();
    const limit = Math.max(START_MS, this.setup.timeoutMs);
    const found = await capabilities(binary, limit);
    this.name = found.name;
    if (this.stopped) throw new TraceError('E_TARGET', 'the replay was stopped before QEMU ran');
    const { args, peers } = virt.commandLine(this.setup, found, this.options.swap ?? new Map());
    const { base, length } = virt.machineRam(this.setup.ram);
    this.ram = new RamFile(base, length);
    this.screen = namelessFile();
    const qemu = new QemuProcess(binary, args, [
      ...(['pipe', 'pipe'] as const),
      ...[this.ram.fd, this.screen],
      ...peers.map(() => 'pipe' as const),
    ]);
    this.qemu = qemu;
    this.qtest = new Qtest(qemu.ends[0] as unknown as Socket, this.ram, {
      value: (step, low, high) => {
        this.sink.answer(step, low, high);
      },
      line: (step, input, level) => {
        const transport = input - virt.VIRT_SPI;
        if (transport >= 0 && transport < virt.VIRT_TRANSPORTS) this.sink.line(step, transport, level);
      },
    });
    const monitor = new Qmp(qemu.ends[1] as unknown as Socket);
    this.monitor = monitor;
    qemu.onEnd(() => {
      const gone = this.failure ?? qemu.gone(` at step ${this.qtest.step}`);
      monitor.end(gone);
      this.qtest.end();
      for (const wake of this.waiting) wake();
    });
    for (const { kind, transport } of this.setup.devices) {
      if (kind === 'gpu') this.gpus.add(transport);
      this.watched[transport] = 1;
    }
    for (const [i, peer] of peers.entries()) {
      const plan = this.setup.devices.find(({ transport }) => transport === peer.transport)!;
      this.ends.add(peer, plan, qemu.ends[4 + i]!);
    }
    const gic = await this.within(this.findGic(monitor), limit);
    if (this.ends.nets.size > 0) await this.within(this.netsConnected(monitor), limit);
    const answer = await this.within(this.qtest.command(`irq_intercept_in ${gic}`), limit);
    if (answer !== 'OK') throw this.fail(`QEMU refused: ${answer}`);
    // The board puts a device tree into its RAM, which the recorded guest's memory knows nothing of.
    this.ram.write(base, new Uint8Array(2 << 20));
    for (const disk of this.ends.disks.values()) disk.hold();
    this.debuggee = debuggee(
      qemu.pid,
      this.setup.devices.map(({ kind }) => kind),
    );
  }

  /** The interrupt controller of the board, by its type. */
  private async findGic(monitor: Qmp): Promise<string> {
    const parent = '/machine/unattached';
    const children = (await monitor.command('qom-list', { path: parent })) as {
      name: string;
      type: string;
    }[];
    const gic = children.find(({ type }) => type === 'child<arm_gic>');
    if (gic === undefined) throw this.fail('QEMU shows no interrupt controller');
    return `${parent}/${gic.name}`;
  }

  /** QEMU connects a stream netdev on its own time, and drops what the guest sends before. It shows a name when done. */
  private async netsConnected(monitor: Qmp): Promise<void> {
    const args = { 'command-line': 'info network' };
    while (/type=stream,\s*$/m.test((await monitor.command('human-monitor-command', args)) as string))
      await sleep(1);
  }

  setMemory(gpa: number, bytes: Uint8Array): void {
    if (!this.ram!.holds(gpa, bytes.length)) throw this.noRam(gpa, bytes.length);
    this.qtest.memory(gpa, bytes);
  }

  read(step: number, address: number, size: number): void {
    const place = this.place(step, address, size);
    if (this.late !== undefined) this.notify();
    this.qtest.read(step, place, size);
  }

  write(step: number, address: number, size: number, value: number, high = 0): void {
    const place = this.place(step, address, size);
    const transport = (place - virt.VIRT_TRANSPORT_BASE) >>> 9;
    const offset = place & OFFSET_MASK;
    if (this.late !== undefined) this.notify();
    if (this.watched[transport] === 0) this.qtest.write(step, place, size, value, high);
    else if (offset === QUEUE_NOTIFY && size === 4 && this.gpus.has(transport))
      this.late = { step, place, value };
    else if (offset === STATUS && value === 0) this.reset(transport, step, place, size);
    else {
      this.ends.nets.get(transport)?.outside.written(offset, value);
      this.qtest.write(step, place, size, value, high);
    }
  }

  private notify(): void {
    const { step, place, value } = this.late!;
    this.late = undefined;
    this.qtest.write(step, place, 4, value, 0);
  }

  /** QEMU ends all requests of a disk before it resets it: they are let through until it has. */
  private reset(transport: number, step: number, place: number, size: number): void {
    const done = this.ends.disks.get(transport)?.letThrough();
    this.qtest.write(step, place, size, 0, 0);
    if (done !== undefined) void this.qtest.command('endianness').then(done);
    // A driver clears a ring before it hands it out again, which nobody recorded: what was used before the reset must
    // not be taken for what is to be used after it.
    for (const ring of this.rings.get(transport) ?? []) this.qtest.memory(ring + 2, NO_INDEX);
    this.rings.delete(transport);
  }

  /** The recorded address on this machine. */
  private place(step: number, address: number, size: number): number {
    const offset = address - this.base;
    const end = virt.VIRT_TRANSPORTS * virt.VIRT_TRANSPORT_BYTES;
    if (offset >= 0 && offset + size <= end && (size === 1 || size === 2 || size === 4 || size === 8))
      return virt.VIRT_TRANSPORT_BASE + offset;
    throw new TraceError(
      'E_NOT_REPLAYABLE',
      `step ${step} is an access that QEMU's machine virt has no place for`,
      {
        expected: `1, 2, 4 or 8 bytes from 0x${this.base.toString(16)} to 0x${(this.base + end).toString(16)}`,
        got: `${size} bytes at 0x${address.toString(16)}`,
      },
    );
  }

  async used(step: number, used: RecordedUsed): Promise<boolean> {
    await this.flush();
    const { ring, elements } = used;
    if (!this.ram!.holds(ring, watchedBytes(used))) throw this.noRam(ring, watchedBytes(used));
    if (used.packed !== true) {
      const rings = this.rings.get(used.transport);
      if (rings === undefined) this.rings.set(used.transport, new Set([ring]));
      else rings.add(ring);
    }
    let reached = 0;
    const outside = this.ends.outside.get(used.transport);
    const there =
      outside === undefined ||
      (await outside.used(used, (count, nudge) => {
        reached += count;
        return this.reaches(step, used, reached, nudge);
      }));
    return there && (await this.reaches(step, used, elements.length));
  }

  /** Waits until the first `count` of these elements are there. */
  private async reaches(
    step: number,
    used: RecordedUsed,
    count: number,
    nudge?: (late: boolean) => void,
  ): Promise<boolean> {
    const { timeoutMs } = this.setup;
    let started = Date.now();
    for (let looks = 0; ; looks++) {
      if (appeared(this.ram!, used, count)) return true;
      this.check(step);
      const waited = Date.now() - started;
      if (waited > timeoutMs) {
        if (!this.qemu!.traced) return false;
        started = Date.now();
      }
      nudge?.(waited > timeoutMs / 2);
      if (looks < QUICK_LOOKS) await turn();
      else await sleep(1);
    }
  }

  view(gpa: number, length: number): Uint8Array | Promise<Uint8Array> {
    if (!this.ram!.holds(gpa, length)) throw this.noRam(gpa, length);
    if (this.late === undefined && this.qtest.drained() === undefined) return this.ram!.read(gpa, length);
    return this.flush().then(() => this.ram!.read(gpa, length));
  }

  async flush(): Promise<void> {
    if (this.late !== undefined) this.notify();
    const pending = this.qtest.drained();
    if (pending !== undefined) await this.within(pending, this.setup.timeoutMs);
    this.check(this.qtest.step);
  }

  /** Asks QEMU's monitor, when all accesses so far are done. What it refuses rejects with E_TARGET. */
  async qmp(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    await this.flush();
    // QEMU ends all requests before it quits.
    if (command === 'quit') for (const disk of this.ends.disks.values()) disk.letThrough();
    return this.within(this.monitor!.command(command, args), this.setup.timeoutMs);
  }

  async final(): Promise<FinalState> {
    // A turn of QEMU's main loop sends what it still has; then its interrupts are known as well.
    await this.qmp('query-status');
    await this.within(this.qtest.command('endianness'), this.setup.timeoutMs);
    await this.ends.quiet();
    const state = {
      disks: new Map<number, Uint8Array>(),
      sent: new Map<number, readonly Uint8Array[]>(),
      output: new Map<number, readonly Uint8Array[]>(),
      screens: new Map<number, { width: number; height: number; rgb: Uint8Array }>(),
    };
    for (const plan of this.setup.devices) {
      const { transport } = plan;
      const net = this.ends.nets.get(transport);
      const ports = this.ends.ports.get(transport);
      if (plan.kind === 'blk' && plan.disk !== undefined) state.disks.set(transport, plan.disk.bytes);
      if (net !== undefined) state.sent.set(transport, net.peer.sent);
      if (ports !== undefined)
        state.output.set(
          transport,
          [...ports.values()].map(({ output }) => output),
        );
      if (plan.kind === 'gpu' && this.options.swap?.has(transport) !== true)
        state.screens.set(transport, await this.screenshot(virt.deviceId(plan)));
    }
    return state;
  }

  private async screenshot(device: string): Promise<{ width: number; height: number; rgb: Uint8Array }> {
    await this.qmp('screendump', { device, filename: `/proc/self/fd/${virt.SCREEN_FD}` });
    const bytes = Buffer.alloc(fstatSync(this.screen!).size);
    readSync(this.screen!, bytes, 0, bytes.length, 0);
    return readPixmap(bytes);
  }

  async stop(): Promise<void> {
    if (this.stopped) return;
    this.stopped = true;
    await this.qemu?.kill();
    this.ram?.close();
    if (this.screen !== undefined) closeSync(this.screen);
  }

  private check(step: number): void {
    if (this.failure !== undefined) throw this.failure;
    if (this.qemu!.ended !== undefined) throw (this.failure = this.qemu!.gone(` at step ${step}`));
    if (this.qtest.failure !== undefined)
      throw this.fail(`QEMU answered what it must not at step ${step}: ${this.qtest.failure}`);
    for (const [transport, { broken }] of this.ends.disks)
      if (broken !== undefined) throw this.fail(`QEMU left the disk of transport ${transport}: ${broken}`);
  }

  private fail(what: string): TraceError {
    return (this.failure ??= new TraceError('E_TARGET', what));
  }

  private noRam(gpa: number, length: number): TraceError {
    const { base, length: size } = this.ram!;
    return new TraceError('E_NOT_REPLAYABLE', 'the recording has memory outside of its guest RAM', {
      expected: `RAM from 0x${base.toString(16)} to 0x${(base + size).toString(16)}`,
      got: `${length} bytes at 0x${gpa.toString(16)}`,
    });
  }

  /** The result of `work`, unless QEMU ends or says nothing for `limit` ms (then it is ended). */
  private async within<T>(work: Promise<T>, limit: number): Promise<T> {
    const qemu = this.qemu!;
    const began = Date.now();
    let timer: NodeJS.Timeout | undefined;
    let look!: () => void;
    const late = new Promise<never>((_, reject) => {
      look = (): void => {
        clearTimeout(timer);
        const silent = Date.now() - Math.max(began, this.qtest.heard);
        if (qemu.ended !== undefined) reject(this.failure ?? qemu.gone(` at step ${this.qtest.step}`));
        else if (silent < limit || qemu.traced) timer = setTimeout(look, Math.min(limit, 250));
        else {
          const error = this.fail(`QEMU has not answered for ${limit} ms at step ${this.qtest.step}`);
          void qemu.kill();
          reject(error);
        }
      };
      look();
    });
    this.waiting.add(look);
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
      this.waiting.delete(look);
    }
  }
}
