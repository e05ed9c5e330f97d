import type { HostView } from '../probes/host-view.ts';
import type { HostTransport } from '../transports/transport.ts';

const LOOK_SECONDS = 1;
const SCRIPT = `u() { read -r t rest </proc/uptime; echo "@@ $t"; }
u; cat /proc/interrupts; sleep ${LOOK_SECONDS}; u; cat /proc/interrupts`;
const TIMEOUT_MS = 20_000;

/**
 * Event-channel interrupts a second of the domain's device models, over a short look: about as many as ioreqs that
 * reach user space. undefined if the host does not tell. Reads only.
 *
 * @throws (rejects) TraceError E_HOST
 */
export async function interruptRate(host: HostTransport, view: HostView): Promise<number | undefined> {
  const irqs = new Set(view.deviceModels.flatMap((model) => model.irqs));
  if (irqs.size === 0) return undefined;
  const { stdout } = await host.run(SCRIPT, { timeoutMs: TIMEOUT_MS });
  return rateOf(stdout, irqs);
}

/** From two readings of /proc/interrupts, each behind a line `@@ UPTIME` in seconds. */
export function rateOf(text: string, irqs: ReadonlySet<number>): number | undefined {
  const [, first = '', second = ''] = text.split(/^@@ /m);
  const seconds = Number.parseFloat(second) - Number.parseFloat(first);
  const count = countOf(second, irqs) - countOf(first, irqs);
  return seconds > 0 && count >= 0 ? count / seconds : undefined;
}

/** Sum over all CPUs of those lines: ` 23:   10   12  xen-dyn  -event  evtchn:qemu`. */
function countOf(text: string, irqs: ReadonlySet<number>): number {
  let sum = 0;
  for (const [, irq, counts = ''] of text.matchAll(/^ *(\d{1,7}):((?: +\d+)+)(?= |$)/gm)) {
    if (!irqs.has(Number(irq))) continue;
    for (const count of counts.trim().split(/ +/)) sum += Number(count);
  }
  return sum;
}
