import type { EventColumns } from '../../../trace/columns.ts';
import { K, RUNSTATE } from '../../../trace/events.ts';
import { NO_CPU } from '../../../trace/ids.ts';
import { NO_DEVICE } from '../../../trace/spans.ts';
import { DeviceTable } from './device-table.ts';
import type { LatencySink, LiveTarget, OpenVisitor } from './latency.ts';
import { CLOCK, MEASURE } from './latency.ts';
import type { RowConsumer } from './row-hold.ts';

// Module constants: a loop over events must not look a property up for every row.
const { ARM_IOREQ_SEND, XEN_LOST, XEN_RUNSTATE } = K;
const { OFFLINE, RUNNING } = RUNSTATE;
const MAX_VCPUS = 128;
const UNKNOWN = 255;

export interface WaitCounts {
  /** Records of Xen given so far, of all domains. */
  events: number;
  /** running→offline of the domain's vCPUs. */
  waits: number;
  /** Places at which Xen lost records. */
  losses: number;
}

/**
 * MEASURE.WAIT from Xen's runstate records of one domain. Records of one vCPU chain; where they do not, some are
 * missing and the open wait is forgotten. The device is known where Xen has the Arm trace points (IOREQ_SEND).
 */
export class VcpuWaits implements RowConsumer {
  readonly counts: WaitCounts = { events: 0, waits: 0, losses: 0 };
  /** Time of the last row given. */
  lastTs = NaN;
  private readonly domid: number;
  private readonly nsPerTick: number;
  private readonly devices: DeviceTable;
  private readonly sinks: readonly LatencySink[];
  /** By vCPU: ticks since the feed's epoch, NaN if it does not wait. */
  private readonly since = new Float64Array(MAX_VCPUS).fill(NaN);
  private readonly state = new Uint8Array(MAX_VCPUS).fill(UNKNOWN);
  private readonly device = new Uint16Array(MAX_VCPUS).fill(NO_DEVICE);
  private readonly sent = new Uint16Array(MAX_VCPUS).fill(NO_DEVICE);

  /** `counterHz`: of the system counter, as Xen tells it. */
  constructor(target: LiveTarget, counterHz: number, sinks: readonly LatencySink[]) {
    this.domid = target.domid;
    this.nsPerTick = 1e9 / counterHz;
    this.devices = new DeviceTable(target.devices);
    this.sinks = sinks;
  }

  rows(batch: EventColumns, from: number, to: number): void {
    const { kind, domid, vcpu, ts, arg0, arg1, addr } = batch;
    const ours = this.domid;
    this.counts.events += to - from;
    for (let i = from; i < to; i++) {
      const k = kind[i]!;
      if (k === XEN_RUNSTATE) {
        if (domid[i] === ours && vcpu[i]! < MAX_VCPUS) this.runstate(vcpu[i]!, arg0[i]!, arg1[i]!, ts[i]!);
      } else if (k === ARM_IOREQ_SEND) {
        if (domid[i] === ours && vcpu[i]! < MAX_VCPUS) {
          this.sent[vcpu[i]!] = this.devices.at(addr[2 * i]!, addr[2 * i + 1]!);
        }
      } else if (k === XEN_LOST) {
        if (batch.cpu[i] === NO_CPU) this.counts.events--;
        else this.counts.losses++;
        this.since.fill(NaN);
        this.state.fill(UNKNOWN);
        this.sent.fill(NO_DEVICE);
      }
    }
    if (to > from) this.lastTs = ts[to - 1]!;
  }

  until(ts: number): void {
    for (const sink of this.sinks) sink.until(CLOCK.XEN, ts, this.open(ts));
  }

  private open(ts: number): (visit: OpenVisitor) => void {
    return (visit) => {
      for (let v = 0; v < MAX_VCPUS; v++) {
        const since = this.since[v]!;
        if (Number.isNaN(since)) continue;
        visit(MEASURE.WAIT, since, (ts - since) * this.nsPerTick, this.device[v]!, v, v);
      }
    };
  }

  private runstate(v: number, old: number, now: number, ts: number): void {
    if (this.state[v] !== old) this.since[v] = NaN;
    this.state[v] = now;
    if (now === OFFLINE) {
      if (old !== RUNNING) return;
      this.counts.waits++;
      this.since[v] = ts;
      this.device[v] = this.sent[v]!;
      this.sent[v] = NO_DEVICE;
    } else if (now === RUNNING) {
      const since = this.since[v]!;
      this.since[v] = NaN;
      // Also false if it is NaN.
      if (!(since <= ts)) return;
      const ns = (ts - since) * this.nsPerTick;
      for (const sink of this.sinks) sink.latency(MEASURE.WAIT, since, ts, ns, this.device[v]!, v, v);
    }
  }
}
