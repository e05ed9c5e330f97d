import type { SqlSource } from './facts.ts';
import type { Params } from './params.ts';

/** Rows of one source with their axis time; the place that knows how a source of a trace is told apart. */
export function sourceRows(p: Params, name: 'xen' | 'dom0', source: SqlSource, columns: string): string {
  const scale = p.double(`${name}_scale`, source.scale);
  const shift = p.double(`${name}_shift`, source.shift);
  return `SELECT row, ts * ${scale} + ${shift} AS t, kind, ${columns}
    FROM ${EVENTS} WHERE trace = ${TRACE} AND source = ${p.text(`${name}_source`, source.id)}`;
}

/** Parameters that index.ts sets. */
export const EVENTS = '{events_database:Identifier}.{events:Identifier}';
export const TRACE = '{trace:String}';
