import { K, RUNSTATE } from '../../trace/events.ts';
import { DOM0 } from '../../trace/ids.ts';
import { TWO_32, type EventColumns } from '../../trace/columns.ts';
import { Sampler } from './grid.ts';
import { LossWindows } from './windows.ts';

/** A bounded list of instants, ns since the source's first event, and for each the end of what it began. */
export class Instants {
  at = new Float64Array(1024);
  until = new Float64Array(1024);
  count = 0;

  add(at: number): void {
    if (this.count >= MAX_INSTANTS) return;
    if (this.count === this.at.length) {
      this.at = grown(this.at);
      this.until = grown(this.until);
    }
    this.at[this.count] = at;
    this.until[this.count++] = NaN;
  }

  /** The last instant added ends at `until`, unless it has an end. */
  close(until: number): void {
    const last = this.count - 1;
    if (last >= 0 && Number.isNaN(this.until[last]!)) this.until[last] = until;
  }
}

function grown(values: Float64Array): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(values.length * 2);
  larger.set(values);
  return larger;
}

export interface XenSurvey {
  firstNs: number;
  lastNs: number;
  rows: number;
  losses: LossWindows;
  /** The domain whose ioreqs are looked at; undefined if none waits. */
  domid: number | undefined;
  /** running→offline of its vCPUs, each until its offline→runnable: the vCPU waits for the device model. */
  waits: Instants;
  /** The ends of the waits by themselves, in order of the ends. */
  wakes: Instants;
}

/** One pass over Xen's events. Instants are kept of the first waits only; everything else covers all rows. */
export function surveyXen(
  batches: Iterable<EventColumns>,
  epoch: bigint,
  nsPerTick: number,
  domid: number | undefined,
): XenSurvey {
  const losses = new LossWindows();
  const perDomain = new Map<
    number,
    { waits: Instants; wakes: Instants; total: number; since: Float64Array }
  >();
  const lastOfCpu = new Float64Array(MAX_CPUS).fill(NaN);
  /** Where a CPU's records break off; NaN if they do not. */
  const brokenOff = new Float64Array(MAX_CPUS).fill(NaN);
  const epochTicks = Number(epoch);
  let firstNs = NaN;
  let lastNs = NaN;
  let rows = 0;
  for (const b of batches) {
    const { ts, kind, cpu, domid: dom, vcpu, arg0, arg1 } = b;
    for (let i = 0; i < b.length; i++) {
      const at = ts[i]! * nsPerTick;
      if (Number.isNaN(at)) continue;
      if (rows++ === 0) firstNs = at;
      lastNs = at;
      const c = cpu[i]!;
      if (c < MAX_CPUS) {
        lastOfCpu[c] = at;
        if (brokenOff[c]! <= at) {
          losses.add(brokenOff[c]!, at);
          brokenOff[c] = NaN;
        }
      }
      if (kind[i] === K.XEN_RUNSTATE) {
        if (dom[i] === DOM0 || (domid !== undefined && dom[i] !== domid)) continue;
        const began = arg0[i] === RUNSTATE.RUNNING && arg1[i] === RUNSTATE.OFFLINE;
        const ended = arg0[i] === RUNSTATE.OFFLINE && arg1[i] === RUNSTATE.RUNNABLE;
        if (!(began || ended) || vcpu[i]! >= MAX_VCPUS) continue;
        let entry = perDomain.get(dom[i]!);
        if (entry === undefined) {
          if (perDomain.size >= MAX_DOMAINS) continue;
          const since = new Float64Array(MAX_VCPUS).fill(-1);
          perDomain.set(dom[i]!, (entry = { waits: new Instants(), wakes: new Instants(), total: 0, since }));
        }
        if (began) {
          entry.since[vcpu[i]!] = entry.waits.count;
          entry.waits.add(at);
          entry.total++;
        } else {
          const index = entry.since[vcpu[i]!]!;
          if (index >= 0 && index < entry.waits.count) entry.waits.until[index] = at;
          entry.since[vcpu[i]!] = -1;
          entry.wakes.add(at);
        }
      } else if (kind[i] === K.XEN_LOST) {
        // Xen writes its record when there is room again; data is the time of the first one lost. A row without
        // it stands for damage: what is missing lies between it and the CPU's next row.
        const ticks = b.data[2 * i + 1]! * TWO_32 + b.data[2 * i]!;
        const from = (ticks - epochTicks) * nsPerTick;
        if (ticks === 0 && c < MAX_CPUS) brokenOff[c] = at;
        else losses.add(from <= at && from >= firstNs ? from : -Infinity, at);
      }
    }
  }
  for (const from of brokenOff) if (!Number.isNaN(from)) losses.add(from, Infinity);
  addTail(losses, lastOfCpu, firstNs, lastNs);
  let best: number | undefined = domid;
  if (best === undefined) {
    for (const [id, entry] of perDomain) {
      if (best === undefined || entry.total > (perDomain.get(best)?.total ?? 0)) best = id;
    }
  }
  const found = best === undefined ? undefined : perDomain.get(best);
  return {
    firstNs,
    lastNs,
    rows,
    losses,
    domid: best,
    waits: found?.waits ?? new Instants(),
    wakes: found?.wakes ?? new Instants(),
  };
}

