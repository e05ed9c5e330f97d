import type { HostView } from './host-view.ts';
import { GROUP } from './probe-line.ts';

/** The kernel's variable behind the trace clock mono_raw (linux kernel/time/timekeeping.c), and its size in u64 words. */
export const CLOCK_SYMBOL = 'tk_fast_raw';
const WORDS = 15;
/** Runs when /proc/uptime is read: whenever the recorder's shell likes, and with nothing changed by it. */
export const CLOCK_TRIGGER = 'uptime_proc_show';
/** Event of the probe that reads it. */
export const CLOCK_EVENT = 'clock';

/**
 * A kprobe that reads how the kernel makes mono_raw from the counter: with the counter offset that a patched Xen
 * tells, it says exactly how Xen's clock lies to Dom0's. Or why it cannot be set.
 */
export function planTimekeeper(
  view: Pick<HostView, 'symbols'>,
  clock: string,
): { definition: string } | { why: string } {
  if (clock !== 'mono_raw') return { why: `the trace clock is ${clock}, not mono_raw` };
  for (const symbol of [CLOCK_SYMBOL, CLOCK_TRIGGER]) {
    const found = view.symbols.get(symbol);
    if (found === undefined || found.count === 0) {
      return {
        why: `/proc/kallsyms shows no ${symbol}${symbol === CLOCK_SYMBOL ? ' (CONFIG_KALLSYMS_ALL)' : ''}`,
      };
    }
    if (found.count > 1) return { why: `this kernel has ${found.count} symbols ${symbol}` };
    if (found.refused === true) return { why: `no probe can be set on ${symbol}` };
  }
  const words = Array.from({ length: WORDS }, (_, n) => `w${n}=@${CLOCK_SYMBOL}+${8 * n}:x64`).join(' ');
  const trigger = view.symbols.get(CLOCK_TRIGGER)?.symbol ?? CLOCK_TRIGGER;
  return { definition: `p:${GROUP}/${CLOCK_EVENT} ${trigger} ${words}` };
}
