import { K, RUNSTATE, VIRQ_FLAG } from '../../trace/events.ts';
import { DOM0 } from '../../trace/ids.ts';
import type { EventColumns } from '../../trace/columns.ts';
import { GapRing, InstantRing } from './gaps.ts';

/**
 * Xen's events read up to a given time, and what follows from them for each vCPU of Dom0 and for the guest.
 * A record "running→x" is written after the vCPU left the guest, "x→running" before it enters it; a list
 * register's record is written before the guest can take the interrupt, "retired" after it has finished with
 * it. So guest code runs, and the handler runs, strictly inside what is recorded as running or as filled.
 */
export class XenFeed {
  /** Time of the last event read, ns since Xen's first event. */
  position = -Infinity;
  ended = false;
  /** Times at which a Dom0 vCPU certainly was not running, by vCPU. */
  readonly notRunning: (GapRing | undefined)[] = [];
  /** Times at which the virtual timer's interrupt was in no list register of a Dom0 vCPU. */
  readonly noTimer: (GapRing | undefined)[] = [];
  /** Wakes of the guest's vCPUs that can be answers to ioreqs. */
  readonly wakes = new InstantRing();
  /** Calls of vgic_inject_irq for the guest, by 2 * SPI + level. */
  readonly injects: (InstantRing | undefined)[] = [];
  private readonly state0 = new Uint8Array(MAX_VCPUS).fill(UNKNOWN);
  private readonly guestState = new Uint8Array(MAX_VCPUS).fill(UNKNOWN);
  private readonly source: Iterator<EventColumns>;
  private readonly nsPerTick: number;
  private readonly domid: number | undefined;
  private batch: EventColumns | undefined;
  private row = 0;

  constructor(batches: Iterable<EventColumns>, nsPerTick: number, domid: number | undefined) {
    this.source = batches[Symbol.iterator]();
    this.nsPerTick = nsPerTick;
    this.domid = domid;
  }

  /** Reads on until an event later than `to` has been read, or all. */
  advance(to: number): void {
    while (this.position <= to && !this.ended) {
      if (this.batch === undefined || this.row >= this.batch.length) {
        const next = this.source.next();
        this.row = 0;
        if (next.done === true) {
          this.batch = undefined;
          this.ended = true;
          return;
        }
        this.batch = next.value;
      }
      this.readBatch(this.batch, to);
    }
  }

  close(): void {
    this.source.return?.();
  }

  private readBatch(b: EventColumns, to: number): void {
    const { ts, kind, domid, vcpu, arg0 } = b;
    let i = this.row;
    for (; i < b.length && this.position <= to; i++) {
      const at = ts[i]! * this.nsPerTick;
      if (Number.isNaN(at)) continue;
      this.position = at;
      const v = vcpu[i]!;
      switch (kind[i]!) {
        case K.XEN_RUNSTATE:
          if (v >= MAX_VCPUS) break;
          if (domid[i] === DOM0) this.runstate(v, arg0[i]!, b.arg1[i]!, at);
          else if (domid[i] === this.domid) this.guestState[v] = b.arg1[i]!;
          break;
        case K.XEN_WAKE:
          // A blocked vCPU waits for an event of its own, never for a device model.
          if (domid[i] !== this.domid || v >= MAX_VCPUS) break;
          if (this.guestState[v] !== RUNSTATE.BLOCKED) this.wakes.add(at);
          break;
        case K.XEN_LOST:
          this.guestState.fill(UNKNOWN);
          break;
        case K.ARM_VIRQ_LR:
          if (domid[i] === DOM0 && arg0[i] === TIMER_PPI && v < MAX_VCPUS) this.timer(v).end(at);
          break;
        case K.ARM_VIRQ_RETIRED:
          if (domid[i] === DOM0 && arg0[i] === TIMER_PPI && v < MAX_VCPUS) this.timer(v).begin(at);
          break;
        case K.ARM_VIRQ_INJECT:
          if (domid[i] === this.domid && arg0[i]! < MAX_VIRQS) {
            const key = arg0[i]! * 2 + (b.arg1[i]! & VIRQ_FLAG.LEVEL);
            (this.injects[key] ??= new InstantRing()).add(at);
          }
          break;
      }
    }
    this.row = i;
  }

  private runstate(vcpu: number, from: number, to: number, at: number): void {
    const gaps = (this.notRunning[vcpu] ??= new GapRing());
    // Records of one vCPU chain: where they do not, one is missing and with it a run, perhaps.
    const known = this.state0[vcpu]!;
    if (known !== UNKNOWN && known !== from) gaps.forget();
    this.state0[vcpu] = to;
    if (to === RUNSTATE.RUNNING) gaps.end(at);
    else if (from === RUNSTATE.RUNNING) gaps.begin(at);
    else gaps.beginUnlessOpen(at);
  }

  private timer(vcpu: number): GapRing {
    return (this.noTimer[vcpu] ??= new GapRing());
  }
}

/** Virtual timer of an Arm guest, Dom0 included (GUEST_TIMER_VIRT_PPI, xen/include/public/arch-arm.h). */
const TIMER_PPI = 27;
const MAX_VCPUS = 128;
const MAX_VIRQS = 1024;
const UNKNOWN = 255;
