import type { Loss } from './source.ts';

/** Losses that are kept one by one; further ones are added up, one entry a CPU, of unknown place. */
export const MAX_LOSSES = 10_000;

/** Adds a loss to those of a source. The list stays short, and its counts by CPU complete, however many there are. */
export function addLoss(losses: Loss[], loss: Loss): void {
  if (losses.length < MAX_LOSSES) {
    losses.push(loss);
    return;
  }
  // Not even as many as there are CPUs.
  let at = MAX_LOSSES;
  while (at < losses.length && losses[at]!.cpu !== loss.cpu) at++;
  const count = Math.max(1, loss.count) + (losses[at]?.count ?? 0);
  losses[at] = { ...(loss.cpu !== undefined && { cpu: loss.cpu }), count, ts: NaN };
}
