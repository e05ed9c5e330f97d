import { describe, expect, it } from 'vitest';
import { EventBatch } from '../../trace/columns.ts';
import { K, RUNSTATE } from '../../trace/events.ts';
import { HypervisorEvents } from './hypervisor-events.ts';
import { VcpuStates } from './vcpu-states.ts';
import { X, XenWaits } from './xen-waits.ts';

const { RUNNING, RUNNABLE, BLOCKED, OFFLINE } = RUNSTATE;
const DOMID = 3;

/** A row: time, kind, then old and new state of a runstate. All of vCPU 0. */
type Row = [t: number, kind: number, old?: number, now?: number];

function batchOf(rows: readonly Row[]): EventBatch {
  const batch = new EventBatch(64);
  for (const [n, [t, kind, old = 0, now = 0]] of rows.entries()) {
    batch.ts[n] = t;
    batch.kind[n] = kind;
    batch.domid[n] = DOMID;
    batch.arg0[n] = old;
    batch.arg1[n] = now;
  }
  batch.length = rows.length;
  return batch;
}

function waitsOf(rows: readonly Row[]): XenWaits {
  const states = new VcpuStates(1);
  const waits = new XenWaits(1, true, states);
  const events = new HypervisorEvents(DOMID, 1, waits, states, undefined);
  events.rows(batchOf(rows), { scale: 1, shift: 0 }, 0, rows.length);
  return waits;
}

const R = K.XEN_RUNSTATE;

describe('an ioreq as the hypervisor saw it', () => {
  it('holds the preemption of its vCPU by stage, and none of its wait', () => {
    const { queues } = waitsOf([
      [5, R, RUNNING, RUNNABLE],
      [9, R, RUNNABLE, RUNNING],
      [10, K.ARM_S2_ABORT],
      [12, R, RUNNING, RUNNABLE],
      [19, R, RUNNABLE, RUNNING],
      [20, K.ARM_IOREQ_SEND],
      [30, R, RUNNING, OFFLINE],
      [100, K.XEN_WAKE],
      [101, R, OFFLINE, RUNNABLE],
      [140, R, RUNNABLE, RUNNING],
      [150, R, RUNNING, RUNNABLE],
      [160, R, RUNNABLE, RUNNING],
      [170, R, RUNNING, RUNNABLE],
      [175, R, RUNNABLE, RUNNING],
      [180, K.ARM_IOREQ_DONE],
      [182, R, RUNNING, RUNNABLE],
      [184, R, RUNNABLE, RUNNING],
      [190, K.ARM_S2_RESUME],
    ]);
    const q = queues[0]!;
    const of = (...fields: number[]): number[] => fields.map((f) => q.get(0, f));
    expect(q.length).toBe(1);
    expect(of(X.LOST_TRAP, X.LOST_RUNNING, X.LOST_DONE)).toEqual([7, 15, 2]);
    expect(of(X.TRAP, X.OFFLINE, X.WAKE, X.RUNNING, X.RESUME)).toEqual([10, 30, 100, 140, 190]);
    // Of all time before: what an interrupt subtracts from.
    expect(of(X.PREEMPTED)).toEqual([4]);
  });

  it('ends its wait with the last wake, if it was woken for nothing before', () => {
    const { queues } = waitsOf([
      [10, K.ARM_S2_ABORT],
      [20, K.ARM_IOREQ_SEND],
      [30, R, RUNNING, OFFLINE],
      [40, K.XEN_WAKE],
      [41, R, OFFLINE, RUNNABLE],
      [42, R, RUNNABLE, RUNNING],
      [44, R, RUNNING, RUNNABLE],
      [47, R, RUNNABLE, RUNNING],
      [50, R, RUNNING, OFFLINE],
      [90, K.XEN_WAKE],
      [91, R, OFFLINE, RUNNABLE],
      [95, R, RUNNABLE, RUNNING],
      [96, K.ARM_IOREQ_DONE],
      [99, K.ARM_S2_RESUME],
    ]);
    const q = queues[0]!;
    expect([X.OFFLINE, X.WAKE, X.RUNNING, X.LOST_RUNNING].map((f) => q.get(0, f))).toEqual([30, 90, 95, 0]);
  });

  it('ignores other domains and the counter offsets, which no vCPU has', () => {
    const rows = batchOf([
      [10, K.ARM_S2_ABORT],
      [20, K.ARM_IOREQ_SEND],
      [25, K.ARM_CNTVOFF],
      [30, K.ARM_IOREQ_DONE],
      [40, K.ARM_S2_RESUME],
    ]);
    rows.vcpu[2] = 0xffff;
    const waits = new XenWaits(1, true, undefined);
    const other = new HypervisorEvents(DOMID + 1, 1, waits, undefined, undefined);
    other.rows(rows, { scale: 1, shift: 0 }, 0, rows.length);
    expect(waits.counts.send).toBe(0);
    new HypervisorEvents(DOMID, 1, waits, undefined, undefined).rows(
      rows,
      { scale: 1, shift: 0 },
      0,
      rows.length,
    );
    expect([waits.counts.send, waits.queues[0]!.get(0, X.RESUME)]).toEqual([1, 40]);
    // Without runstates preemption is not 0 but unknown.
    expect(waits.queues[0]!.get(0, X.LOST_TRAP)).toBeNaN();
  });
});

describe('preemption of a vCPU', () => {
  it('lasts until it runs again, and does not begin when it sleeps or waits', () => {
    const states = new VcpuStates(1);
    const changes: [number, number, number][] = [
      [10, RUNNING, BLOCKED],
      [30, BLOCKED, RUNNABLE],
      [40, RUNNABLE, RUNNING],
      [50, RUNNING, RUNNABLE],
      // Paused while it waited for a CPU.
      [60, RUNNABLE, OFFLINE],
      [70, OFFLINE, RUNNABLE],
      [80, RUNNABLE, RUNNING],
      [90, RUNNING, OFFLINE],
      [95, OFFLINE, RUNNING],
    ];
    for (const [t, old, now] of changes) states.runstate(0, old, now, t);
    expect([states.preempted[0], states.state[0]]).toEqual([30, RUNNING]);
  });

  it('is not made of a record that was lost', () => {
    const states = new VcpuStates(1);
    states.runstate(0, RUNNING, RUNNABLE, 10);
    // Here it ran, and was taken off the CPU to sleep: only the latter was recorded.
    states.runstate(0, RUNNING, BLOCKED, 50);
    states.runstate(0, BLOCKED, RUNNABLE, 60);
    states.runstate(0, RUNNABLE, RUNNING, 70);
    expect(states.preempted[0]).toBe(0);
  });
});
