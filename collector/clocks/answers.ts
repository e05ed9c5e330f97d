import type { EventColumns } from '../../trace/columns.ts';
import { K } from '../../trace/events.ts';

/** A thread that notifies event channels: how often, and the first and last time, in the source's unit. */
export interface Answering {
  readonly pid: number;
  count: number;
  readonly first: number;
  last: number;
}

/**
 * The one thread that notified exactly `wanted` times; of `pids`, if any are given. Who else notifies (another
 * domain's device model, a backend) does so at another number, or it cannot be told which is meant.
 */
export function answeringThread(
  dom0: Iterable<EventColumns>,
  pids: readonly number[],
  wanted: number,
): { thread: Answering; refusal?: undefined } | { thread?: undefined; refusal: string } {
  const threads = tally(dom0, pids);
  const fitting = threads.filter((thread) => thread.count === wanted);
  const [thread] = fitting;
  if (thread === undefined) {
    const counts = threads.map(({ pid, count }) => `thread ${pid} ${count}`).slice(0, MAX_NAMED);
    const answered =
      counts.length === 0 ? 'nobody answered any' : `answered were: by ${counts.join(', by ')}`;
    return { refusal: `it has ${wanted} ioreqs, and ${answered}` };
  }
  if (fitting.length > 1) return { refusal: `${fitting.length} threads answered as often as it has ioreqs` };
  return { thread };
}

function tally(dom0: Iterable<EventColumns>, pids: readonly number[]): Answering[] {
  const threads: Answering[] = [];
  const { DOM0_EVTCHN_NOTIFY } = K;
  let current: Answering | undefined;
  for (const { kind, pid, ts, length } of dom0) {
    for (let i = 0; i < length; i++) {
      if (kind[i] !== DOM0_EVTCHN_NOTIFY) continue;
      const task = pid[i]!;
      if (current?.pid !== task) {
        if (pids.length > 0 && !pids.includes(task)) continue;
        current = threads.find((thread) => thread.pid === task);
        if (current === undefined) {
          if (threads.length >= MAX_THREADS) continue;
          current = { pid: task, count: 0, first: ts[i]!, last: ts[i]! };
          threads.push(current);
        }
      }
      current.count++;
      current.last = ts[i]!;
    }
  }
  return threads;
}

const MAX_THREADS = 256;
const MAX_NAMED = 4;
