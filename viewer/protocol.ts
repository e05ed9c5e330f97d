import type { PageData } from '../analyzer/page/page-format.ts';
import type { SpanFamily } from '../trace/spans.ts';
import type { Answer, Query } from './engine/query.ts';
import type { Distribution } from './engine/quantiles.ts';
import type { Group } from './engine/table.ts';

/** Page to worker. Blocks are the text of the page's data blocks: gzip in base64. */
export type Request =
  | { type: 'load'; report: string; spans: Partial<Record<SpanFamily, string>> }
  | { type: 'query'; id: number; family: SpanFamily; query: Query }
  | { type: 'detail'; id: number; family: SpanFamily; row: number };

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
  /** Fractions of spans that are faster: among all of the family, and among its own group. */
  fasterAll: number;
  fasterGroup: number;
  groupCount: number;
}

/** Worker to page. */
export type Reply =
  | { type: 'loaded'; data: PageData; duration: number; tables: LoadedTable[] }
  | { type: 'answer'; id: number; family: SpanFamily; answer: Answer; ms: number }
  | { type: 'detail'; id: number; detail: Detail }
  | { type: 'failed'; message: string };
