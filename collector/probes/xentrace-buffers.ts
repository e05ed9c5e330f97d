import type { HostView } from './host-view.ts';

/** How xentrace is run. */
export interface XentracePlan {
  readonly path: string;
  readonly args: readonly string[];
  /** Pages of each physical CPU's buffer asked for. */
  readonly pages: number;
  readonly mask: number;
}

/**
 * Event mask (xen/include/public/trace.h): classes GEN (lost records) and SCHED, subclasses MIN (runstate changes)
 * and VERBOSE (wake, block, domains), without the inner life of the scheduler (CLASS), which is half of all records;
 * and HVM's Arm trace points, where Xen has them.
 */
export const XEN_EVENT_MASK = 0x00039000 | 0x00088000;

/** Xen's trace buffers are one for the whole host: somebody else's recording is never touched. */
export function planXentrace(view: HostView, pages: number): XentracePlan | { why: string } {
  const { path, running, refused } = view.xentrace;
  if (path === undefined) return { why: refused ?? 'xentrace is not installed (Debian: xen-utils)' };
  if (running.length > 0) {
    return {
      why: `xentrace runs already (process ${running.join(', ')}), and Xen has one set of trace buffers`,
    };
  }
  if (refused !== undefined) return { why: refused };
  const mask = XEN_EVENT_MASK;
  // -D: what is in the buffers from before is not of this recording.
  const args = ['-D', '-e', `0x${mask.toString(16).padStart(8, '0')}`, '-S', String(pages)];
  return { path, args, pages, mask };
}
