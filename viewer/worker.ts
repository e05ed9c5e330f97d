import type { PageData } from '../analyzer/page/page-format.ts';
import type { SpanFamily } from '../trace/spans.ts';
import { detailOf } from './engine/detail.ts';
import { run } from './engine/query.ts';
import { distribution, LADDER } from './engine/quantiles.ts';
import { emptyTable, readSpanTable, type SpanTable } from './engine/table.ts';
import type { LoadedTable, Reply, Request } from './protocol.ts';
import { unpack } from './unpack.ts';

/** Owns the spans: the page itself never holds one, it asks. */
const tables = new Map<SpanFamily, SpanTable>();
let duration = 1;

const send = (reply: Reply): void => {
  postMessage(reply);
};

async function load(request: Extract<Request, { type: 'load' }>): Promise<void> {
  const data = JSON.parse(new TextDecoder().decode(await unpack(request.report))) as PageData;
  for (const meta of data.tables) {
    const text = request.spans[meta.family];
    if (text !== undefined) tables.set(meta.family, readSpanTable(await unpack(text), meta));
  }
  duration = traceDuration(data);
  send({
    type: 'loaded',
    data,
    duration,
    tables: [...tables].map(([family, t]) => loadedTable(family, t)),
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

/** ns; the report's, or as far as the spans reach. */
function traceDuration(data: PageData): number {
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
  if (request.type === 'load') {
    await load(request);
    return;
  }
  const table = tables.get(request.family) ?? emptyTable(request.family);
  if (request.type === 'query') {
    const from = performance.now();
    const answer = run(table, duration, request.query);
    send({ type: 'answer', id: request.id, family: request.family, answer, ms: performance.now() - from });
  } else if (request.row < table.rows) {
    send({ type: 'detail', id: request.id, detail: detailOf(table, request.row) });
  }
}

addEventListener('message', (event: MessageEvent<Request>) => {
  handle(event.data).catch((error: unknown) => {
    send({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
  });
});
