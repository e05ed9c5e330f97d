import { setTimeout as sleep } from 'node:timers/promises';
import type { TracePoints } from '../../trace/recording-facts.ts';
import type { XentraceView } from '../probes/host-view.ts';
import { POINTS_MASK, drainArgs, xentraceArgs } from '../probes/xentrace-buffers.ts';
import type { HostTransport } from '../transports/transport.ts';
import { XentraceStream } from './xentrace-stream.ts';

/** Pages of each physical CPU's buffer, if Xen has none yet: what a recording takes at least. */
const PAGES = 256;
/** xentrace looks ten times a second; a busy or emulated host takes longer to begin. */
const LOOK_MS = 1500;
const STEP_MS = 100;

/**
 * Switches Xen's tracing on for an instant, with nothing but the Arm trace points, to see whether Xen has them; off
 * again after it. Lasting: Xen's trace buffers, if there were none. Or why it cannot be looked at.
 */
export async function lookForPoints(
  host: HostTransport,
  { path, running, refused, bufferPages }: XentraceView,
  version?: string,
): Promise<TracePoints | { why: string }> {
  if (path === undefined) return { why: refused ?? 'xentrace is not installed' };
  if (running.length > 0) return { why: `xentrace runs already (process ${running.join(', ')})` };
  if (refused !== undefined) return { why: refused };
  const pages = bufferPages ?? PAGES;
  const plan = {
    path,
    args: xentraceArgs(POINTS_MASK, pages, version),
    drain: drainArgs(pages),
    pages,
    mask: POINTS_MASK,
  };
  const nothing = { xen: () => undefined, warning: () => undefined };
  const xentrace = new XentraceStream(host, plan, 'probe', nothing);
  const why = await xentrace.start();
  if (why !== undefined) return { why };
  for (let waited = 0; waited < LOOK_MS && !xentrace.points.settled; waited += STEP_MS) await sleep(STEP_MS);
  await xentrace.stop();
  return xentrace.tracePoints() ?? { why: 'xentrace ended before it told anything' };
}
