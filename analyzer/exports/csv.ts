import { NO_VCPU } from '../../trace/ids.ts';
import type { SpanPlan } from '../../trace/spans.ts';
import { StageLengths } from '../../trace/spans.ts';
import { deviceLabel, dirLabel, keyLabel, type SpanRows } from './spans.ts';

/**
 * One line a span (RFC 4180, UTF-8, CRLF): what it is, its instants and its stages, all times in ns on the trace's
 * axis. What was not seen is empty, never 0.
 */
export const csv = (spans: SpanRows): string => csvHead(spans.plan) + csvLines(spans);

/** The first line. */
export function csvHead(plan: SpanPlan): string {
  const head = ['start_ns', 'total_ns', 'device', 'key', 'direction', 'vcpu', 'flags', 'amount', 'value'];
  const names = [
    ...head,
    ...plan.boundaries.map((b) => `at_${b.name}_ns`),
    ...plan.stages.map((s) => `${s.name}_ns`),
  ];
  return `${names.map(cell).join(',')}\r\n`;
}

/** The lines of some spans. */
export function csvLines(spans: SpanRows): string {
  const { plan, columns, rows } = spans;
  const lengths = new StageLengths(plan);
  const lines: string[] = [];
  for (const row of rows) {
    const vcpu = columns.vcpu[row]!;
    const line = [
      number(columns.start[row]!),
      number(columns.total[row]!),
      cell(deviceLabel(spans, row)),
      cell(keyLabel(spans, row)),
      dirLabel(spans, row),
      vcpu === NO_VCPU ? '' : String(vcpu),
      String(columns.flags[row]!),
      String(columns.amount[row]!),
      String(columns.value[row]!),
    ];
    for (const column of columns.at) line.push(number(column[row]!));
    for (let s = 0; s < plan.stages.length; s++) line.push(number(lengths.ns(columns, s, row)));
    lines.push(line.join(','));
  }
  return lines.length === 0 ? '' : `${lines.join('\r\n')}\r\n`;
}

const number = (ns: number): string => (Number.isNaN(ns) ? '' : String(ns));

/** Quoted where it must be; a spreadsheet takes what begins like a formula for one, unless an apostrophe is before. */
function cell(text: string): string {
  const inert = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
}
