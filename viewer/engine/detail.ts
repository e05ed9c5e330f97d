import type { Detail } from '../protocol.ts';
import type { SpanTable } from './table.ts';

/** What is known of a row; its rank is that among all spans, whatever the table holds. */
export function detailOf(table: SpanTable, row: number): Detail {
  const { rows, usable, weight, total: totals, groupOf } = table.whole ?? table;
  const total = table.total[row]!;
  const own = table.groupOf[row]!;
  let all = 0;
  let faster = 0;
  let like = 0;
  let likeFaster = 0;
  for (let i = 0; i < rows; i++) {
    if (usable[i] === 0) continue;
    const w = weight === null ? 1 : weight[i]!;
    const less = totals[i]! < total ? w : 0;
    all += w;
    faster += less;
    if (groupOf[i] !== own) continue;
    like += w;
    likeFaster += less;
  }
  return {
    family: table.plan.family,
    row,
    start: table.start[row]!,
    total,
    group: table.groups[own]!,
    vcpu: table.vcpu[row]!,
    type: table.type[row]!,
    flags: table.flags[row]!,
    amount: table.amount[row]!,
    value: table.value[row]!,
    joint: table.group[row]!,
    at: table.at.map((column) => column[row]!),
    stages: table.plan.stages.map((_, s) => table.lengths.ns(table, s, row)),
    fasterAll: faster / all,
    fasterGroup: likeFaster / (like || 1),
    groupCount: like,
  };
}
