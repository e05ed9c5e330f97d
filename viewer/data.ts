import { familyFigures, rowsHead } from '../analyzer/page/page-format.ts';
import type { PageData, PageFamilyReport, PageTable } from '../analyzer/page/page-format.ts';
import type { SpanFamily } from '../trace/spans.ts';
import { analyse } from './analyse.ts';
import { fileBlocks, ownBlocks, sampleBlocks } from './blocks.ts';
import type { Chosen } from './dropped.ts';
import type { Answer, Range } from './engine/query.ts';
import type { Scene, SpanRef } from './engine/timeline.ts';
import type { FamilyFigures } from './engine/figures.ts';
import type { Detail, ExportKind, LoadedTable, Reply, Request, Side } from './protocol.ts';
import { partAround, readParts } from './rows.ts';
import { Atom, showTimeline, update, view, type ViewState } from './state.ts';

export interface Loaded {
  data: PageData;
  /** ns; the time axis is 0 to this. */
  duration: number;
  tables: Partial<Record<SpanFamily, LoadedTable>>;
  /** Of a page with samples: the time of which all rows are here. */
  part: Range | null;
}

export type Phase =
  | { at: 'loading'; message?: string }
  | { at: 'empty' }
  | { at: 'failed'; message: string }
  | { at: 'ready'; loaded: Loaded };

export const phase = new Atom<Phase>({ at: 'loading' });
/** The trace, and the one it is compared with. */
export const sides = new Atom<readonly [Loaded | null, Loaded | null]>([null, null]);
/** Both traces' figures by family, once they are asked for: `side family`. */
export const compared = new Atom<Readonly<Record<string, FamilyFigures>>>({});
/** Why a second trace could not be loaded. */
export const fault = new Atom<string | null>(null);
/** The latest answer, and which family it is of. */
export const answer = new Atom<{ family: SpanFamily; answer: Answer } | null>(null);
/** The latest answer once it stands still for a moment: tables need not follow every step of a zoom. */
export const settled = new Atom<{ family: SpanFamily; answer: Answer } | null>(null);
export const detail = new Atom<Detail | null>(null);
/** What the timeline draws, of the span that was chosen when it was asked for. */
export const scene = new Atom<Scene | null>(null);
/** Width of the heatmap in CSS px: how many columns the worker may make. 0 until it is laid out: nothing is asked before. */
export const heatColumns = new Atom<number>(0);

export function familyReport(data: PageData, family: SpanFamily): PageFamilyReport {
  return familyFigures(data.report, family) ?? {};
}

export function tableOf(data: PageData, family: SpanFamily): PageTable | undefined {
  return data.tables.find((t) => t.family === family);
}

let worker: Worker | null = null;
/** Only one question is under way; a newer one waits, and replaces the one that waits already. */
let busy = false;
let waiting: Extract<Request, { type: 'query' }> | null = null;
let asked = '';

const post = (request: Request): void => worker?.postMessage(request);

/** Loads the traces that the page holds; without any, waits for a file. */
export function start(): void {
  // The worker runs the page's own script (main.tsx): what both need is in the file once.
  const script = document.querySelector('script[type=module]')!.textContent;
  worker = new Worker(URL.createObjectURL(new Blob([script])));
  worker.addEventListener('message', (event: MessageEvent<Reply>) => {
    receive(event.data);
  });
  worker.addEventListener('error', (event) => {
    phase.set({ at: 'failed', message: event.message });
  });
  view.watch(ask);
  heatColumns.watch(ask);
  const own = ownBlocks();
  own.slice(0, 2).forEach((blocks, n) => {
    post({ type: 'load', side: n === 0 ? 0 : 1, blocks });
  });
  if (own.length === 0) phase.set({ at: 'empty' });
}

let dropped = false;

/**
 * Takes a trace from disk, as the first or as the one to compare the first with: a page with one, or the files of a
 * trace directory. The file of a page's rows is taken, too.
 */
