import { familyFigures, REPORT_BLOCK, spansBlock } from '../analyzer/page/page-format.ts';
import type { PageData, PageFamilyReport, PageTable } from '../analyzer/page/page-format.ts';
import { SPAN_FAMILIES } from '../trace/manifest.ts';
import type { SpanFamily } from '../trace/spans.ts';
import type { Answer } from './engine/query.ts';
import type { Detail, LoadedTable, Reply, Request } from './protocol.ts';
import { Atom, update, view, type ViewState } from './state.ts';
import TraceWorker from './worker.ts?worker&inline';

export interface Loaded {
  data: PageData;
  /** ns; the time axis is 0 to this. */
  duration: number;
  tables: Partial<Record<SpanFamily, LoadedTable>>;
}

export type Phase =
  { at: 'loading' } | { at: 'empty' } | { at: 'failed'; message: string } | { at: 'ready'; loaded: Loaded };

export const phase = new Atom<Phase>({ at: 'loading' });
/** The latest answer, and which family it is of. */
export const answer = new Atom<{ family: SpanFamily; answer: Answer } | null>(null);
export const detail = new Atom<Detail | null>(null);
/** Width of the heatmap in CSS px: how many columns the worker may make. 0 until it is laid out: nothing is asked before. */
export const heatColumns = new Atom<number>(0);

export function familyReport(data: PageData, family: SpanFamily): PageFamilyReport {
  return familyFigures(data.report, family) ?? {};
}

export function tableOf(data: PageData, family: SpanFamily): PageTable | undefined {
  return data.tables.find((t) => t.family === family);
}

let worker: Worker | null = null;
let nextId = 1;
/** Only one question is under way; a newer one waits, and replaces the one that waits already. */
let busy = false;
let waiting: Extract<Request, { type: 'query' }> | null = null;
let asked = '';

const post = (request: Request): void => worker?.postMessage(request);

export function start(): void {
  const block = (id: string): string | undefined => document.getElementById(id)?.textContent;
  const report = block(REPORT_BLOCK);
  if (report === undefined) {
    phase.set({ at: 'empty' });
    return;
  }
  const spans: Partial<Record<SpanFamily, string>> = {};
  for (const family of SPAN_FAMILIES) {
    const text = block(spansBlock(family));
    if (text !== undefined) spans[family] = text;
  }
  worker = new TraceWorker();
  worker.addEventListener('message', (event: MessageEvent<Reply>) => {
    receive(event.data);
  });
  worker.addEventListener('error', (event) => {
    phase.set({ at: 'failed', message: event.message });
  });
  post({ type: 'load', report, spans });
  // The text is in the worker now; the page need not keep tens of megabytes of it.
  for (const family of SPAN_FAMILIES) document.getElementById(spansBlock(family))?.remove();
  view.watch(ask);
  heatColumns.watch(ask);
}

function receive(reply: Reply): void {
  if (reply.type === 'failed') phase.set({ at: 'failed', message: reply.message });
  else if (reply.type === 'loaded') {
    const tables: Loaded['tables'] = {};
    for (const table of reply.tables) tables[table.family] = table;
    phase.set({ at: 'ready', loaded: { data: reply.data, duration: reply.duration, tables } });
    ask();
  } else if (reply.type === 'detail') {
    const state = view.get();
    if (state.selected === reply.detail.row && state.family === reply.detail.family) detail.set(reply.detail);
  } else {
    busy = false;
    if (reply.family === view.get().family) answer.set({ family: reply.family, answer: reply.answer });
    if (waiting !== null) {
      const next = waiting;
      waiting = null;
      put(next);
    }
  }
}

function put(request: Extract<Request, { type: 'query' }>): void {
  if (busy) waiting = request;
  else {
    busy = true;
    post(request);
  }
}

function ask(): void {
  const now = phase.get();
  if (now.at !== 'ready' || heatColumns.get() === 0) return;
  const state = view.get();
  const query = queryOf(state, now.loaded);
  const key = JSON.stringify([state.family, query]);
  if (key !== asked) {
    asked = key;
    put({ type: 'query', id: nextId++, family: state.family, query });
  }
  askDetail(state);
}

function queryOf(state: ViewState, loaded: Loaded): Extract<Request, { type: 'query' }>['query'] {
  const stages = tableOf(loaded.data, state.family)?.plan.stages ?? [];
  return {
    window: state.window ?? { lo: 0, hi: loaded.duration },
    brush: state.brush,
    groups: state.groups,
    columns: heatColumns.get(),
    outliersBy: stages.findIndex((s) => s.name === state.outliersBy),
  };
}

let detailAsked = '';

function askDetail(state: ViewState): void {
  const key = `${state.family} ${state.selected ?? ''}`;
  if (key === detailAsked) return;
  detailAsked = key;
  if (state.selected === null) detail.set(null);
  else post({ type: 'detail', id: nextId++, family: state.family, row: state.selected });
}

export function zoom(window: { lo: number; hi: number } | null): void {
  const now = phase.get();
  if (now.at !== 'ready' || window === null) {
    update({ window: null });
    return;
  }
  const { duration } = now.loaded;
  const width = Math.min(duration, Math.max(1000, window.hi - window.lo));
  const lo = Math.max(0, Math.min(duration - width, window.lo));
  update({ window: width >= duration ? null : { lo, hi: lo + width } });
}
