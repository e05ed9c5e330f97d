import { addLoss } from '../losses.ts';
import type { Loss } from '../source.ts';

/**
 * Adds what the kernel's per-CPU statistics (tracefs per_cpu/cpuN/stats, saved at the end of recording) count
 * as lost beyond the losses that the pages themselves told. Where it happened is not known: ts is NaN.
 */
export function addStatLosses(stats: readonly string[], losses: Loss[]): void {
  for (const text of stats) {
    const cpu = numberAfter(text, /^CPU:\s*(\d+)/m);
    if (cpu === undefined) continue;
    const total =
      (numberAfter(text, /^overrun:\s*(\d+)/m) ?? 0) +
      (numberAfter(text, /^commit overrun:\s*(\d+)/m) ?? 0) +
      (numberAfter(text, /^dropped events:\s*(\d+)/m) ?? 0);
    const told = losses.filter((l) => l.cpu === cpu).reduce((sum, l) => sum + l.count, 0);
    if (total > told) addLoss(losses, { cpu, count: total - told, ts: NaN });
  }
}

function numberAfter(text: string, pattern: RegExp): number | undefined {
  const digits = pattern.exec(text)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
