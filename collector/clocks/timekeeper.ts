/**
 * The line by which the kernel makes its trace clock from the counter: reading = floor((CNTVCT * mult + constant) /
 * 2^shift) ns. Of mono_raw it never changes while the kernel runs: every tick moves cycle_last, xtime_nsec and base
 * along that same line (linux kernel/time/timekeeping.c, logarithmic_accumulation, timekeeping_update).
 */
export interface CounterLine {
  readonly mult: bigint;
  readonly shift: bigint;
  readonly constant: bigint;
  /** Samples that agreed on it. */
  readonly samples: number;
}

/** Numbers of u64 words that a struct tk_read_base can have: without base_real (Linux before 5.10), with it, and one more. */
const STRIDES = [7, 6, 8];
const LEAST_SAMPLES = 2;
const NS_PER_SECOND = 1_000_000_000n;
/** Clock sources are pointers into the kernel's half of the address space. */
const KERNEL_HALF = 1n << 63n;
const MOST_PPM = 1000;

/**
 * What samples of the kernel's tk_fast_raw say, each the u64 words of struct tk_fast (a sequence count and two equal
 * struct tk_read_base, kernel/time/timekeeping.c); `hz` is the counter's frequency. The layout is recognised by its
 * content. A sample that was torn by the kernel's own update is left out; all others must give one line to within a
 * tick. Or why there is no line that can be trusted.
 */
export function counterLine(samples: readonly (readonly bigint[])[], hz: number): CounterLine | string {
  let found: Omit<CounterLine, 'samples'> | undefined;
  let agreed = 0;
  let torn = 0;
  for (const words of samples) {
    const line = lineOf(words, hz);
    if (line === 'torn') torn++;
    else if (line === undefined) return 'the words are no struct tk_fast that is known';
    else if (found === undefined) {
      found = line;
      agreed = 1;
    } else if (line.mult !== found.mult || line.shift !== found.shift || !within(line, found)) {
      return "the kernel's clock was changed between the samples";
    } else agreed++;
  }
  if (found === undefined || agreed < LEAST_SAMPLES) {
    return `${agreed} whole samples (${torn} torn), at least ${LEAST_SAMPLES} are needed`;
  }
  return { ...found, samples: agreed };
}

function within(a: Omit<CounterLine, 'samples'>, b: Omit<CounterLine, 'samples'>): boolean {
  const apart = a.constant - b.constant;
  return apart < a.mult && -apart < a.mult;
}

/** The line of one sample: 'torn' if its two bases are of different lines, undefined if it is something else. */
function lineOf(words: readonly bigint[], hz: number): Omit<CounterLine, 'samples'> | 'torn' | undefined {
  let torn = false;
  for (const stride of STRIDES) {
    for (let at = 1; at + stride + 6 <= words.length; at++) {
      const [first, second] = [baseAt(words, at, hz), baseAt(words, at + stride, hz)];
      if (first === undefined || second === undefined || words[at] !== words[at + stride]) continue;
      // An update writes the one base while readers use the other: both are on the line, whichever came first.
      if (first.mult === second.mult && first.shift === second.shift && within(first, second)) return first;
      torn = true;
    }
  }
  return torn ? 'torn' : undefined;
}

/** struct tk_read_base: clock, mask, cycle_last, mult and shift (u32 each), xtime_nsec, base; undefined if it is none. */
function baseAt(words: readonly bigint[], at: number, hz: number): Omit<CounterLine, 'samples'> | undefined {
  const [clock = 0n, mask = 0n, cycleLast = 0n, factors = 0n, xtimeNsec = 0n, base = 0n] = words.slice(at);
  const mult = factors & 0xffff_ffffn;
  const shift = factors >> 32n;
  const ones = mask + 1n;
  if (clock < KERNEL_HALF || ones < 1n << 56n || (ones & mask) !== 0n) return undefined;
  if (mult === 0n || shift < 1n || shift > 32n || cycleLast > mask) return undefined;
  const nsPerTick = Number(mult) / 2 ** Number(shift);
  if (!(Math.abs((nsPerTick * hz) / 1e9 - 1) <= MOST_PPM / 1e6)) return undefined;
  // The raw clock's base is whole seconds; what is above, the tick carries over to it.
  if (base % NS_PER_SECOND !== 0n || base >= 1n << 63n) return undefined;
  if (xtimeNsec >> shift >= 2n * NS_PER_SECOND) return undefined;
  return { mult, shift, constant: (base << shift) + xtimeNsec - cycleLast * mult };
}
