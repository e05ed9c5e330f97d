import { queuePort } from '../../../devices/models/console-format.ts';
import { NET_F_MRG_RXBUF } from '../../../devices/models/net-format.ts';
import { TraceError } from '../../../trace/errors.ts';
import type { DevicePlan, RecordedElement, RecordedUsed } from '../../target.ts';
import { NBD_CMD } from '../nbd/protocol.ts';
import type { HeldRequest, NbdServer } from '../nbd/server.ts';
import { recordedConfig } from './config-view.ts';
import { headerBytes, takeFrames, writtenBytes } from './frames.ts';
import type { NetPeer, PortPeer } from './peers.ts';

/** Waits until so many more of the used elements are there; false when the time is over. `nudge` is called now and then. */
export type Appeared = (count: number, nudge?: (late: boolean) => void) => Promise<boolean>;

/** What happens outside the guest to one device, and when: as the recorded used elements show it. */
export interface Outside {
  used(used: RecordedUsed, appeared: Appeared): Promise<boolean>;
}

/** Requests are answered in the order in which the recorded device model gave them back. */
export class DiskOutside implements Outside {
  private readonly server: NbdServer;

  constructor(server: NbdServer) {
    this.server = server;
  }

  async used({ elements }: RecordedUsed, appeared: Appeared): Promise<boolean> {
    for (const element of elements) {
      let released = false;
      const there = await appeared(1, (late) => {
        if (released && !late) return;
        const { held } = this.server;
        const found = this.find(element);
        // What it needs is held under another name, or QEMU cannot send it before another is answered.
        const other = late || held.length >= MOST_UNDER_WAY ? held[0] : undefined;
        const request = found ?? other;
        if (request === undefined) return;
        released = found !== undefined;
        this.server.release(request);
      });
      if (!there) return false;
    }
    return true;
  }

  private find({ request }: RecordedElement): HeldRequest | undefined {
    const { held } = this.server;
    if (request === undefined) return held[0];
    const command = COMMANDS[request.type];
    const placed = command === NBD_CMD.READ || command === NBD_CMD.WRITE;
    return held.find((one) => one.command === command && (!placed || one.offset === request.sector * 512));
  }
}

/** Request types of virtio-blk (VIRTIO 1.2, 5.2.6) as NBD commands. */
const COMMANDS: Readonly<Record<number, number>> = {
  0: NBD_CMD.READ,
  1: NBD_CMD.WRITE,
  4: NBD_CMD.FLUSH,
  11: NBD_CMD.TRIM,
  13: NBD_CMD.WRITE_ZEROES,
};

/** Requests that QEMU's NBD client has under way at a time (block/nbd.c, MAX_NBD_REQUESTS). */
const MOST_UNDER_WAY = 16;

const NET_F_MQ = 22;
/** Offsets of registers (VIRTIO 1.2, 4.2.2). */
const DRIVER_FEATURES = 0x20;
const DRIVER_FEATURES_SEL = 0x24;

/** Frames arrive one at a time, each when the recorded device had used buffers for it. */
export class NetOutside implements Outside {
  /** Features that the driver took, low word, and which word it writes. */
  private driverFeatures = 0;
  private select = 0;
  private readonly peer: NetPeer;
  private readonly plan: DevicePlan;
  private readonly receivers: number;
  /** By queue: elements of a frame that is not whole yet. */
  private readonly begun = new Map<number, readonly RecordedElement[]>();

  constructor(peer: NetPeer, plan: DevicePlan) {
    this.peer = peer;
    this.plan = plan;
    const several = (((plan.offered?.[0] ?? 0) >>> NET_F_MQ) & 1) === 1;
    this.receivers = several ? (recordedConfig(plan)(8, 2) ?? 1) : 1;
  }

  /** The driver wrote a register. */
  written(offset: number, value: number): void {
    if (offset === DRIVER_FEATURES_SEL) this.select = value;
    else if (offset === DRIVER_FEATURES && this.select === 0) this.driverFeatures = value;
  }

  async used({ queue, elements }: RecordedUsed, appeared: Appeared): Promise<boolean> {
    if (queue % 2 !== 0 || queue >= 2 * this.receivers) return appeared(elements.length);
    const mergeable = ((this.driverFeatures >>> NET_F_MRG_RXBUF) & 1) === 1;
    const header = headerBytes(this.plan.version, mergeable);
    const before = this.begun.get(queue) ?? [];
    const { frames, rest } = takeFrames([...before, ...elements], header, mergeable);
    this.begun.set(queue, rest);
    for (const frame of frames) {
      this.peer.deliver(frame.bytes);
      if (!(await appeared(frame.elements))) return false;
    }
    return true;
  }
}

/** Input is typed one used element at a time, so that it is cut as it was. */
export class ConsoleOutside implements Outside {
  private readonly ports: ReadonlyMap<number, PortPeer>;
  private readonly plan: DevicePlan;

  constructor(ports: ReadonlyMap<number, PortPeer>, plan: DevicePlan) {
    this.ports = ports;
    this.plan = plan;
  }

  async used({ queue, elements }: RecordedUsed, appeared: Appeared): Promise<boolean> {
    // Queues 2 and 3 are the control queues, of the others the even ones receive (VIRTIO 1.2, 5.3.2).
    if (queue === 2 || queue % 2 !== 0) return appeared(elements.length);
    const id = queuePort(queue);
    if (this.plan.portsInUse?.find((port) => port.id === id)?.opened === false)
      throw new TraceError(
        'E_NOT_REPLAYABLE',
        `input came to port ${id} of the console in transport ${this.plan.transport}, which the guest had opened before the recording began: QEMU cannot be told of that`,
        { expected: '--model builtin, or a recording in which its driver sets it up' },
      );
    const port = this.ports.get(id);
    for (const element of elements) {
      port?.type(writtenBytes(element));
      if (!(await appeared(1))) return false;
    }
    return true;
  }
}
