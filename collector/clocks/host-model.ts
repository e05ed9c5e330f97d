import { EventBatch } from '../../trace/columns.ts';
import { K, RUNSTATE } from '../../trace/events.ts';
import { NO_DOMID, NO_PID, NO_VCPU } from '../../trace/ids.ts';
import type { ClockInput } from './clock-input.ts';

/**
 * A small model of a host for tests: Dom0 with two vCPUs that run, block and take timer interrupts, a device
 * model that answers a guest's ioreqs, and the records that Xen and Dom0 would write. Its true clock relation
 * is known, so that what is found can be checked.
 */
export interface HostOptions {
  seed: number;
  /** ioreqs of the guest. */
  ioreqs: number;
  vcpus?: number;
  /** True counter frequency, Hz; and what Xen reports of it. */
  counterHz?: number;
  reportedHz?: number;
  /** Dom0's clock: name, and its reading in ns at a counter time in ns. */
  clockName?: string;
  dom0Ns?: (counterNs: number) => number;
  unit?: 'ns' | 'us';
  /** Whether Xen has the Arm trace points. */
  patched?: boolean;
  /** Shares of the run, from and to, that each side recorded. */
  xenWindow?: readonly [number, number];
  dom0Window?: readonly [number, number];
  /** Stretches of the run (shares) whose records Xen lost and said so; that Dom0 lost. */
  xenLost?: readonly (readonly [number, number])[];
  dom0Lost?: readonly (readonly [number, number])[];
  /** Typical time between ioreqs, ns. */
  pace?: number;
}

export interface Host {
  input: ClockInput;
  /** Xen ns minus Dom0 ns, absolute readings, at a counter time in ns. */
  offsetAt(counterNs: number): number;
  /** Dom0's exact reading, before it is cut to a unit. */
  dom0At(counterNs: number): number;
  /** Counter times of the run's begin and end, ns. */
  begin: number;
  end: number;
}

type Row = { t: number; kind: number; cpu: number } & Partial<
  Record<'domid' | 'vcpu' | 'pid' | 'arg0' | 'arg1' | 'arg2' | 'first', number>
>;

export const GUEST = 5;
const DM_PID = 1858;
const IRQ_TIMER = 11;

export function modelHost(options: HostOptions): Host {
  const { counterHz = 62_500_000, vcpus = 1, pace = 400_000, patched = false } = options;
  const random = mulberry(options.seed);
  const between = (low: number, high: number): number => low + (high - low) * random();
  /** Latencies have a long tail. */
  const about = (typical: number): number => typical * (0.5 - Math.log(1 - random()) * 0.5);
  const begin = 4e9 + between(0, 1e9);
  const xen: Row[] = [];
  const dom0: Row[] = [];
  let t = begin;

  const runstate = (domid: number, vcpu: number, from: number, to: number): void => {
    xen.push({ t, kind: K.XEN_RUNSTATE, cpu: vcpu & 1, domid, vcpu, arg0: from, arg1: to });
  };
  const linux = (cpu: number, kind: number, pid: number, arg0 = 0, arg1 = 0, domid?: number): void => {
    t += about(800);
    dom0.push({ t, kind, cpu, pid, arg0, arg1, ...(domid === undefined ? {} : { domid }) });
  };
  const wakeDom0 = (cpu: number): void => {
    runstate(0, cpu, RUNSTATE.BLOCKED, RUNSTATE.RUNNABLE);
    t += about(900);
    runstate(0, cpu, RUNSTATE.RUNNABLE, RUNSTATE.RUNNING);
    t += about(1200);
  };
  const blockDom0 = (cpu: number): void => {
    t += about(1000);
    runstate(0, cpu, RUNSTATE.RUNNING, RUNSTATE.BLOCKED);
  };
  const virq = (kind: number, cpu: number, number: number, flags = 0): void => {
    if (patched) xen.push({ t, kind, cpu, domid: 0, vcpu: cpu, arg0: number, arg1: flags });
  };
  const tick = (cpu: number): void => {
    runstate(0, cpu, RUNSTATE.BLOCKED, RUNSTATE.RUNNABLE);
    t += about(900);
    runstate(0, cpu, RUNSTATE.RUNNABLE, RUNSTATE.RUNNING);
    virq(K.ARM_VIRQ_LR, cpu, 27);
    t += about(1000);
    linux(cpu, K.DOM0_IRQ_ENTRY, 0, IRQ_TIMER, 0);
    linux(cpu, K.DOM0_IRQ_EXIT, 0, IRQ_TIMER, 1);
    t += about(700);
    virq(K.ARM_VIRQ_RETIRED, cpu, 27);
    blockDom0(cpu);
  };
  for (let n = 0; n < options.ioreqs; n++) {
    const vcpu = Math.floor(random() * vcpus);
    const cpu = random() < 0.8 ? 0 : 1;
    t += about(pace);
    if (random() < 0.3) tick(1 - cpu);
    t += about(5000);
    // The interrupt may reach Dom0 before or after the guest's vCPU is descheduled.
    runstate(GUEST, vcpu, RUNSTATE.RUNNING, RUNSTATE.OFFLINE);
    t += about(1500);
    wakeDom0(cpu);
    linux(cpu, K.DOM0_EVTCHN_IRQ, 0, 23, 9 + vcpu);
    linux(cpu, K.DOM0_EVTCHN_READ, DM_PID);
    linux(cpu, K.DOM0_SYS_EXIT, DM_PID, 63);
    t += about(15_000);
    if (random() < 0.4) {
      linux(cpu, K.DOM0_SET_IRQ_LEVEL, DM_PID, 33, 1, GUEST);
      t += about(1500);
      if (patched) {
        xen.push({ t, kind: K.ARM_VIRQ_INJECT, cpu, domid: GUEST, vcpu, arg0: 33, arg1: 1, arg2: cpu });
      }
      t += about(1500);
      linux(cpu, K.DOM0_PRIVCMD_RET, DM_PID);
      linux(cpu, K.DOM0_SYS_EXIT, DM_PID, 29);
    }
    linux(cpu, K.DOM0_EVTCHN_NOTIFY, DM_PID, 0, 9 + vcpu);
    t += about(1000);
    xen.push({ t, kind: K.XEN_WAKE, cpu, domid: GUEST, vcpu });
    t += about(100);
    runstate(GUEST, vcpu, RUNSTATE.OFFLINE, RUNSTATE.RUNNABLE);
    t += about(1000);
    linux(cpu, K.DOM0_SYS_EXIT, DM_PID, 29);
    blockDom0(cpu);
    t += about(2000);
    runstate(GUEST, vcpu, RUNSTATE.RUNNABLE, RUNSTATE.RUNNING);
  }
  const end = t;
  return record(options, counterHz, xen, dom0, begin, end);
}

