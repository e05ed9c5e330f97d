import type { EventColumns } from '../../../trace/columns.ts';
import { K } from '../../../trace/events.ts';
import { NO_CPU, NO_VCPU } from '../../../trace/ids.ts';
import { DIR_READ, IOREQ_STATE, IOREQ_TYPE, ioreqDir, ioreqState, ioreqType } from '../../../trace/ioreq.ts';
import { NO_DEVICE } from '../../../trace/spans.ts';
import { REG_INTERRUPT_ACK, REG_INTERRUPT_STATUS, REG_QUEUE_NOTIFY } from '../../../trace/virtio-mmio.ts';
import { DeviceTable } from './device-table.ts';
import { Elements, QueueDevices } from './elements.ts';
import type { LatencySink, LiveTarget, OpenVisitor } from './latency.ts';
import { ANNOUNCING, CLOCK, MEASURE } from './latency.ts';
import { MAX_PORTS, PortTable } from './port-table.ts';
import { Raises } from './raises.ts';
import type { RowConsumer } from './row-hold.ts';

// Module constants: a loop over events must not look a property up for every row.
const { DOM0_EVTCHN_IRQ, DOM0_EVTCHN_NOTIFY, DOM0_IOREQ_ANSWERED, DOM0_IOREQ_DELIVERED } = K;
const { DOM0_IRQFD, DOM0_LOST, DOM0_SET_IRQ_LEVEL, DM_FILL, DM_POP, DM_QUEUE_NOTIFY } = K;
const { READY, INPROCESS, RESP_READY } = IOREQ_STATE;

/** How long, in ns, the fetched content of an answer may stand behind its NOTIFY: both come of one function entry. */
const CONTENT_GRACE = 1e6;
const PORTS = MAX_PORTS;
/** Of a slot's content: address low and high, info. */
const CONTENT_WORDS = 3;

export interface Dom0Counts {
  /** Events given so far, all kinds; the ioreq slots that a hook fetches besides are none of their own. */
  events: number;
  /**
   * Answers to ioreqs: EVTCHN_NOTIFY by a device model on one of the ports. Where ioreq slots are fetched, a port
   * that no slot is answered on is none (a device model's buffered ioreqs, its PV backends).
   */
  ioreqs: number;
  /** Answers without the event-channel interrupt before, and interrupts without an answer behind. */
  unpaired: number;
  /** set_irq_level(1) calls on the devices' lines, and their irqfds' signals. */
  raises: number;
  /** Places at which the kernel lost events, and how many of those it counted. */
  losses: number;
  lost: number;
  /** ns of Dom0's time that the feed left out. */
  skippedNs: number;
}

/** MEASURE.DOM0, IRQ and REQUEST from the rows of Dom0's kernel (kprobes), with ns as the unit of ts. */
export class Dom0Latencies implements RowConsumer {
  readonly counts: Dom0Counts = {
    events: 0,
    ioreqs: 0,
    unpaired: 0,
    raises: 0,
    losses: 0,
    lost: 0,
    skippedNs: 0,
  };
  /** REQUEST is taken between virtqueue_pop and virtqueue_fill: the device model's own trace is there. */
  requestsFromTrace = false;
  readonly ports: PortTable;
  private readonly target: LiveTarget;
  private readonly devices: DeviceTable;
  private readonly sinks: readonly LatencySink[];
  /** Ioreq slots are fetched. */
  private contents: boolean;
  private readonly pids: ReadonlySet<number> | undefined;
  private lastPid = -1;
  private lastPidOurs = false;
  /** Time of the last row given. */
  lastTs = NaN;

  // By port number (PortTable); times NaN where there is none.
  private readonly interrupt = new Float64Array(PORTS).fill(NaN);
  /** Answered, its content not seen yet. */
  private readonly answerFrom = new Float64Array(PORTS).fill(NaN);
  private readonly answerAt = new Float64Array(PORTS).fill(NaN);
  /** Content fetched at the answer, before its NOTIFY was seen. */
  private readonly contentAt = new Float64Array(PORTS).fill(NaN);
  private readonly content = new Uint32Array(PORTS * CONTENT_WORDS);
  /** Device of the open ioreq, from its delivery. */
  private readonly openDevice = new Uint16Array(PORTS).fill(NO_DEVICE);

