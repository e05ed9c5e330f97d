/**
 * Bytes of Xen's records an ioreq leads to, of all physical CPUs together: the trace points (128), those of two
 * interrupts (Dom0's event channel and the device's own, 100 each), and the scheduler's of two vCPUs that wait and run
 * (runstates 16 each, switches 24 to 28, wake and block 20; xen/include/public/trace.h).
 */
const POINTS_BYTES = 128 + 2 * 100;
const SCHEDULER_BYTES = 600;
/** xentrace looks ten times a second; Dom0 may be busy with what is being recorded, or the network slow. */
const DRAIN_SECONDS = 1;
/** Load comes in bursts, and one CPU's buffer may get it all. */
const RESERVE = 2;
const PAGE_BYTES = 4096;
/** 1 MiB a CPU where nothing happens yet; 8 MiB: Xen cannot free them again, and boards are small. */
const LEAST_PAGES = 256;
const MOST_PAGES = 2048;

/** Pages of each physical CPU's trace buffer in Xen for so many ioreqs a second: a power of two. */
export function xenBufferPages(ioreqsPerSecond: number, hooks: ReadonlySet<string>): number {
  const bytes = (hooks.has('points') ? POINTS_BYTES : 0) + (hooks.has('xen') ? SCHEDULER_BYTES : 0);
  const pages = (ioreqsPerSecond * bytes * DRAIN_SECONDS * RESERVE) / PAGE_BYTES;
  const rounded = 2 ** Math.ceil(Math.log2(Math.max(1, pages)));
  return Math.min(MOST_PAGES, Math.max(LEAST_PAGES, rounded));
}
