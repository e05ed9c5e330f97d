import { filterAnyOf } from './filter.ts';
import type { HookName } from './hooks.ts';
import type { HostView } from './host-view.ts';
import type { Refusal } from './probe-line.ts';

/** One of the kernel's own events, and the filter in force for it. */
export interface EventLine {
  readonly hook: HookName;
  /** 'sched/sched_switch'. */
  readonly event: string;
  readonly filter: string;
}

/** The kernel's own trace events of the wanted hooks: only those about the device models' threads. */
export function planTraceEvents(
  view: HostView,
  wanted: ReadonlySet<HookName>,
): { events: EventLine[]; refused: Refusal[] } {
  const events: EventLine[] = [];
  const refused: Refusal[] = [];
  const tids = view.deviceModels.flatMap((model) => model.threads.map(({ tid }) => tid));
  const add = (hook: HookName, event: string, filter: string): void => {
    if (!wanted.has(hook)) return;
    if (view.tracefs.events.has(event)) events.push({ hook, event, filter });
    else refused.push({ hook, why: `this kernel has no trace event ${event}` });
  };
  add('sched', 'sched/sched_switch', `${filterAnyOf('prev_pid', tids)}||${filterAnyOf('next_pid', tids)}`);
  add('sched', 'sched/sched_waking', filterAnyOf('pid', tids));
  return { events, refused };
}
