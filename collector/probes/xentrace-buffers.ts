import type { HookName } from './hooks.ts';
import type { HostView } from './host-view.ts';

/** How xentrace is run. */
export interface XentracePlan {
  readonly path: string;
  readonly args: readonly string[];
  /** A run before that one: makes Xen's buffers if there are none, and empties them. */
  readonly drain: readonly string[];
  /** Pages of each physical CPU's buffer asked for. */
  readonly pages: number;
  readonly mask: number;
}

/**
 * Event masks (xen/include/public/trace.h). `xen`: classes GEN and SCHED, subclasses MIN (runstate changes) and VERBOSE
 * (wake, block, domains), without the inner life of the scheduler (CLASS), which is half of all records. `points`:
 * class HVM, the Arm trace points' own subclass bit, which is VERBOSE's, too: with runstates there is no leaving out
 * what VERBOSE has beside wake.
 */
export const POINTS_MASK = 0x00088000;
const MASK_OF: ReadonlyMap<HookName, number> = new Map([
  ['xen', 0x00039000],
  ['points', POINTS_MASK],
]);

/** A class that Xen on Arm has no records of. */
const NOTHING_MASK = '0x0001f000';

/** Xen's trace buffers are one for the whole host: somebody else's recording is never touched. */
export function planXentrace(
  view: HostView,
  pages: number,
  hooks: ReadonlySet<HookName>,
): XentracePlan | { why: string } | undefined {
  let mask = 0;
  for (const [hook, bits] of MASK_OF) if (hooks.has(hook)) mask |= bits;
  if (mask === 0) return undefined;
  const { path, running, refused } = view.xentrace;
  if (path === undefined) return { why: refused ?? 'xentrace is not installed (Debian: xen-utils)' };
  if (running.length > 0) {
    return {
      why: `xentrace runs already (process ${running.join(', ')}), and Xen has one set of trace buffers`,
    };
  }
  if (refused !== undefined) return { why: refused };
  return { path, args: xentraceArgs(mask, pages, view.xen.version), drain: drainArgs(pages), pages, mask };
}

/**
 * Never -D: xentrace discards after it has switched tracing on, and with what is old goes what Xen writes at that
 * moment, the domains' counter offsets.
 */
export function xentraceArgs(mask: number, pages: number, version?: string): string[] {
  const args = ['-e', `0x${mask.toString(16).padStart(8, '0')}`, '-S', String(pages)];
  return writesToStdout(version) ? args : [...args, OWN_STDOUT];
}

/** Up to Xen 4.17 xentrace insists on the name of a file; this one can be opened if stdout is a pipe. */
export const OWN_STDOUT = '/proc/self/fd/1';

function writesToStdout(version: string | undefined): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version ?? '') ?? [];
  return major === undefined || Number(major) > 4 || (Number(major) === 4 && Number(minor) >= 18);
}

/** What a recorder that was killed left in the buffers is not of this recording. */
export function drainArgs(pages: number): string[] {
  return ['-D', '-e', NOTHING_MASK, '-S', String(pages), '-T', '1', '/dev/null'];
}

/** Whether the Arm trace points are asked for. */
export function wantsPoints({ mask }: XentracePlan): boolean {
  return (mask & POINTS_MASK) === POINTS_MASK;
}
