import { K } from '../../trace/events.ts';
import type { EventColumns } from '../../trace/columns.ts';
import { CALL, Calls, type CallContext } from './calls.ts';
import type { Possible } from './feasible.ts';
import type { GapRing } from './gaps.ts';
import type { LossWindows } from './windows.ts';
import { XenFeed } from './xen-feed.ts';

export interface Methods {
  readonly exclusion: boolean;
  readonly timer: boolean;
  readonly answers: boolean;
  readonly injects: boolean;
}

export interface SweepInput {
  readonly xen: Iterable<EventColumns>;
  readonly dom0: Iterable<EventColumns>;
  readonly nsPerTick: number;
  /** ns a unit of Dom0's ts. */
  readonly nsPerUnit: number;
  /** ns by which two readings of the same instant may differ through rounding. */
  readonly slack: number;
  readonly domid: number | undefined;
  /** Xen's first event, ns. */
  readonly begin: number;
  readonly losses: LossWindows;
  /** u of a Dom0 time (feasible.ts). */
  readonly toU: (at: number) => number;
  readonly timerName: number;
  readonly methods: Methods;
  readonly trusted: Uint8Array;
}

export interface SweepResult {
  /** Bounds that each method gave. */
  exclusion: number;
  timer: number;
  answers: number;
  injects: number;
  calls: Calls;
}

/**
 * One pass over both sources side by side. Every Dom0 event that contradicts an end of what is still possible
 * moves that end; so each bound is certain given the ones before it, and the order in which they come only
 * decides how many passes it takes.
 */
export function sweep(feasible: Possible, input: SweepInput): SweepResult {
  const feed = new XenFeed(input.xen, input.nsPerTick, input.domid);
  const calls = new Calls();
  const { toU, slack, losses, methods, timerName, nsPerUnit } = input;
  const context: CallContext = {
    feasible,
    toU,
    slack,
    losses,
    begin: input.begin,
    position: 0,
    trusted: input.trusted,
  };
  let exclusion = 0;
  let timer = 0;
  let timerIrq = -1;
  /** Whether a CPU is in the timer's handler. */
  const inTimer = new Uint8Array(MAX_CPUS);
  batches: for (const b of input.dom0) {
    const { ts, kind, cpu, pid, arg0, arg1 } = b;
    for (let i = 0; i < b.length; i++) {
      const at = ts[i]! * nsPerUnit;
      const c = cpu[i]!;
      if (Number.isNaN(at) || c >= MAX_CPUS) continue;
      const k = kind[i]!;
      if (k === K.DOM0_LOST || k === K.DM_LOST) continue;
      const u = toU(at);
      const latest = at + feasible.high(u) + slack;
      feed.advance(latest);
      if (methods.exclusion) {
        const gaps = feed.notRunning[c];
        if (gaps !== undefined && !gaps.isClear(at + feasible.low(u) - slack, latest))
          exclusion += exclude(feasible, gaps, at, u, feed, input);
      }
      switch (k) {
        case K.DOM0_IRQ_ENTRY:
          inTimer[c] = arg1[i] === timerName ? 1 : 0;
          if (inTimer[c] === 1) {
            timerIrq = arg0[i]!;
            if (methods.timer) timer += exclude(feasible, feed.noTimer[c], at, u, feed, input);
          }
          break;
        case K.DOM0_IRQ_EXIT:
          if (inTimer[c] === 1 && arg0[i] === timerIrq) {
            inTimer[c] = 0;
            if (methods.timer) timer += exclude(feasible, feed.noTimer[c], at, u, feed, input);
          }
          break;
        case K.DOM0_EVTCHN_NOTIFY:
          if (methods.answers) calls.enter(pid[i]!, CALL.ANSWER, arg1[i]!, at);
          break;
        case K.DOM0_SET_IRQ_LEVEL:
          if (methods.injects && b.domid[i] === input.domid) {
            calls.enter(pid[i]!, CALL.INJECT, arg0[i]! * 2 + (arg1[i]! & 1), at);
          }
          break;
        case K.DOM0_EVTCHN_IOCTL_RET:
        case K.DOM0_PRIVCMD_RET:
        case K.DOM0_SYS_EXIT: {
          const call = calls.find(pid[i]!);
          if (call < 0) break;
          const records = calls.sortOf(call) === CALL.ANSWER ? feed.wakes : feed.injects[calls.keyOf(call)];
          context.position = feed.position;
          calls.resolve(call, at, records, context);
          break;
        }
      }
      if (feasible.empty) break batches;
    }
  }
  feed.close();
  return { exclusion, timer, answers: calls.pairs[0]!, injects: calls.pairs[1]!, calls };
}

/** Moves the ends of what is possible out of the gaps that they lie in. Gives the number of bounds used. */
function exclude(
  feasible: Possible,
  gaps: GapRing | undefined,
  at: number,
  u: number,
  feed: XenFeed,
  { slack, losses }: SweepInput,
): number {
  if (gaps === undefined) return 0;
  let bounds = 0;
  if (
    gaps.find(at + feasible.low(u) - slack, feed.position) &&
    !losses.touches(gaps.foundFrom, gaps.foundTo)
  ) {
    if (feasible.atLeast(u, gaps.foundTo - at - slack)) bounds++;
  }
  if (feasible.empty) return bounds;
  if (
    gaps.find(at + feasible.high(u) + slack, feed.position) &&
    !losses.touches(gaps.foundFrom, gaps.foundTo)
  ) {
    if (feasible.atMost(u, gaps.foundFrom - at + slack)) bounds++;
  }
  return bounds;
}

const MAX_CPUS = 4096;
