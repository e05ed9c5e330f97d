import { TWO_32 } from '../trace/columns.ts';
import type { Manifest } from '../trace/manifest.ts';
import { NO_DEVICE } from '../trace/spans.ts';
import { REG_INTERRUPT_STATUS, REG_QUEUE_NOTIFY } from '../trace/virtio-mmio.ts';
import { logContents } from './chosen-log.ts';
import { DeviceMap } from './passes/device-map.ts';
import { DeviceModelEvents } from './passes/device-model-events.ts';
import { Dom0Ioreqs } from './passes/dom0-ioreqs.ts';
import type { Dom0Counts, Wanted } from './passes/dom0-record.ts';
import { D, D_WIDTH } from './passes/dom0-record.ts';
import type { TapeWriter } from './passes/dom0-tape.ts';
import { TAPE } from './passes/dom0-tape.ts';
import type { LogContents } from './passes/log-contents.ts';
import type { DepthFacts } from './passes/queue-depth.ts';
import type { KnownQueue, RequestCounts } from './passes/requests.ts';
import { Requests } from './passes/requests.ts';
import type { Scouted } from './scout.ts';
import { RowsLane, SLICE_NS, sliceEnd } from './streams.ts';
import { kinds } from './trace-hooks.ts';
import type { TraceView } from './view.ts';
import { timedStreams } from './view.ts';

/** An ioreq's fetched content stands at most this far behind its NOTIFY in the ring buffer. */
export const SETTLE_NS = 2e6;
/** Requests are given out this far behind the slice: by then their notifies are joined. */
const REQUEST_LAG_NS = 40e6;
/** So many slices without rows still give something out; later ones do not. */
const QUIET_SLICES = Math.ceil(Math.max(SETTLE_NS, REQUEST_LAG_NS) / SLICE_NS);

/** What it has to know of the scout's findings. */
export type Dom0Findings = Pick<Scouted, 'domid' | 'vcpus' | 'pids' | 'vcpuOfPort' | 'answers'>;

/** What is known at the end. */
export interface Dom0Results {
  ioreqs: Dom0Counts;
  requests: RequestCounts;
  queues: { queues: KnownQueue[]; sure: boolean };
  depths: DepthFacts[];
}

/**
 * Dom0's side of a trace: its rows and the device model's log, read in slices of trace time, and what they tell of
 * ioreqs, raises and requests, written to a tape. It depends on nothing that Xen's side finds, so that it may run ahead.
 */
export class Dom0Side {
  private readonly tape: TapeWriter;
  private readonly vcpus: number;
  private readonly rows: RowsLane | undefined;
  private readonly ioreqs: Dom0Ioreqs;
  private readonly requests: Requests;
  private readonly log: LogContents | undefined;
  /** End of the last slice that had rows. */
  private last = -Infinity;

  constructor(view: TraceView, found: Dom0Findings, tape: TapeWriter) {
    const { manifest } = view;
    const { dom0, dom0Facts } = timedStreams(view);
    this.tape = tape;
    this.vcpus = found.vcpus;
    this.log = logContents(view, dom0Facts, found);
    const devices = new DeviceMap(manifest.devices);
    this.requests = new Requests(tape, devices, {
      pop: kinds(dom0Facts, 'dm.virtqueue_pop') > 0,
      flush: kinds(dom0Facts, 'dm.virtqueue_flush') > 0 && kinds(dom0Facts, 'dm.virtqueue_fill') > 0,
      notify: kinds(dom0Facts, 'dm.virtio_notify') > 0,
    });
    const { requests } = this;
    this.ioreqs = new Dom0Ioreqs(
      found.vcpus,
      found,
      (vcpu, record, at) => {
        const to = tape.reserve(TAPE.IOREQ);
        const { values } = tape;
        values[to + 1] = vcpu;
        for (let f = 0; f < D_WIDTH; f++) values[to + 2 + f] = record[at + f]!;
      },
      (_vcpu, record, at) => {
        const address = record[at + D.ADDR_LO]! + record[at + D.ADDR_HI]! * TWO_32;
        const device = devices.find(address);
        if (device === NO_DEVICE) return;
        const register = address - devices.devices[device]!.base;
        if (register === REG_QUEUE_NOTIFY) {
          requests.notified(record[at + D.SEQ]!, device, record[at + D.DATA_LO]! & 0xffff);
        } else if (register === REG_INTERRUPT_STATUS) requests.handlerRuns(device);
      },
      this.log,
      wantedDevices(manifest, devices),
    );
    const events = new DeviceModelEvents({
      domid: found.domid,
      devices,
      ioreqs: this.ioreqs,
      requests,
      tape,
      raisesFromTrace: kinds(dom0Facts, 'dom0.set_irq_level') === 0,
    });
    this.rows =
      dom0 === undefined
        ? undefined
        : new RowsLane(dom0, (batch, line, from, to) => {
            events.rows(batch, line, from, to);
          });
  }

