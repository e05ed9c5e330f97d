import type { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import type { DevicePlan } from '../../target.ts';
import { NbdServer } from '../nbd/server.ts';
import type { PeerPlan } from './command-line.ts';
import { ConsoleOutside, DiskOutside, NetOutside, type Outside } from './outside.ts';
import { NetPeer, PortPeer } from './peers.ts';

/** Turns of the event loop without anything new, after which nothing more is under way to us. */
const CALM_TURNS = 3;

/** The other ends of what QEMU's devices have to the outer world, by transport. */
export class Connections {
  readonly disks = new Map<number, NbdServer>();
  readonly nets = new Map<number, { peer: NetPeer; outside: NetOutside }>();
  readonly ports = new Map<number, Map<number, PortPeer>>();
  readonly outside = new Map<number, Outside>();

  add({ transport, kind, port }: PeerPlan, plan: DevicePlan, socket: Socket): void {
    switch (kind) {
      case 'blk': {
        const { bytes = new Uint8Array(0), readOnly = false } = plan.disk ?? {};
        const server = new NbdServer(socket, { bytes, readOnly });
        this.disks.set(transport, server);
        this.outside.set(transport, new DiskOutside(server));
        break;
      }
      case 'net': {
        const peer = new NetPeer(socket);
        const outside = new NetOutside(peer, plan);
        this.nets.set(transport, { peer, outside });
        this.outside.set(transport, outside);
        break;
      }
      case 'console': {
        const ports = this.ports.get(transport) ?? new Map<number, PortPeer>();
        ports.set(port, new PortPeer(socket));
        this.ports.set(transport, ports);
        this.outside.set(transport, new ConsoleOutside(ports, plan));
        break;
      }
      case 'gpu':
        break;
    }
  }

  private get received(): number {
    let sum = 0;
    for (const { peer } of this.nets.values()) sum += peer.received;
    for (const ports of this.ports.values()) for (const port of ports.values()) sum += port.received;
    return sum;
  }

  /** Resolves when everything that QEMU has sent by now has been read. */
  async quiet(): Promise<void> {
    for (let before = -1, calm = 0; calm < CALM_TURNS; calm++) {
      const now = this.received;
      if (now !== before) calm = 0;
      before = now;
      await turn();
    }
  }
}
