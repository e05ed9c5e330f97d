import type { HostView } from '../../collector/probes/host-view.ts';
import { HOOK } from '../../collector/probes/hooks.ts';
import type { RecordPlan } from '../../collector/probes/plan.ts';
import { listChanges } from '../../collector/probes/plan.ts';
import { escapeText } from './escape.ts';
import type { Style } from './style.ts';

/** What `trace record --dry-run` prints: every change to the host in order, and how each is undone. */
export function planText(view: HostView, plan: RecordPlan, style: Style): string {
  const lines = [
    style.bold(`Domain ${view.domain.domid} (${escapeText(view.domain.name)}), ${view.domain.vcpus} vCPUs`),
    '',
    ...plan.hooks.map((name) => `  ${name.padEnd(10)}${HOOK[name].title}`),
    ...plan.refused.map(
      ({ hook, why }) => `  ${hook.padEnd(10)}${style.yellow('not to be had')}: ${escapeText(why)}`,
    ),
    ...(plan.timekeeper !== undefined && 'why' in plan.timekeeper
      ? [`  ${'clock'.padEnd(10)}${style.yellow('only estimated')}: ${escapeText(plan.timekeeper.why)}`]
      : []),
    '',
    style.bold('What would be written on the host, in this order'),
    'PID and START: of the shell that does it.',
    '',
  ];
  for (const { what, value, undo } of listChanges(plan)) {
    lines.push(escapeText(what), `    ${escapeText(value)}`, style.dim(`    undone: ${escapeText(undo)}`));
  }
  return lines.join('\n');
}