  /** Reads and writes one slice; false if it was the last one, the end of the trace. */
  step(): boolean {
    const { tape } = this;
    const head = this.rows?.head ?? Infinity;
    const end = head === Infinity ? Infinity : sliceEnd(head);
    for (let n = 1; n <= QUIET_SLICES && this.last + n * SLICE_NS < end; n++) {
      this.begin(this.last + n * SLICE_NS, end);
      this.settle(this.last + n * SLICE_NS);
    }
    this.begin(end, end);
    if (end === Infinity) this.finish();
    else {
      this.rows!.until(end);
      this.settle(end);
    }
    this.last = end;
    tape.publish();
    return end < Infinity;
  }

  /** Valid once `step` gave false. */
  results(): Dom0Results {
    return {
      ioreqs: this.ioreqs.counts,
      requests: this.requests.counts,
      queues: this.requests.knownQueues(),
      depths: this.requests.depths.list,
    };
  }

  /** No more is wanted of it. */
  close(): void {
    this.rows?.close();
    this.log?.close();
  }

  private begin(end: number, withRows: number): void {
    const at = this.tape.reserve(TAPE.SLICE);
    this.tape.values[at + 1] = end;
    this.tape.values[at + 2] = withRows;
  }

  /** The end of a slice. */
  private settle(end: number): void {
    const { tape, ioreqs } = this;
    ioreqs.settle(end - SETTLE_NS);
    for (let v = 0; v < this.vcpus; v++) {
      const since = ioreqs.kernelOpenSince(v);
      if (Number.isNaN(since)) continue;
      const at = tape.reserve(TAPE.KERNEL_OPEN);
      tape.values[at + 1] = v;
      tape.values[at + 2] = since;
    }
    this.requests.drain(end - REQUEST_LAG_NS);
    tape.reserve(TAPE.END);
  }

  private finish(): void {
    const { tape, ioreqs } = this;
    for (let v = 0; v < this.vcpus; v++) {
      if (ioreqs.isOpen(v)) tape.values[tape.reserve(TAPE.IRQ_OPEN) + 1] = v;
    }
    ioreqs.finish();
    this.requests.finish();
    tape.reserve(TAPE.END);
  }
}

/** Of a recording of some devices: which addresses are theirs. undefined: all are, or the trace does not know them. */
export function wantedDevices({ recording }: Manifest, map: DeviceMap): Wanted | undefined {
  const names = recording?.only ?? [];
  const wanted = Uint8Array.from(map.devices, ({ name }) => (names.includes(name) ? 1 : 0));
  if (names.length === 0 || wanted.filter((yes) => yes === 1).length !== new Set(names).size)
    return undefined;
  return (lo, hi) => {
    const device = map.find(lo + hi * TWO_32);
    return device !== NO_DEVICE && wanted[device] === 1;
  };
}