  // By device.
  private readonly announces: Uint8Array;
  private readonly raises: Raises;
  private readonly lastRaise: Float64Array;
  private readonly handled: Uint8Array;
  /** When the guest's last handler wrote InterruptACK (answered); NaN from a raise until then. */
  private readonly acknowledged: Float64Array;
  /** First QueueNotify answered since the line was last raised. */
  private readonly notified: Float64Array;

  private readonly elements = new Elements();
  private readonly queues: QueueDevices;

  constructor(target: LiveTarget, sinks: readonly LatencySink[]) {
    this.target = target;
    this.sinks = sinks;
    const { devices, contents = false } = target;
    this.contents = contents;
    this.devices = new DeviceTable(devices);
    this.ports = new PortTable(target.ports);
    this.pids = target.pids === undefined ? undefined : new Set(target.pids);
    this.announces = Uint8Array.from(devices, ({ kind }) => +ANNOUNCING.has(kind));
    this.raises = new Raises(devices.length);
    this.lastRaise = new Float64Array(devices.length).fill(NaN);
    this.handled = new Uint8Array(devices.length);
    this.acknowledged = new Float64Array(devices.length).fill(NaN);
    this.notified = new Float64Array(devices.length).fill(NaN);
    this.queues = new QueueDevices(devices.length);
  }

  rows(batch: EventColumns, from: number, to: number): void {
    const { kind, ts, arg0, arg1, pid } = batch;
    // Rows that are no events of their own.
    let others = 0;
    for (let i = from; i < to; i++) {
      const k = kind[i]!;
      if (k < DOM0_EVTCHN_IRQ || k > DM_FILL) continue;
      switch (k) {
        case DOM0_EVTCHN_IRQ:
          this.interrupted(arg1[i]!, ts[i]!);
          break;
        case DOM0_EVTCHN_NOTIFY:
          if (this.isDeviceModel(pid[i]!)) this.notify(arg1[i]!, ts[i]!);
          break;
        case DOM0_IOREQ_ANSWERED:
          others++;
          if (ioreqState(arg0[i]!) === RESP_READY) this.fetched(batch, i);
          break;
        case DOM0_IOREQ_DELIVERED: {
          others++;
          const state = ioreqState(arg0[i]!);
          if (state === READY || state === INPROCESS) this.delivered(batch, i);
          break;
        }
        case DOM0_SET_IRQ_LEVEL:
        case DOM0_IRQFD:
          if (arg1[i] === 1 && batch.domid[i] === this.target.domid) this.raise(arg0[i]!, ts[i]!);
          break;
        case DM_QUEUE_NOTIFY:
          this.queueNotify(batch, i);
          break;
        case DM_POP:
          this.pop(batch, i);
          break;
        case DM_FILL:
          this.fill(batch, i);
          break;
        case DOM0_LOST:
          others++;
          this.lose(batch, i, i > from ? ts[i - 1]! : this.lastTs);
          break;
        default:
      }
    }
    this.counts.events += to - from - others;
    if (to > from) this.lastTs = ts[to - 1]!;
  }

  until(ts: number): void {
    for (let p = 0; p < this.ports.count; p++) {
      if (this.answerAt[p]! < ts - CONTENT_GRACE) this.finish(p, NO_DEVICE);
    }
    for (const sink of this.sinks) sink.until(CLOCK.DOM0, ts, this.open(ts));
  }

  private open(ts: number): (visit: OpenVisitor) => void {
    return (visit) => {
      for (let p = 0; p < this.ports.count; p++) {
        const from = this.interrupt[p]!;
        if (Number.isNaN(from) || !this.isIoreqPort(p)) continue;
        const { port, vcpu } = this.ports;
        visit(MEASURE.DOM0, from, ts - from, this.openDevice[p]!, vcpu[p]!, port[p]!);
      }
      for (let d = 0; d < this.devices.count; d++) {
        // A device whose InterruptStatus was never seen to be read may be one that is not used by interrupts.
        const raised = this.handled[d] === 1 ? this.raises.first(d) : NaN;
        const spi = this.target.devices[d]!.spi;
        if (!Number.isNaN(raised)) visit(MEASURE.IRQ, raised, ts - raised, d, NO_VCPU, spi);
        const notified = this.requestsFromTrace ? NaN : this.notified[d]!;
        if (!Number.isNaN(notified)) visit(MEASURE.REQUEST, notified, ts - notified, d, NO_VCPU, 0);
      }
      if (this.requestsFromTrace) this.openElements(ts, visit);
    };
  }

