import type { HostFacts } from '../../trace/manifest.ts';
import type { SpanFamily, SpanPlan } from '../../trace/spans.ts';

/**
 * What a page holds behind its template: blocks of gzip in base64, each in its own
 * `<script type="text/plain" id="...">`, which no browser runs. Nothing in them needs escaping, so no name
 * in a trace can end the block or start another element.
 */
export const PAGE_MARKER = '<!--ioreq-trace:data-->';
export const REPORT_BLOCK = 'ioreq-report';
export const spansBlock = (family: SpanFamily): string => `ioreq-spans-${family}`;
/** All spans of a family that the page holds a sample of, counted in cells (page-cells.ts). */
export const cellsBlock = (family: SpanFamily): string => `ioreq-cells-${family}`;
/** A script that analyses a trace that is dropped on the page (viewer/analysis/). */
export const ANALYSIS_BLOCK = 'ioreq-analysis';
/** Blocks of the second trace, which the first is compared with, have the same names behind this. */
export const OTHER = 'other-';

/**
 * Column names of a span table in Arrow, besides one float64 column `at_<boundary>` a boundary, and one
 * `preempted_<boundary>` for the stage that begins there, where preemption is known of.
 */
export const SPAN_COLUMNS = {
  start: 'start',
  total: 'total',
  device: 'device',
  key: 'key',
  vcpu: 'vcpu',
  dir: 'dir',
  type: 'type',
  flags: 'flags',
  amount: 'amount',
  value: 'value',
  group: 'group',
  weight: 'weight',
} as const;
export const boundaryColumn = (boundary: string): string => `at_${boundary}`;
export const preemptedColumn = (boundary: string): string => `preempted_${boundary}`;

/** What the page needs to know about one family's table. */
export interface PageTable {
  family: SpanFamily;
  plan: SpanPlan;
  /** Spans the analysis gave. */
  spans: number;
  /** Rows in the page. Fewer than `spans`: the slowest are all there, of the others a uniform sample. */
  rows: number;
  /** How many of `rows` are the slowest spans of all, each standing for itself. */
  slowest: number;
  /** Spans that one sampled row stands for; 1 if nothing was left out. */
  weight: number;
  /** Of a sample: length of the slices of time that all spans are counted in, ns. */
  sliceNs?: number;
}

/** One line of the report's figures, ns. A key that is absent was not computed. */
export interface PageDistribution {
  count: number;
  mean_ns?: number | null;
  p50_ns?: number | null;
  p90_ns?: number | null;
  p99_ns?: number | null;
  p999_ns?: number | null;
  p9999_ns?: number | null;
  max_ns?: number | null;
}

export interface PageStage extends PageDistribution {
  name: string;
  title: string;
  from: string;
  to: string;
  crosses_clocks?: boolean;
  bound?: string;
}

export interface PageFamilyReport {
  total?: PageDistribution;
  stages?: PageStage[];
  left_out?: { why: string; count: number }[];
}

/** The part of the report (`trace analyze --json`) that the page reads. All of it comes from untrusted files. */
export interface PageReport {
  trace?: {
    path?: string;
    domid?: number | null;
    duration_ns?: number;
    complete?: boolean;
    ended?: string;
    host?: HostFacts;
  };
  counts?: {
    ioreqs?: number;
    reads?: number;
    writes?: number;
    invalidates?: number;
    unknown_content?: number;
    interrupts?: number;
    raises?: number;
    raised_by_irqfd?: number;
    answered_by_ioeventfd?: number;
    notifies?: number;
    lost?: number;
    events?: number;
    by_source?: { source: string; what: string; ioreqs: number }[];
    sources_agree?: boolean;
  };
  clock?: {
    offset_ns?: number | null;
    error_ns?: number | null;
    max_error_ns?: number | null;
    log_max_error_ns?: number | null;
    warning?: string | null;
  };
  devices?: { name: string; kind?: string; base?: number; spi?: number }[];
  mmio?: PageFamilyReport;
  interrupts?: PageFamilyReport & {
    injection?: PageFamilyReport | null;
    end_to_end?: { stages?: { name: string; title?: string; seen?: boolean; why?: string | null }[] };
  };
  requests?: PageFamilyReport;
  warnings?: string[];
  replay?: PageReplay;
}

/** What `trace replay` stored in the trace, as far as the page shows it. */
export interface PageReplay {
  target: string;
  level: string;
  equal: boolean;
  proven: boolean;
  count: number;
  /** Records of the recording: what steps count. */
  records?: number;
  /** The first of them. */
  divergences: PageDivergence[];
}

export interface PageDivergence {
  step: number;
  /** Start of the access at which it was found, ns; absent where the recording, which holds no times, could not be placed. */
  at_ns?: number;
  /** Device and register, or queue and element. */
  where: string;
  field: string;
  expected: string;
  got: string;
}

/** Where the report has a family's figures; undefined if it has none. */
export function familyFigures(report: PageReport, family: SpanFamily): PageFamilyReport | undefined {
  switch (family) {
    case 'mmio':
      return report.mmio;
    case 'interrupt':
      return report.interrupts;
    case 'injection':
      return report.interrupts?.injection ?? undefined;
    case 'request':
      return report.requests;
  }
}

/** Some rows of a family in the file of all rows. */
export interface PageChunk {
  /** Its place in the file, bytes. */
  at: number;
  bytes: number;
  rows: number;
  /** First and last start, ns. */
  from: number;
  to: number;
}

/** The file of all rows that belongs to a page with samples (page-rows.ts). */
export interface PageRows {
  id: string;
  /** Length of the file. */
  bytes: number;
  chunks: Partial<Record<SpanFamily, PageChunk[]>>;
}

/** The file's first line. */
export const rowsHead = (id: string): string => `ioreq-trace rows ${id}\n`;

/** Content of the report block. */
export interface PageData {
  version: 1;
  report: PageReport;
  tables: PageTable[];
  /** If a table is a sample and there is such a file. */
  rows?: PageRows;
}
