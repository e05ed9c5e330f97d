import type { HookName } from './hooks.ts';

/** Written in place of the probe group's name, which only the host can give. */
export const GROUP = '@GROUP@';

/** One dynamic event: its definition line for kprobe_events, and the filter in force for it. */
export interface ProbeLine {
  readonly hook: HookName;
  readonly event: string;
  readonly definition: string;
  /** Kernel event filter (Linux Documentation/trace/events.rst); '' = every hit. */
  readonly filter: string;
}

/** Plans one kprobe; a return probe if `ret`. */
export type AddProbe = (
  hook: HookName,
  event: string,
  symbol: string,
  args: string,
  filter: string,
  ret?: boolean,
) => void;

/** Why a hook cannot be had, or only in part. */
export interface Refusal {
  readonly hook: HookName;
  readonly why: string;
}
