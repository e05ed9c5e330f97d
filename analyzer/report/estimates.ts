import type { Manifest } from '../../trace/manifest.ts';
import type { PassResults, SpanPlans } from '../analyze.ts';
import type { EstimateRule, RuleName } from '../truth/rules.ts';
import { RULES } from '../truth/rules.ts';
import type { EstimateReport } from './document.ts';
import { distribution } from './families.ts';

/** What the numbers of a report leave out or hold too much: nothing is stated of exact ones. */
export function estimateReports(
  manifest: Manifest,
  results: PassResults,
  plans: SpanPlans,
): EstimateReport[] {
  const { hooks, outside } = results;
  if (hooks.tracePoints) return [];
  const crossing = manifest.clock !== undefined && hooks.runstates && hooks.notify;
  const names: RuleName[] = [];
  if (plans.mmio !== undefined) {
    if (hooks.runstates) names.push('wait', 'surroundings');
    else names.push('dom0');
    if (crossing && hooks.evtchnIrq) names.push('descheduled');
    if (crossing) names.push('crossing', 'join');
  }
  if (hooks.raise && results.interrupts.statusReads > 0) names.push('read');
  if (hooks.requests && plans.mmio !== undefined) names.push('notify');
  return names.map((name): EstimateReport => {
    const { id, of, stands_for, error, statement, certain, clock_error }: EstimateRule = RULES[name];
    return {
      id,
      of,
      stands_for,
      error,
      statement,
      certain,
      clock_error_ns: clock_error && crossing ? (manifest.clock?.maxErrorNs ?? null) : null,
      at_most: name === 'surroundings' && outside !== undefined ? distribution(outside) : null,
    };
  });
}