  private openElements(ts: number, visit: OpenVisitor): void {
    const { popped, device } = this.elements;
    for (let s = 0; s < popped.length; s++) {
      // Others hold buffers for as long as they like (a balloon's statistics, input).
      if (Number.isNaN(popped[s]!) || this.announces[device[s]!] !== 1) continue;
      visit(MEASURE.REQUEST, popped[s]!, ts - popped[s]!, device[s]!, NO_VCPU, 0);
    }
  }

  private isDeviceModel(pid: number): boolean {
    if (this.pids === undefined) return true;
    if (pid !== this.lastPid) {
      this.lastPid = pid;
      this.lastPidOurs = this.pids.has(pid);
    }
    return this.lastPidOurs;
  }

  private isIoreqPort(p: number): boolean {
    return !this.contents || this.ports.vcpu[p] !== NO_VCPU;
  }

  private interrupted(port: number, ts: number): void {
    const p = this.ports.take(port);
    if (p < 0) return;
    if (!Number.isNaN(this.answerAt[p]!)) this.finish(p, NO_DEVICE);
    if (!Number.isNaN(this.interrupt[p]!) && this.isIoreqPort(p)) this.counts.unpaired++;
    this.interrupt[p] = ts;
    this.contentAt[p] = NaN;
    this.openDevice[p] = NO_DEVICE;
  }

  private notify(port: number, ts: number): void {
    const p = this.ports.take(port);
    if (p < 0) return;
    if (!Number.isNaN(this.answerAt[p]!)) this.finish(p, NO_DEVICE);
    this.answerFrom[p] = this.interrupt[p]!;
    this.answerAt[p] = ts;
    this.interrupt[p] = NaN;
    if (ts - this.contentAt[p]! <= CONTENT_GRACE) this.access(p);
  }

  /** Slot of the ioreq page that stood answered at the NOTIFY for port arg2. */
  private fetched(batch: EventColumns, i: number): void {
    const p = this.ports.take(batch.arg2[i]!);
    if (p < 0) return;
    this.contents = true;
    const v = batch.vcpu[i]!;
    this.ports.vote(p, v);
    if (this.ports.vcpu[p] !== v) return;
    const at = p * CONTENT_WORDS;
    this.content[at] = batch.addr[2 * i]!;
    this.content[at + 1] = batch.addr[2 * i + 1]!;
    this.content[at + 2] = batch.arg0[i]!;
    if (batch.ts[i]! - this.answerAt[p]! <= CONTENT_GRACE) this.access(p);
    else this.contentAt[p] = batch.ts[i]!;
  }

  /** Slot of the ioreq page that waited when its device model read its event channel. */
  private delivered(batch: EventColumns, i: number): void {
    const info = batch.arg0[i]!;
    if (ioreqType(info) !== IOREQ_TYPE.COPY) return;
    const low = batch.addr[2 * i]!;
    const device = this.devices.at(low, batch.addr[2 * i + 1]!);
    if (device === NO_DEVICE) return;
    const v = batch.vcpu[i]!;
    for (let p = 0; p < this.ports.count; p++) {
      if (this.ports.vcpu[p] === v && !Number.isNaN(this.interrupt[p]!)) this.openDevice[p] = device;
    }
    const isNotify = this.devices.register(device, low) === REG_QUEUE_NOTIFY && ioreqDir(info) !== DIR_READ;
    if (isNotify) this.queues.kick(device, batch.data[2 * i]!);
  }

  /** The answered ioreq of port number `p`, with its content. */
  private access(p: number): void {
    const at = p * CONTENT_WORDS;
    const low = this.content[at]!;
    const info = this.content[at + 2]!;
    const device =
      ioreqType(info) === IOREQ_TYPE.COPY ? this.devices.at(low, this.content[at + 1]!) : NO_DEVICE;
    const from = this.answerFrom[p]!;
    const answered = this.answerAt[p]!;
    this.finish(p, device);
    if (device === NO_DEVICE) return;
    const register = this.devices.register(device, low);
    const isRead = ioreqDir(info) === DIR_READ;
    if (register === REG_INTERRUPT_STATUS && isRead) {
      this.handled[device] = 1;
      const seen = Number.isNaN(from) ? answered : from;
      const raised = this.raises.take(device, seen);
      if (!Number.isNaN(raised) && !Number.isNaN(from)) {
        this.tell(MEASURE.IRQ, raised, from, device, this.ports.vcpu[p]!, this.target.devices[device]!.spi);
      }
    } else if (register === REG_INTERRUPT_ACK && !isRead) {
      // Raised again in the meantime: the handler runs once more.
      if (!(this.lastRaise[device]! > from)) this.acknowledged[device] = answered;
    } else if (register === REG_QUEUE_NOTIFY && !isRead && this.announces[device] === 1) {
      this.notifyAnswered(device, from, answered);
    }
  }

