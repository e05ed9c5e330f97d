import type { EventBatch } from '../../../trace/columns.ts';
import { K } from '../../../trace/events.ts';
import { NO_DOMID, NO_VCPU } from '../../../trace/ids.ts';
import type { StringTable } from '../../../trace/strings.ts';
import { putInteger } from './text-number.ts';

/** Appends the row of one event from its text; false, and no row, if the text is not of that event. */
export type TextTracepoint = (
  body: string,
  out: EventBatch,
  ts: number,
  cpu: number,
  pid: number,
  strings: StringTable,
) => boolean;

/** Task states as sched_switch prints them (linux include/trace/events/sched.h). */
const STATES: Readonly<Record<string, number>> = {
  R: 0,
  S: 1,
  D: 2,
  T: 4,
  t: 8,
  X: 0x10,
  Z: 0x20,
  P: 0x40,
  I: 0x80,
};
/** '+': the task was preempted (TASK_REPORT_MAX). */
const PREEMPTED = 0x100;

/** Each event in tracefs' own words and, where they differ, in trace-cmd report's. */
const SWITCH = [
  /^prev_comm=.* prev_pid=(\d+) prev_prio=-?\d+ prev_state=([A-Za-z|]+)(\+?) ==> next_comm=.* next_pid=(\d+) next_prio=-?\d+$/,
  /^.*:(\d+) \[-?\d+\] ([A-Za-z|]+)(\+?) ==> .*:(\d+) \[-?\d+\]$/,
];
const WAKEUP = [
  /^comm=.* pid=(\d+) prio=-?\d+ (?:success=\d+ )?target_cpu=(\d+)$/,
  /^.*:(\d+) \[-?\d+\](?: success=\d+)? CPU:(\d+)$/,
];

const wakeup =
  (kind: number): TextTracepoint =>
  (body, out, ts, cpu, pid) => {
    const match = first(WAKEUP, body);
    if (match === null) return false;
    const row = out.push(ts, kind, cpu, NO_DOMID, NO_VCPU, pid);
    out.arg0[row] = Number(match[1]);
    out.arg1[row] = Number(match[2]);
    return true;
  };

export const TEXT_TRACEPOINTS: Readonly<Record<string, TextTracepoint>> = {
  sched_switch(body, out, ts, cpu) {
    const match = first(SWITCH, body);
    if (match === null) return false;
    const row = out.push(ts, K.DOM0_SCHED_SWITCH, cpu, NO_DOMID, NO_VCPU, Number(match[1]));
    out.arg0[row] = Number(match[4]);
    let state = match[3] === '+' ? PREEMPTED : 0;
    for (const letter of (match[2] ?? '').split('|')) state |= STATES[letter] ?? 0;
    out.arg1[row] = state;
    return true;
  },
  sched_waking: wakeup(K.DOM0_SCHED_WAKING),
  sched_wakeup: wakeup(K.DOM0_SCHED_WAKEUP),
  sched_wakeup_new: wakeup(K.DOM0_SCHED_WAKEUP),
  irq_handler_entry(body, out, ts, cpu, pid, strings) {
    const match = /^irq=(\d+) name=(.*)$/.exec(body);
    if (match === null) return false;
    const row = out.push(ts, K.DOM0_IRQ_ENTRY, cpu, NO_DOMID, NO_VCPU, pid);
    out.arg0[row] = Number(match[1]);
    out.arg1[row] = strings.intern(match[2] ?? '');
    return true;
  },
  irq_handler_exit(body, out, ts, cpu, pid) {
    const match = /^irq=(\d+) ret=(handled|unhandled)$/.exec(body);
    if (match === null) return false;
    const row = out.push(ts, K.DOM0_IRQ_EXIT, cpu, NO_DOMID, NO_VCPU, pid);
    out.arg0[row] = Number(match[1]);
    out.arg1[row] = match[2] === 'handled' ? 1 : 0;
    return true;
  },
  sys_enter(body, out, ts, cpu, pid) {
    const match = /^NR (-?\d+) \(([0-9a-f]{1,16}), ([0-9a-f]{1,16}), .*\)$/.exec(body);
    if (match === null) return false;
    const row = out.push(ts, K.DOM0_SYS_ENTER, cpu, NO_DOMID, NO_VCPU, pid);
    out.arg0[row] = Number(match[1]) >>> 0;
    putInteger(out.addr, 2 * row, `0x${match[2] ?? ''}`);
    putInteger(out.data, 2 * row, `0x${match[3] ?? ''}`);
    return true;
  },
  sys_exit(body, out, ts, cpu, pid) {
    const match = /^NR (-?\d+) = (-?\d+)$/.exec(body);
    if (match === null) return false;
    const row = out.push(ts, K.DOM0_SYS_EXIT, cpu, NO_DOMID, NO_VCPU, pid);
    out.arg0[row] = Number(match[1]) >>> 0;
    return putInteger(out.data, 2 * row, match[2] ?? '');
  },
};

function first(patterns: readonly RegExp[], body: string): RegExpExecArray | null {
  for (const pattern of patterns) {
    const match = pattern.exec(body);
    if (match !== null) return match;
  }
  return null;
}
