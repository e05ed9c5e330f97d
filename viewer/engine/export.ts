import type { PageData } from '../../analyzer/page/page-format.ts';
import { csv } from '../../analyzer/exports/csv.ts';
import { perfetto } from '../../analyzer/exports/perfetto.ts';
import type { SpanRows } from '../../analyzer/exports/spans.ts';
import { folded, speedscope, stacksOf } from '../../analyzer/exports/stacks.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import type { ExportKind } from '../protocol.ts';
import { chosenRows, type Query } from './query.ts';
import type { SpanTable } from './table.ts';

/** The bytes of a file to save: what is chosen of one family, or of all families what begins in the time shown. */
export function exportBytes(
  kind: ExportKind,
  tables: ReadonlyMap<SpanFamily, SpanTable>,
  family: SpanFamily,
  query: Query,
  report: PageData['report'] | undefined,
): Uint8Array<ArrayBuffer> {
  const devices = report?.devices ?? [];
  const spans = (table: SpanTable, q: Query): SpanRows => ({
    plan: table.plan,
    columns: table,
    rows: chosenRows(table, q),
    weight: table.weight,
    devices,
  });
  if (kind === 'perfetto') {
    const whole = { ...query, brush: null, groups: [] };
    return new Uint8Array(perfetto([...tables.values()].map((t) => spans(t, whole))));
  }
  const table = tables.get(family);
  if (table === undefined) return new Uint8Array();
  const chosen = spans(table, query);
  const name = report?.trace?.path ?? 'trace';
  const text =
    kind === 'csv'
      ? csv(chosen)
      : kind === 'folded'
        ? folded(stacksOf(chosen))
        : speedscope(name, stacksOf(chosen));
  return new TextEncoder().encode(text);
}
