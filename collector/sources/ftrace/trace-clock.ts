import type { ClockUnit, SourceClock } from '../source.ts';

/** Clocks that do not count nanoseconds (Linux Documentation/trace/ftrace.rst, trace_clock). */
const NOT_NANOSECONDS = new Set(['counter', 'uptime', 'x86-tsc', 'ppc-tb']);

/** The clock in force, of the text of tracefs `trace_clock`: the name in brackets, or the name alone. */
export function parseTraceClock(text: string): string {
  return /\[([^\]]+)\]/.exec(text)?.[1] ?? text.trim();
}

export function ftraceClock(name: string, epoch: bigint): SourceClock {
  const unit: ClockUnit = NOT_NANOSECONDS.has(name) ? 'ticks' : 'ns';
  return unit === 'ns' ? { name, unit, epoch, hz: 1e9 } : { name, unit, epoch };
}