export async function openChosen({ name, files }: Chosen): Promise<void> {
  const side = sides.get()[0] === null ? 0 : 1;
  const [file] = files;
  fault.set(null);
  if (file?.name.endsWith('.rows') && side === 1) {
    await openRows(file);
    return;
  }
  dropped = true;
  const say = (message: string): void => {
    if (side === 0) phase.set({ at: 'loading', message });
    else fault.set(message);
  };
  try {
    if (file !== undefined && files.length === 1) {
      say(`Reading ${file.name}…`);
      post({ type: 'load', side, blocks: await fileBlocks(file) });
      return;
    }
    say(`Analysing ${name}…`);
    const analysed = await analyse({ name, files }, (bytes) => {
      if (side === 0) say(`Analysing ${name}: ${Math.round(bytes / 1e6)} MB read…`);
    });
    post({ type: 'take', side, analysed });
  } catch (error) {
    failed(side, error instanceof Error ? error.message : String(error));
  }
}

async function openRows(file: File): Promise<void> {
  const { side } = view.get();
  const rows = sides.get()[side]?.data.rows;
  const head = rowsHead(rows?.id ?? '');
  if (file.size !== rows?.bytes || (await file.slice(0, head.length).text()) !== head) {
    fault.set(`${file.name} does not hold the rows of this trace`);
    return;
  }
  rowsFiles[side] = file;
  ask();
}

/** Shows one of the page's samples. */
export function openSample(sample: HTMLElement): void {
  phase.set({ at: 'loading' });
  post({ type: 'load', side: 0, blocks: sampleBlocks(sample) });
}

/** What was dropped could not even be listed. */
export function cannotRead(error: unknown): void {
  failed(sides.get()[0] === null ? 0 : 1, String(error));
}

function failed(side: Side, message: string): void {
  if (side === 0) phase.set({ at: 'failed', message });
  else fault.set(message);
}

/**
 * Shows the other one of two traces. Rows and groups are numbers of one trace: they mean nothing in another. The time
 * shown keeps its distance from the first span, as traces begin at any moment of what they record.
 */
export function showSide(side: Side): void {
  const both = sides.get();
  const loaded = both[side];
  if (loaded === null) return;
  const { side: from, window, brush, family } = view.get();
  const [here, there] = [from, side].map((s) => both[s]?.tables[family]?.first ?? 0);
  const moved = ({ lo, hi }: Range): Range => ({ lo: lo + there! - here!, hi: hi + there! - here! });
  const box = brush && { ...brush, time: moved(brush.time) };
  update({ side, brush: box, latency: null, groups: [], selected: null, span: null, divergence: null });
  phase.set({ at: 'ready', loaded });
  zoom(window && moved(window));
  ask();
}

function receive(reply: Reply): void {
  const state = view.get();
  // Without those rows the page is as good as before.
  if (reply.type === 'failed') failed(reply.of === 'part' ? 1 : reply.side, reply.message);
  else if (reply.type === 'loaded') {
    const tables: Loaded['tables'] = {};
    for (const table of reply.tables) tables[table.family] = table;
    const { data, duration, part, moved } = reply;
    const loaded = { data, duration, tables, part };
    const [a, b] = sides.get();
    sides.set(reply.side === 0 ? [loaded, b] : [a, loaded]);
    asked = '';
    if (moved === undefined) {
      compared.set({});
      fault.set(null);
    } else if (reply.side === state.side && state.selected !== null)
      update({ selected: moved.from === state.selected && moved.to >= 0 ? moved.to : null });
    if (reply.side === 1 && dropped && moved === undefined) update({ tab: 'compare' });
    if (reply.side === state.side || phase.get().at !== 'ready') phase.set({ at: 'ready', loaded });
    ask();
  } else if (reply.type === 'export') {
    exported.shift()?.(reply.bytes);
  } else if (reply.type === 'figures') {
    compared.set({ ...compared.get(), [`${reply.side} ${reply.family}`]: reply.figures });
  } else if (reply.type === 'found') {
    if (reply.side === state.side && reply.row >= 0) showTimeline(reply.family, reply.row);
  } else if (reply.type === 'scene') {
    if (reply.side === state.side) scene.set(reply.scene);
    sceneBusy = false;
    askScene(view.get());
  } else if (reply.type === 'answer') {
    busy = false;
    if (reply.family === state.family && reply.side === state.side) {
      answer.set({ family: reply.family, answer: reply.answer });
      settle(reply.side);
    }
    if (waiting !== null) {
      const next = waiting;
      waiting = null;
      put(next);
    }
  } else if (reply.side === state.side) {
    const { row, family } = reply.detail;
    if (state.selected === row && state.family === family) detail.set(reply.detail);
  }
}

