import type { EstimateReport } from '../../analyzer/report/document.ts';
import type { Style } from './style.ts';
import { duration } from './units.ts';

/** The rules by which an unpatched report's numbers are wrong, a line each. */
export function estimatesText(estimates: readonly EstimateReport[], style: Style): string {
  if (estimates.length === 0) return '';
  return [
    style.bold('What the numbers of an unpatched Xen leave out'),
    ...estimates.map((e) => `  ${e.of}, for ${e.stands_for}: ${e.error}. ${sentence(e)}${limits(e)}`),
    style.dim(
      '  how much that is on a host with the trace points in Xen: trace analyze --truth, docs/ACCURACY.md',
    ),
  ].join('\n');
}

function sentence({ statement, certain }: EstimateReport): string {
  const text = statement.charAt(0).toUpperCase() + statement.slice(1);
  return `${text} (${certain ? 'certain' : 'typical'})`;
}

function limits({ clock_error_ns, at_most }: EstimateReport): string {
  const parts: string[] = [];
  if (clock_error_ns !== null) parts.push(`clock error ± ${duration(clock_error_ns)}`);
  if (at_most !== null && at_most.count > 0) {
    const [p50, p90] = [at_most.p50_ns, at_most.p90_ns].map((v) => duration(v ?? NaN));
    parts.push(`at most ${p50} more at the median of the waits, ${p90} at their p90`);
  }
  return parts.length === 0 ? '' : `: ${parts.join(', ')}`;
}