/**
 * The buffers of the physical CPUs are drained one after the other, so when tracing ends some end earlier than
 * others: from the first end on, silence of a vCPU proves nothing. A CPU that fell silent long before counts
 * as idle, not as cut off.
 */
function addTail(losses: LossWindows, lastOfCpu: Float64Array, firstNs: number, lastNs: number): void {
  const tail = lastNs - (lastNs - firstNs) * TAIL_SHARE;
  let from = lastNs;
  for (const last of lastOfCpu) if (last >= tail && last < from) from = last;
  if (from < lastNs) losses.add(from, Infinity);
}

export interface Dom0Survey {
  firstNs: number;
  lastNs: number;
  rows: number;
  stamps: Sampler;
  /** What may stand for the waits in Dom0, the most telling first. */
  sequences: { name: string; answers: boolean; instants: Instants }[];
  /** Number of the string 'arch_timer'; -1 if there is none. */
  timerName: number;
}

/** EVTCHN_NOTIFY ioctls by the task that makes them. Few tasks do, so a list is quicker than a map. */
class AnswersByTask {
  private readonly pids: number[] = [];
  private readonly lists: Instants[] = [];

  of(pid: number): Instants | undefined {
    return this.lists[this.pids.indexOf(pid)];
  }

  add(pid: number, at: number): void {
    let list = this.of(pid);
    if (list === undefined) {
      if (this.pids.length >= MAX_PIDS) return;
      this.pids.push(pid);
      this.lists.push((list = new Instants()));
    }
    list.add(at);
  }

  entries(): [number, Instants][] {
    return this.pids.map((pid, i) => [pid, this.lists[i]!]);
  }
}

/** One pass over Dom0's events. `nsPerUnit`: 1, or 1000 for a source in microseconds. */
export function surveyDom0(
  batches: Iterable<EventColumns>,
  nsPerUnit: number,
  strings: readonly string[],
  domid: number | undefined,
): Dom0Survey {
  const stamps = new Sampler(4096);
  const notifies = new AnswersByTask();
  const levelPids = new Set<number>();
  const interrupts = new Instants();
  let firstNs = NaN;
  let lastNs = NaN;
  let rows = 0;
  for (const b of batches) {
    const { ts, kind, pid } = b;
    for (let i = 0; i < b.length; i++) {
      const at = ts[i]! * nsPerUnit;
      if (Number.isNaN(at)) continue;
      if (rows++ === 0) firstNs = at;
      lastNs = at;
      stamps.add(at);
      switch (kind[i]!) {
        case K.DOM0_EVTCHN_NOTIFY:
          notifies.add(pid[i]!, at);
          break;
        case K.DOM0_EVTCHN_IOCTL_RET:
        case K.DOM0_SYS_EXIT:
          notifies.of(pid[i]!)?.close(at);
          break;
        case K.DOM0_EVTCHN_IRQ:
          interrupts.add(at);
          break;
        case K.DOM0_SET_IRQ_LEVEL:
          if (b.domid[i] === domid && levelPids.size < MAX_PIDS) levelPids.add(pid[i]!);
          break;
      }
    }
  }
  // The thread that also moves this domain's interrupt lines is its device model.
  const byLikelihood = notifies
    .entries()
    .sort(([a, x], [b, y]) => Number(levelPids.has(b)) - Number(levelPids.has(a)) || y.count - x.count);
  const sequences = byLikelihood.slice(0, MAX_SEQUENCES).map(([pid, instants]) => ({
    name: `answers of task ${pid}`,
    answers: true,
    instants,
  }));
  sequences.push({ name: 'event-channel interrupts', answers: false, instants: interrupts });
  return { firstNs, lastNs, rows, stamps, sequences, timerName: strings.indexOf('arch_timer') };
}

const MAX_INSTANTS = 1 << 17;
const MAX_CPUS = 4096;
/** GUEST_MAX_VCPUS on Arm (xen/include/public/arch-arm.h). */
const MAX_VCPUS = 128;
const MAX_DOMAINS = 16;
const MAX_PIDS = 32;
const MAX_SEQUENCES = 8;
const TAIL_SHARE = 0.1;