const REST_MS = 90;
let settling = 0;
let settledSide: Side = 0;

function settle(side: Side): void {
  const now = answer.get();
  clearTimeout(settling);
  const other = settled.get()?.family !== now?.family || side !== settledSide;
  settledSide = side;
  if (other) settled.set(now);
  else {
    settling = window.setTimeout(() => {
      settled.set(answer.get());
    }, REST_MS);
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
  const state = view.get();
  // The timeline steps through the list of outliers, which comes with an answer.
  if (now.at !== 'ready' || (heatColumns.get() === 0 && state.tab === 'spans')) return;
  leavePart(state, now.loaded);
  const query = queryOf(state, now.loaded);
  const key = JSON.stringify([state.side, state.family, query]);
  if (key !== asked) {
    asked = key;
    put({ type: 'query', side: state.side, family: state.family, query });
  }
  askDetail(state);
  askScene(state);
  askPart(state, now.loaded);
}

/** The files of all rows; a page from a server asks that instead. */
const rowsFiles: [File | null, File | null] = [null, null];
export const hasRows = (side: Side): boolean => rowsFiles[side] !== null || location.protocol !== 'file:';
let partTimer = 0;
const PART_REST_MS = 200;

/** What the view asks of all rows is only right within the part: elsewhere the page's own rows answer, and at once. */
function leavePart({ side, window: shown, family, selected }: ViewState, loaded: Loaded): void {
  const { part } = loaded;
  if (part === null || (shown !== null && shown.lo >= part.lo && shown.hi <= part.hi)) return;
  loaded.part = null;
  post({ type: 'part', side, range: null, parts: {}, chosen: chosenOf(family, selected) });
}

const chosenOf = (family: SpanFamily, row: number | null): SpanRef | null =>
  row === null ? null : { family, row };

/** Of a page with samples: once the time shown is short enough and rests, all rows of it. */
function askPart({ side, window: shown }: ViewState, { data: { rows }, part }: Loaded): void {
  clearTimeout(partTimer);
  const range = rows && hasRows(side) && part === null && shown && partAround(rows, shown);
  if (!range) return;
  partTimer = window.setTimeout(() => {
    void readParts(rows, range, rowsFiles[side]).then(
      (parts) => {
        const now = view.get();
        // What was looked at meanwhile asks for itself.
        if (now.side !== side || JSON.stringify(now.window) !== JSON.stringify(shown)) return;
        post({ type: 'part', side, range, parts, chosen: chosenOf(now.family, now.selected) });
      },
      (error: unknown) => {
        fault.set(error instanceof Error ? error.message : String(error));
      },
    );
  }, PART_REST_MS);
}

function queryOf(state: ViewState, loaded: Loaded): Extract<Request, { type: 'query' }>['query'] {
  const stages = tableOf(loaded.data, state.family)?.plan.stages ?? [];
  return {
    window: state.window ?? { lo: 0, hi: loaded.duration },
    brush: state.brush,
    groups: state.groups,
    columns: heatColumns.get() || 600,
    limit: state.limit,
    latency: state.latency,
    linear: state.linear,
    outliersBy: stages.findIndex((s) => s.name === state.outliersBy),
  };
}

let detailAsked = '';

function askDetail(state: ViewState): void {
  const key = `${state.side} ${state.family} ${state.selected ?? ''}`;
  if (key === detailAsked) return;
  detailAsked = key;
  if (state.selected === null) detail.set(null);
  else post({ type: 'detail', side: state.side, family: state.family, row: state.selected });
}

/** Who waits for an export: answers come in the order of the questions. */
const exported: ((bytes: Uint8Array<ArrayBuffer>) => void)[] = [];

export function askExport(kind: ExportKind): Promise<Uint8Array<ArrayBuffer>> {
  const state = view.get();
  const now = phase.get();
  return new Promise((done) => {
    if (now.at !== 'ready') return;
    exported.push(done);
    const query = queryOf(state, now.loaded);
    post({ type: 'export', side: state.side, kind, family: state.family, query });
  });
}

export function askFigures(family: SpanFamily): void {
  for (const side of [0, 1] as const) {
    if (compared.get()[`${side} ${family}`] === undefined) post({ type: 'figures', side, family });
  }
}

let sceneAsked = '';
/** As with questions: one is under way, and the latest view is asked for when it is answered. */
let sceneBusy = false;

function askScene(state: ViewState): void {
  if (state.tab !== 'timeline' || state.selected === null || sceneBusy) return;
  const key = JSON.stringify([state.side, state.family, state.selected, state.span]);
  if (key === sceneAsked) return;
  sceneAsked = key;
  const rows = phase.get();
  if (rows.at !== 'ready' || state.selected >= (rows.loaded.tables[state.family]?.rows ?? 0)) return;
  sceneBusy = true;
  const chosen = { family: state.family, row: state.selected };
  post({ type: 'scene', side: state.side, chosen, window: state.span });
}

export function zoomTimeline(window: Range | null): void {
  if (window === null) {
    update({ span: null });
    return;
  }
  const lo = Math.max(0, window.lo);
  update({ span: { lo, hi: lo + Math.max(100, window.hi - window.lo) } });
}

const timeShown = (): Range => {
  const now = phase.get();
  return view.get().window ?? { lo: 0, hi: now.at === 'ready' ? now.loaded.duration : 1 };
};

/** What zoom and pan keys work on: the timeline's time, or that of the heatmap. */
function shownHere(): { range: Range; set: (range: Range) => void } {
  const { tab, span } = view.get();
  return tab === 'timeline'
    ? { range: span ?? scene.get()?.window ?? timeShown(), set: zoomTimeline }
    : { range: timeShown(), set: zoom };
}

/** Zooms around the middle; above 1 = out. */
export function zoomBy(factor: number): void {
  const { range, set } = shownHere();
  const middle = (range.lo + range.hi) / 2;
  const half = ((range.hi - range.lo) / 2) * factor;
  set({ lo: middle - half, hi: middle + half });
}

/** Moves by so many fifths of what is shown. */
export function pan(fifths: number): void {
  const { range, set } = shownHere();
  const by = ((range.hi - range.lo) / 5) * fifths;
  set({ lo: range.lo + by, hi: range.hi + by });
}

export function fit(): void {
  const { tab, brush } = view.get();
  const own = scene.get()?.own;
  if (tab === 'timeline' && own !== undefined) {
    const margin = Math.max(500, (own.hi - own.lo) * 0.1);
    zoomTimeline({ lo: own.lo - margin, hi: own.hi + margin });
  } else if (brush !== null) zoom(brush.time);
}

/** Puts an instant, or one so far from the middle, into the middle. */
export function goTo(ns: number, relative: boolean): void {
  const { range, set } = shownHere();
  const now = phase.get();
  const whole = now.at === 'ready' && range.hi - range.lo >= now.loaded.duration;
  const half = (range.hi - range.lo) / (whole ? 40 : 2);
  const middle = relative ? (range.lo + range.hi) / 2 + ns : ns;
  set({ lo: middle - half, hi: middle + half });
}

/** The timeline of a span, over the time that is chosen if `all`. */
export function showSpan(row: number | undefined, all: boolean): void {
  if (row === undefined) return;
  const { family, brush, window } = view.get();
  showTimeline(family, row);
  if (all) zoomTimeline(brush?.time ?? window ?? timeShown());
}

/** A difference of the stored replay: its access, if it is known which one it is. */
export function showDivergence(n: number): void {
  const now = phase.get();
  const found = now.at === 'ready' ? now.loaded.data.report.replay?.divergences[n] : undefined;
  if (found === undefined) return;
  update({ divergence: n, tab: 'timeline' });
  const start = found.at_ns;
  if (start !== undefined) post({ type: 'find', side: view.get().side, family: 'mmio', start });
}

/** The next or previous one of the list of outliers, whatever it is ordered by. */
export function stepOutlier(by: number): void {
  const { family, selected } = view.get();
  const latest = answer.get();
  if (latest?.family !== family) return;
  const list = latest.answer.selection.outliers;
  const at = list.findIndex((o) => o.row === selected);
  const next = list[at < 0 ? 0 : at + by];
  if (next !== undefined) showTimeline(family, next.row);
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
