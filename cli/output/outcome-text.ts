import type { Condition } from '../../analyzer/conditions/condition.ts';
import type { Outcome } from '../../analyzer/conditions/evaluate.ts';
import { kindOf } from '../../analyzer/conditions/parse.ts';
import { count, duration } from './units.ts';

/** What was found of a condition: `blk0 Status read: 123.4 µs, was 100 µs: +23.4 % (8,122 values)`. */
export function outcomeText(condition: Condition, found: Outcome['found'][number]): string {
  const { bound, figure } = condition;
  const kind = kindOf(figure);
  const group = found.group === '' ? '' : `${found.group}: `;
  if (found.result === 'missing') return `${group}no figure: ${found.why}`;
  const value = show(found.value!, kind);
  const values = found.count === null ? '' : ` (${count(found.count)} values)`;
  if (bound.change === null) return `${group}${value}${values}`;
  const by = found.compared!;
  const change = bound.change === 'relative' ? show(by, 'fraction') : show(by, kind);
  return `${group}${value}, was ${show(found.before!, kind)}: ${by > 0 ? '+' : ''}${change}${values}`;
}

function show(value: number, kind: 'ns' | 'number' | 'fraction'): string {
  if (kind === 'ns') return duration(value);
  return kind === 'fraction' ? `${Number((value * 100).toPrecision(4))} %` : count(value);
}
