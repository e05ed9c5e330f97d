import { InvalidArgumentError } from 'commander';

/** Parser of an option that is a whole number (decimal or 0x) within bounds. */
export function integerOption(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^(0x[0-9a-f]+|[0-9]+)$/i.test(text) ? Number(text) : NaN;
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${least} to ${most}.`);
  };
}

/** Parser of a frequency: 62500000, 62.5MHz, 24 MHz. */
export function frequencyOption(text: string): number {
  const found = /^([0-9]+(?:\.[0-9]+)?)\s*([kMG]?)(?:Hz)?$/.exec(text);
  const scale = { '': 1, k: 1e3, M: 1e6, G: 1e9 }[found?.[2] ?? ''] ?? 1;
  const hz = Number(found?.[1]) * scale;
  if (hz >= 1 && hz <= 1e12) return hz;
  throw new InvalidArgumentError('Expected a frequency such as 62500000 or 62.5MHz.');
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** setTimeout takes no more (2^31 - 1 ms): some 24 days. */
const LONGEST_MS = 2_147_483_647;

/** Parser of a length of time: 10s, 500ms, 2m, 1h; in ms. */
export function durationOption(text: string): number {
  const found = /^([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h)$/.exec(text);
  const ms = Math.round(Number(found?.[1]) * (UNIT_MS[found?.[2] ?? ''] ?? NaN));
  if (ms >= 1 && ms <= LONGEST_MS) return ms;
  throw new InvalidArgumentError('Expected a length of time such as 10s, 500ms or 2m.');
}