function record(
  options: HostOptions,
  counterHz: number,
  xenRows: Row[],
  dom0Rows: Row[],
  begin: number,
  end: number,
): Host {
  const period = 1e9 / counterHz;
  const { dom0Ns = (ns: number) => ns - 271_280_000.25, unit = 'ns', reportedHz = counterHz } = options;
  const at = (share: number): number => begin + (end - begin) * share;
  const inside = (t: number, [from, to]: readonly [number, number]): boolean => t >= at(from) && t <= at(to);
  const ticks = (t: number): number => Math.floor(t / period);
  const dom0At = (t: number): number => dom0Ns(t);
  const dom0Reading = (t: number): number => {
    const ns = Math.floor(dom0Ns(ticks(t) * period));
    return unit === 'us' ? Math.round(ns / 1000) : ns;
  };
  let xen = xenRows.filter((r) => inside(r.t, options.xenWindow ?? [0, 1]));
  for (const [cpu, lost] of (options.xenLost ?? []).entries()) {
    // Only one CPU's buffer overflows, the others' records go on.
    const first = xen.find((r) => inside(r.t, lost) && r.cpu === (cpu & 1));
    if (first === undefined) continue;
    xen = xen.filter((r) => !inside(r.t, lost) || r.cpu !== (cpu & 1));
    xen.push({ t: at(lost[1]), kind: K.XEN_LOST, cpu: cpu & 1, first: first.t });
    xen.sort((a, b) => a.t - b.t);
  }
  const dom0 = dom0Rows.filter(
    (r) =>
      inside(r.t, options.dom0Window ?? [0, 1]) &&
      !(options.dom0Lost ?? []).some((lost) => inside(r.t, lost)),
  );
  const xenEpoch = ticks(xen[0]?.t ?? begin);
  const dom0Epoch = dom0Reading(dom0[0]?.t ?? begin);
  const xenBatches = pack(xen, (t) => ticks(t) - xenEpoch, ticks);
  const dom0Batches = pack(dom0, (t) => dom0Reading(t) - dom0Epoch, ticks);
  return {
    input: {
      xen: { batches: () => xenBatches, epoch: BigInt(xenEpoch), hz: reportedHz, id: 'xen' },
      dom0: {
        batches: () => dom0Batches,
        epoch: BigInt(dom0Epoch),
        clockName: options.clockName ?? 'mono_raw',
        strings: ['arch_timer'],
        id: 'dom0',
        unit,
      },
      domid: GUEST,
    },
    offsetAt: (t) => (t * counterHz) / reportedHz - dom0At(t),
    dom0At,
    begin,
    end,
  };
}

function pack(rows: readonly Row[], time: (t: number) => number, ticks: (t: number) => number): EventBatch[] {
  const batches: EventBatch[] = [];
  for (const r of rows) {
    let batch = batches.at(-1);
    if (batch === undefined || batch.full) batches.push((batch = new EventBatch(1000)));
    const i = batch.push(time(r.t), r.kind, r.cpu, r.domid ?? NO_DOMID, r.vcpu ?? NO_VCPU, r.pid ?? NO_PID);
    batch.arg0[i] = r.arg0 ?? 0;
    batch.arg1[i] = r.arg1 ?? 0;
    batch.arg2[i] = r.arg2 ?? 0;
    if (r.first !== undefined) {
      const first = BigInt(ticks(r.first));
      batch.data[2 * i] = Number(first & 0xffffffffn);
      batch.data[2 * i + 1] = Number(first >> 32n);
    }
  }
  return batches;
}

/** A small seeded generator, so that a failing seed can be run again. */
export function mulberry(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 4_294_967_296;
  };
}
