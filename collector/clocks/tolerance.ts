/**
 * How far the rate of a Dom0 trace clock can be from that of the counter. All of them are made from the same
 * CNTVCT that Xen reads as CNTPCT, so what differs is only how the kernel turns counts into nanoseconds:
 *
 * - mono_raw is (count * mult) >> shift with constants from the counter's frequency; local, global and perf are
 *   sched_clock, made in the same way. The only error is the rounding of mult: at most half a unit, relative
 *   0.5 / mult. clocks_calc_mult_shift (linux kernel/time/clocksource.c) makes mult as large as keeps
 *   count * mult within 64 bits for the guaranteed range: 600 s for a clock source, 3600 s for sched_clock.
 * - mono, boot and tai are slewed. NTP's frequency term is limited to 500 ppm (MAXFREQ, linux/timex.h), and
 *   adjtime's slew is another 500 ppm at most.
 *
 * Sources: linux 6.12 kernel/time/{clocksource,timekeeping,sched_clock,ntp}.c, kernel/trace/trace.c (names).
 */
export interface RateTolerance {
  /** Limits of: Xen's nanoseconds a Dom0 nanosecond, minus 1. */
  readonly low: number;
  readonly high: number;
  /** The rate may change during the trace, so a straight line is an assumption. */
  readonly slewed: boolean;
  /** The reading moves in steps of the counter, so the steps can tell the counter's exact frequency. */
  readonly rangeSeconds?: number;
}

/** Why a Dom0 clock of this name cannot be aligned; undefined if it can. */
export function clockRefusal(clockName: string): string | undefined {
  if (CLOCKS.has(clockName)) return undefined;
  if (clockName === 'uptime') return 'trace clock "uptime" counts jiffies: too coarse to be aligned';
  if (clockName === 'counter') return 'trace clock "counter" numbers events and tells no time';
  return `trace clock "${clockName}" is not known to follow the counter that Xen reads`;
}

const SLEW = 1000e-6;
/** The same of CLOCK_REALTIME, whose rate differs from that of any trace clock by no more. */
export const WALL_SLEW = SLEW;
const CLOCKS = new Map<string, { rangeSeconds?: number }>([
  ['mono_raw', { rangeSeconds: 600 }],
  ['local', { rangeSeconds: 3600 }],
  ['global', { rangeSeconds: 3600 }],
  ['perf', { rangeSeconds: 3600 }],
  ['mono', {}],
  ['boot', {}],
  ['tai', {}],
]);

/**
 * `hz` is the frequency that Xen's ticks are read with. Xen reports it in whole kHz, cut off (cpu_khz, xen
 * arch/arm/time.c), so a multiple of 1000 may stand for up to 999 Hz more.
 */
export function rateTolerance(clockName: string, hz: number): RateTolerance {
  const clock = CLOCKS.get(clockName);
  if (clock === undefined) throw new RangeError(`no rate tolerance for clock ${clockName}`);
  const hidden = hz % 1000 === 0 ? 1000 / hz : 1 / hz;
  const { rangeSeconds } = clock;
  if (rangeSeconds === undefined) return { low: -SLEW, high: SLEW + hidden, slewed: true };
  const rounding = 1 / multShift(hz, rangeSeconds).mult;
  return { low: -rounding, high: hidden + rounding, slewed: false, rangeSeconds };
}

/**
 * The kernel's constants for a counter of `hz`: ns = (count * mult) >> shift. Follows clocks_calc_mult_shift
 * with to = 10^9; bigints because mult is sought from above 2^32 downwards.
 */
export function multShift(hz: number, rangeSeconds: number): { mult: number; shift: number } {
  let accuracy = 32;
  for (let rest = Math.floor((rangeSeconds * hz) / 2 ** 32); rest > 0; rest = Math.floor(rest / 2))
    accuracy--;
  const from = BigInt(Math.round(hz));
  let shift = 32;
  let mult = 0n;
  for (; shift > 0; shift--) {
    mult = ((1_000_000_000n << BigInt(shift)) + from / 2n) / from;
    if (mult >> BigInt(accuracy) === 0n) break;
  }
  return { mult: Number(mult), shift };
}
