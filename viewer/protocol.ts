import type { PageData } from '../analyzer/page/page-format.ts';
import type { SpanFamily } from '../trace/spans.ts';
import type { Analysed } from './analysis/analysed.ts';
import type { Blocks } from './blocks.ts';
import type { Answer, Query, Range } from './engine/query.ts';
import type { FamilyFigures } from './engine/figures.ts';
import type { Distribution } from './engine/quantiles.ts';
import type { Group } from './engine/table.ts';
import type { Scene, SpanRef } from './engine/timeline.ts';

/** Which of the traces: the first, or the one it is compared with. */
export type Side = 0 | 1;

export type ExportKind = 'csv' | 'folded' | 'speedscope' | 'perfetto';

/** Page to worker. */
export type Request = { side: Side } & (
  | { type: 'load'; blocks: Blocks }
  | { type: 'take'; analysed: Analysed }
  | { type: 'query'; family: SpanFamily; query: Query }
  | { type: 'detail'; family: SpanFamily; row: number }
  | { type: 'scene'; chosen: SpanRef; window: Range | null }
  /** The row of the span that starts at an instant. */
  | { type: 'find'; family: SpanFamily; start: number }
  | { type: 'figures'; family: SpanFamily }
  /** All rows of a stretch of time, gzipped as they stand in their file; null: the page's own rows again. */
  | {
      type: 'part';
      range: Range | null;
      parts: Partial<Record<SpanFamily, Uint8Array[]>>;
      chosen: SpanRef | null;
    }
  | { type: 'export'; kind: ExportKind; family: SpanFamily; query: Query }
);

export interface LoadedTable {
  family: SpanFamily;
  rows: number;
  /** Rows that count in figures. */
  usable: number;
  groups: Group[];
  /** Starts of the first and last span, ns. */
  first: number;
  last: number;
  /** All usable spans: what a selection is held against. */
  all: Distribution;
  curve: { x: number[]; y: number[] };
}

/** One span in full, with its place among its like. */
export interface Detail {
  family: SpanFamily;
  row: number;
  start: number;
  total: number;
  group: Group;
  vcpu: number;
  type: number;
  flags: number;
  amount: number;
  value: number;
  joint: number;
  /** Boundary times, ns on the trace's axis; NaN = not seen. */
  at: number[];
  /** Lengths of the plan's stages, ns; NaN = not known. */
  stages: number[];
  /** Fractions of spans that are faster: among all of the family, and among its own group. */
  fasterAll: number;
  fasterGroup: number;
  groupCount: number;
}

/** Worker to page. */
export type Reply = { side: Side } &
  /** `part`: of which time all rows are there. `moved`: by the same page; the chosen row's numbers, -1 for none. */
  (
    | {
        type: 'loaded';
        data: PageData;
        duration: number;
        tables: LoadedTable[];
        part: Range | null;
        moved?: { from: number; to: number };
      }
    | { type: 'answer'; family: SpanFamily; answer: Answer; ms: number }
    | { type: 'detail'; detail: Detail }
    | { type: 'scene'; scene: Scene }
    /** -1: the page does not hold it. */
    | { type: 'found'; family: SpanFamily; row: number }
    | { type: 'figures'; family: SpanFamily; figures: FamilyFigures }
    | { type: 'export'; bytes: Uint8Array<ArrayBuffer> }
    /** `of`: what was asked for. */
    | { type: 'failed'; message: string; of: Request['type'] }
  );
