import type { Columns } from '../analyzer/page/page-columns.ts';
import type { PageData, PageTable } from '../analyzer/page/page-format.ts';
import type { SpanFamily } from '../trace/spans.ts';
import { exportBytes } from './engine/export.ts';
import { familyFigures } from './engine/figures.ts';
import { checkPageData } from './engine/check-data.ts';
import { detailOf } from './engine/detail.ts';
import { run } from './engine/query.ts';
import { partOf, sameRow } from './engine/part.ts';
import { distribution, LADDER } from './engine/quantiles.ts';
import { arrowColumns } from './engine/arrow-columns.ts';
import { emptyTable, cellTable, spanTable, type SpanTable } from './engine/table.ts';
import { sceneOf } from './engine/timeline.ts';
import type { LoadedTable, Reply, Request, Side } from './protocol.ts';
import { inflate, unpack } from './unpack.ts';

interface Trace {
  /** What the page holds. */
  whole: Map<SpanFamily, SpanTable>;
  /** What is asked: the same, or of a stretch of time all rows. */
  tables: Map<SpanFamily, SpanTable>;
  loaded: LoadedTable[];
  duration: number;
  data?: PageData;
}

/** Owns the spans: the page itself never holds one, it asks. The second trace is the one to compare with. */
const none = (): Trace => ({ whole: new Map(), tables: new Map(), loaded: [], duration: 1 });
const traces: [Trace, Trace] = [none(), none()];

const send = (reply: Reply): void => {
  postMessage(reply);
};

async function load({ side, blocks }: Extract<Request, { type: 'load' }>): Promise<void> {
  const data = checkPageData(JSON.parse(new TextDecoder().decode(await unpack(blocks.report))));
  const columns = async (text: string): Promise<Columns> => arrowColumns(await unpack(text));
  const tables: Trace['tables'] = new Map();
  for (const meta of data.tables) {
    const { spans, cells } = blocks;
    const text = spans[meta.family];
    if (text === undefined) continue;
    const cell = cells[meta.family];
    tables.set(
      meta.family,
      tableOf(meta, await columns(text), cell === undefined ? undefined : await columns(cell)),
    );
  }
  keep(side, data, tables);
}

/** A trace that the page has analysed by itself. */
function take({ side, analysed: { data, spans, cells } }: Extract<Request, { type: 'take' }>): void {
  const tables: Trace['tables'] = new Map();
  for (const meta of data.tables)
    tables.set(meta.family, tableOf(meta, spans[meta.family]!, cells[meta.family]));
  keep(side, data, tables);
}

function tableOf(meta: PageTable, spans: Columns, cells: Columns | undefined): SpanTable {
  const table = spanTable(spans, meta);
  if (cells !== undefined) table.cells = cellTable(cells, meta);
  return table;
}

function keep(side: Side, data: PageData, tables: Trace['tables']): void {
  const duration = traceDuration(data, tables);
  const loaded = [...tables].map(([family, t]) => loadedTable(family, t));
  traces[side] = { whole: tables, tables, loaded, duration, data };
  send({ type: 'loaded', side, data, duration, tables: loaded, part: null });
}

async function showPart({ side, range, parts, chosen }: Extract<Request, { type: 'part' }>): Promise<void> {
  const trace = traces[side];
  const before = trace.tables;
  const tables = new Map(trace.whole);
  if (range !== null) {
    for (const [family, whole] of trace.whole) {
      const pieces: SpanTable[] = [];
      try {
        for (const bytes of parts[family] ?? [])
          pieces.push(spanTable(arrowColumns(await inflate(bytes)), whole.meta));
      } catch (error) {
        throw new Error(`rows of ${family}, piece ${pieces.length + 1}: ${String(error)}`);
      }
      if (whole.weight !== null) tables.set(family, partOf(whole, pieces, range.lo, range.hi));
    }
  }
  trace.tables = tables;
  const moved = { from: chosen?.row ?? -1, to: -1 };
  const [from, to] = [before, tables].map((t) => t.get(chosen?.family ?? 'mmio'));
  if (chosen !== null && from !== undefined) moved.to = sameRow(from, chosen.row, to!);
  const loaded = trace.loaded.map((t) => {
    const { rows, groups } = tables.get(t.family)!;
    return { ...t, rows, groups };
  });
  send({
    type: 'loaded',
    side,
    data: trace.data!,
    duration: trace.duration,
    tables: loaded,
    part: range,
    moved,
  });
}

function loadedTable(family: SpanFamily, table: SpanTable): LoadedTable {
  const rows = Uint32Array.from({ length: table.rows }, (_, i) => i).filter((i) => table.usable[i] === 1);
  const values = Float64Array.from(rows, (i) => table.total[i]!);
  const { weight } = table;
  const weights = weight === null ? null : Float32Array.from(rows, (i) => weight[i]!);
  const curve = { x: [], y: [] };
  const all = distribution(values, rows.length, weights, LADDER, curve);
  const first = table.start[rows[0] ?? 0] ?? 0;
  const last = table.start[rows.at(-1) ?? 0] ?? 0;
  return { family, rows: table.rows, usable: rows.length, groups: table.groups, first, last, all, curve };
}

/** Not one that only keeps its number (part.ts). */
const isRow = (table: SpanTable | undefined, row: number): boolean =>
  table !== undefined && row < table.rows && table.start[row] !== -Infinity;

/** ns; the report's, or as far as the spans reach. */
function traceDuration(data: PageData, tables: Trace['tables']): number {
  let end = data.report.trace?.duration_ns ?? 0;
  if (!Number.isFinite(end) || end < 0) end = 0;
  for (const table of tables.values()) {
    for (let i = table.rows - 1; i >= 0; i--) {
      const start = table.start[i]!;
      if (Number.isNaN(start)) continue;
      end = Math.max(end, start + 1);
      break;
    }
  }
  return Math.max(1, end);
}

async function handle(request: Request): Promise<void> {
  const { side } = request;
  if (request.type === 'load') {
    await load(request);
    return;
  }
  if (request.type === 'take') {
    take(request);
    return;
  }
  if (request.type === 'part') {
    await showPart(request);
    return;
  }
  const { tables, duration } = traces[side];
  if (request.type === 'scene') {
    const { chosen, window } = request;
    if (isRow(tables.get(chosen.family), chosen.row)) {
      send({ type: 'scene', side, scene: sceneOf(tables, chosen, window) });
    }
    return;
  }
  const table = tables.get(request.family) ?? emptyTable(request.family);
  if (request.type === 'find') {
    const { family } = request;
    send({ type: 'found', side, family, row: table.start.indexOf(request.start) });
  } else if (request.type === 'export') {
    const { kind, family, query } = request;
    send({
      type: 'export',
      side,
      bytes: exportBytes(kind, tables, family, query, traces[side].data?.report),
    });
  } else if (request.type === 'figures') {
    send({ type: 'figures', side, family: request.family, figures: familyFigures(table.whole ?? table) });
  } else if (request.type === 'query') {
    const from = performance.now();
    const answer = run(table, duration, request.query);
    send({ type: 'answer', side, family: request.family, answer, ms: performance.now() - from });
  } else if (isRow(table, request.row)) {
    send({ type: 'detail', side, detail: detailOf(table, request.row) });
  }
}

/** Makes this thread the worker of a page: it answers requests from now on. */
export function serve(): void {
  addEventListener('message', (event: MessageEvent<Request>) => {
    handle(event.data).catch((error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      const { side, type } = event.data;
      send({ type: 'failed', side, message, of: type });
    });
  });
}
