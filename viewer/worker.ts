import type { PageData } from '../analyzer/page/page-format.ts';
import type { SpanFamily } from '../trace/spans.ts';
import { exportBytes } from './engine/export.ts';
import { familyFigures } from './engine/figures.ts';
import { checkPageData } from './engine/check-data.ts';
import { detailOf } from './engine/detail.ts';
import { run } from './engine/query.ts';
import { distribution, LADDER } from './engine/quantiles.ts';
import { emptyTable, readCells, readSpanTable, type SpanTable } from './engine/table.ts';
import { sceneOf } from './engine/timeline.ts';
import type { LoadedTable, Reply, Request } from './protocol.ts';
import { unpack } from './unpack.ts';

interface Trace {
  tables: Map<SpanFamily, SpanTable>;
  duration: number;
  data?: PageData;
}

/** Owns the spans: the page itself never holds one, it asks. The second trace is the one to compare with. */
const traces: [Trace, Trace] = [
  { tables: new Map(), duration: 1 },
  { tables: new Map(), duration: 1 },
];

const send = (reply: Reply): void => {
  postMessage(reply);
};

async function load({ side, blocks }: Extract<Request, { type: 'load' }>): Promise<void> {
  const data = checkPageData(JSON.parse(new TextDecoder().decode(await unpack(blocks.report))));
  const tables: Trace['tables'] = new Map();
  for (const meta of data.tables) {
    const text = blocks.spans[meta.family];
    if (text === undefined) continue;
    const table = readSpanTable(await unpack(text), meta);
    const cells = blocks.cells[meta.family];
    if (cells !== undefined) table.cells = readCells(await unpack(cells), meta);
    tables.set(meta.family, table);
  }
  const duration = traceDuration(data, tables);
  traces[side] = { tables, duration, data };
  const loaded = [...tables].map(([family, t]) => loadedTable(family, t));
  send({ type: 'loaded', side, data, duration, tables: loaded });
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
  const { tables, duration } = traces[side];
  if (request.type === 'scene') {
    const { chosen, window } = request;
    if (chosen.row < (tables.get(chosen.family)?.rows ?? 0)) {
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
    send({ type: 'figures', side, family: request.family, figures: familyFigures(table) });
  } else if (request.type === 'query') {
    const from = performance.now();
    const answer = run(table, duration, request.query);
    send({ type: 'answer', side, family: request.family, answer, ms: performance.now() - from });
  } else if (request.row < table.rows) {
    send({ type: 'detail', side, detail: detailOf(table, request.row) });
  }
}

/** Makes this thread the worker of a page: it answers requests from now on. */
export function serve(): void {
  addEventListener('message', (event: MessageEvent<Request>) => {
    handle(event.data).catch((error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      send({ type: 'failed', side: event.data.side, message });
    });
  });
}