  private notifyAnswered(device: number, from: number, answered: number): void {
    const raised = this.lastRaise[device]!;
    // Raised within the ioreq, so perhaps for this very request: what comes next would be too late a bound.
    if (raised >= from && raised <= answered) return;
    // So would it be if a handler that runs already takes what the request gives, without an interrupt of its own.
    if (raised < from && !(this.acknowledged[device]! <= from)) return;
    if (raised > answered) this.request(answered, raised, device);
    else if (Number.isNaN(this.notified[device]!)) this.notified[device] = answered;
  }

  private raise(spi: number, ts: number): void {
    const device = this.devices.bySpi(spi);
    if (device === NO_DEVICE) return;
    this.counts.raises++;
    this.raises.add(device, ts);
    this.lastRaise[device] = ts;
    this.acknowledged[device] = NaN;
    const notified = this.notified[device]!;
    this.notified[device] = NaN;
    if (!Number.isNaN(notified)) this.request(notified, ts, device);
  }

  private request(from: number, to: number, device: number): void {
    if (!this.requestsFromTrace) this.tell(MEASURE.REQUEST, from, to, device, NO_VCPU, 0);
  }

  private queueNotify(batch: EventColumns, i: number): void {
    const { addr, data, arg0 } = batch;
    this.queues.notified(addr[2 * i]!, addr[2 * i + 1]!, data[2 * i]!, data[2 * i + 1]!, arg0[i]!);
  }

  private pop(batch: EventColumns, i: number): void {
    this.requestsFromTrace = true;
    const device = this.queues.deviceOf(batch.addr[2 * i]!, batch.addr[2 * i + 1]!);
    this.elements.pop(batch.data[2 * i]!, batch.data[2 * i + 1]!, batch.ts[i]!, device);
  }

  private fill(batch: EventColumns, i: number): void {
    const slot = this.elements.find(batch.data[2 * i]!, batch.data[2 * i + 1]!);
    if (slot < 0) return;
    const popped = this.elements.popped[slot]!;
    this.elements.popped[slot] = NaN;
    this.tell(MEASURE.REQUEST, popped, batch.ts[i]!, this.elements.device[slot]!, NO_VCPU, 0);
  }

  /** Gives out the answered ioreq of port number `p`. */
  private finish(p: number, device: number): void {
    const from = this.answerFrom[p]!;
    const to = this.answerAt[p]!;
    this.answerFrom[p] = NaN;
    this.answerAt[p] = NaN;
    this.contentAt[p] = NaN;
    if (!this.isIoreqPort(p)) return;
    this.counts.ioreqs++;
    if (Number.isNaN(from)) {
      this.counts.unpaired++;
    } else {
      this.tell(MEASURE.DOM0, from, to, device, this.ports.vcpu[p]!, this.ports.port[p]!);
    }
  }

  private tell(measure: number, from: number, to: number, device: number, vcpu: number, key: number): void {
    // Rows that came too late for their place may stand the wrong way round.
    if (to < from) return;
    for (const sink of this.sinks) sink.latency(measure, from, to, to - from, device, vcpu, key);
  }

  /** Events are missing before row `i`: whatever is open may have ended unseen. */
  private lose(batch: EventColumns, i: number, before: number): void {
    if (batch.cpu[i] === NO_CPU) {
      this.counts.skippedNs += Math.max(0, batch.ts[i]! - before) || 0;
    } else {
      this.counts.losses++;
      this.counts.lost += batch.arg0[i]!;
    }
    this.interrupt.fill(NaN);
    this.contentAt.fill(NaN);
    this.notified.fill(NaN);
    this.raises.clear();
    this.elements.clear();
  }
}
