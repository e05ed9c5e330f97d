import { NO_VCPU } from '../../../trace/ids.ts';

/** FIFO event channels: xen/include/public/event_channel.h, EVTCHN_FIFO_NR_CHANNELS. */
const MAX_PORT = 1 << 17;
export const MAX_PORTS = 256;
const MAX_SLOTS = 128;

/**
 * The event-channel ports on which ioreqs come, numbered in the order in which they are first seen, with the vCPU
 * that each stands for. No event tells that vCPU: its slot of the ioreq page stands answered whenever the port is
 * notified, so it is the slot that did so most often.
 */
export class PortTable {
  count = 0;
  /** By number: the port and its vCPU, NO_VCPU while it is not known. */
  readonly port = new Uint32Array(MAX_PORTS);
  readonly vcpu = new Uint16Array(MAX_PORTS).fill(NO_VCPU);
  private readonly numberOf = new Int16Array(MAX_PORT).fill(-1);
  private readonly votes = new Uint32Array(MAX_PORTS * MAX_SLOTS);
  private readonly only: ReadonlySet<number> | undefined;

  constructor(only: readonly number[] | undefined) {
    this.only = only === undefined ? undefined : new Set(only);
  }

  /** Number of a port; -1 if it is none of the domain's. */
  find(port: number): number {
    return port < MAX_PORT ? this.numberOf[port]! : -1;
  }

  /** The same; a port that is new gets the next number, as long as there are any. */
  take(port: number): number {
    const known = this.find(port);
    if (known >= 0 || port >= MAX_PORT || this.count === MAX_PORTS) return known;
    if (this.only?.has(port) === false) return -1;
    this.numberOf[port] = this.count;
    this.port[this.count] = port;
    return this.count++;
  }

  /** Slot `vcpu` stood answered when port number `n` was notified. */
  vote(n: number, vcpu: number): void {
    if (vcpu >= MAX_SLOTS) return;
    const votes = ++this.votes[n * MAX_SLOTS + vcpu]!;
    const best = this.vcpu[n]!;
    if (best === NO_VCPU || votes > this.votes[n * MAX_SLOTS + best]!) this.vcpu[n] = vcpu;
  }
}
