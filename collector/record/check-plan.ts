import { TraceError } from '../../trace/errors.ts';
import type { HookName } from '../probes/hooks.ts';
import { HOOK, HOOKS } from '../probes/hooks.ts';
import type { HostView } from '../probes/host-view.ts';
import type { RecordPlan } from '../probes/plan.ts';

/**
 * Whether this plan can record at all: throws E_HOST with the reason if a hook without which the rest says little
 * cannot be had, E_NO_DOMAIN if nothing serves the domain.
 */
export function checkPlan(view: HostView, plan: RecordPlan, wanted: ReadonlySet<HookName>): void {
  const { refused } = view.tracefs;
  if (refused !== undefined) throw new TraceError('E_HOST', refused);
  if (view.deviceModels.length === 0) {
    throw new TraceError('E_NO_DOMAIN', `no device model of domain ${view.domain.domid} was found`, {
      expected: 'a process that has its ioreq page mapped',
      got: 'none (is its device model started?)',
    });
  }
  for (const name of HOOKS) {
    if (!HOOK[name].needed || !wanted.has(name) || plan.hooks.includes(name)) continue;
    const why = plan.refused.find(({ hook }) => hook === name)?.why ?? 'it cannot be had';
    throw new TraceError('E_HOST', `the hook '${name}' cannot be set: ${why}`);
  }
}
