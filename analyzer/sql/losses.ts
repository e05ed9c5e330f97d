import type { SqlLosses } from './facts.ts';
import type { Params } from './params.ts';

/** Whether [start, stop] has an instant in common with a window in which records may be missing. */
export function touches(p: Params, name: string, losses: SqlLosses, start: string, stop: string): string {
  if (losses.from.length === 0) return '0';
  return `arrayExists((f, t) -> f <= ${stop} AND t >= ${start}, ${p.doubles(`${name}_from`, losses.from)}, ${p.doubles(`${name}_to`, losses.to)})`;
}
