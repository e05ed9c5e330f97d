import { useEffect, useState } from 'preact/hooks';
import type { SpanFamily } from '../trace/spans.ts';
import { SPAN_FAMILIES } from '../trace/manifest.ts';
import type { Box, Range } from './engine/query.ts';

/** A value that can be watched. All the page's state is in a few of these; charts never speak to each other. */
export class Atom<T> {
  private value: T;
  private readonly watchers = new Set<() => void>();

  constructor(value: T) {
    this.value = value;
  }

  get(): T {
    return this.value;
  }

  set(value: T): void {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const watcher of [...this.watchers]) watcher();
  }

  watch(watcher: () => void): () => void {
    this.watchers.add(watcher);
    return () => {
      this.watchers.delete(watcher);
    };
  }
}

export function useAtom<T>(atom: Atom<T>): T {
  const drawn = atom.get();
  const [, redraw] = useState(0);
  useEffect(() => {
    const again = (): void => {
      redraw((n) => n + 1);
    };
    // Effects run after the paint: what changed between them was seen by no watcher.
    if (!Object.is(drawn, atom.get())) again();
    return atom.watch(again);
  }, [atom]);
  return drawn;
}

/** The view, for a component that shows only these parts of it: a change of others does not draw it anew. */
export function useView(...keys: (keyof ViewState)[]): ViewState {
  const drawn = view.get();
  const [, redraw] = useState(0);
  useEffect(() => {
    let last = drawn;
    const look = (): void => {
      const now = view.get();
      if (keys.some((key) => last[key] !== now[key])) redraw((n) => n + 1);
      last = now;
    };
    look();
    return view.watch(look);
  }, []);
  return drawn;
}

export type Theme = 'auto' | 'light' | 'dark';
export type FlameWeight = 'time' | 'count' | 'stalled';
/** What colours the requests of a queue's lane. */
export const COLOUR_BY = ['stage', 'type', 'size', 'latency'] as const;
export type ColourBy = (typeof COLOUR_BY)[number];
export type Tab = 'spans' | 'timeline' | 'compare';
const TABS: readonly Tab[] = ['spans', 'timeline', 'compare'];

/** What is shown. Everything in it survives in the URL's hash. */
export interface ViewState {
  tab: Tab;
  /** Which of two traces: 0 the first, 1 the one it is compared with. */
  side: 0 | 1;
  family: SpanFamily;
  /** Time shown, ns; null = the whole trace. */
  window: Range | null;
  brush: Box | null;
  /** Latencies that the heatmap shows, ns; null = all. */
  latency: Range | null;
  /** The heatmap's latency axis: linear instead of logarithmic. */
  linear: boolean;
  /** Chosen groups: `device`, `device:key`, `device:key:dir` (engine/query.ts). */
  groups: readonly string[];
  /** Row of the span shown in full. */
  selected: number | null;
  /** Time that the timeline shows, ns; null = as suits the chosen span. */
  span: Range | null;
  /** Lanes that stand first in the timeline, in this order (timeline-lanes.ts). */
  lanes: readonly string[];
  colourBy: ColourBy;
  /** Chosen difference of the stored replay. */
  divergence: number | null;
  /** 'total', or a stage's name. */
  outliersBy: string;
  flameWeight: FlameWeight;
  /** Root below instead of above; stages first instead of devices. */
  flameUp: boolean;
  flameInverted: boolean;
  theme: Theme;
  /** A latency that should not be exceeded, ns. */
  limit: number | null;
  pins: readonly Pin[];
}

/** A named note at an instant, ns. */
export interface Pin {
  t: number;
  name: string;
}

export const INITIAL: ViewState = {
  tab: 'spans',
  side: 0,
  family: 'mmio',
  window: null,
  brush: null,
  latency: null,
  linear: false,
  groups: [],
  selected: null,
  span: null,
  lanes: [],
  colourBy: 'stage',
  divergence: null,
  outliersBy: 'total',
  flameWeight: 'time',
  flameUp: false,
  flameInverted: false,
  theme: 'auto',
  limit: null,
  pins: [],
};

export const view = new Atom<ViewState>(INITIAL);

export function update(change: Partial<ViewState>): void {
  view.set({ ...view.get(), ...change });
}

/** Another family has other devices' keys, other latencies and other rows: only the time shown stays. */
export function showFamily(family: SpanFamily): void {
  if (family === view.get().family) update({ tab: 'spans' });
  else
    update({
      tab: 'spans',
      family,
      brush: null,
      latency: null,
      groups: [],
      selected: null,
      span: null,
      outliersBy: 'total',
    });
}

/** Shows a span's timeline. The box and the chosen groups stay, unless they were another family's. */
export function showTimeline(family: SpanFamily, row: number): void {
  if (family !== view.get().family) showFamily(family);
  update({ tab: 'timeline', selected: row, span: null });
}

const numbers = (list: readonly number[]): string => list.map((v) => String(Math.round(v))).join('-');

export function toHash(state: ViewState): string {
  const out = new URLSearchParams();
  if (state.tab !== 'spans') out.set('v', state.tab);
  if (state.side === 1) out.set('d', 'b');
  if (state.family !== INITIAL.family) out.set('f', state.family);
  if (state.window !== null) out.set('w', numbers([state.window.lo, state.window.hi]));
  if (state.brush !== null) {
    const { time, latency } = state.brush;
    out.set('b', numbers([time.lo, time.hi, latency.lo, latency.hi]));
  }
  if (state.latency !== null) out.set('y', numbers([state.latency.lo, state.latency.hi]));
  if (state.linear) out.set('n', '1');
  if (state.groups.length > 0) out.set('g', state.groups.join('_'));
  if (state.selected !== null) out.set('s', String(state.selected));
  if (state.span !== null) out.set('x', numbers([state.span.lo, state.span.hi]));
  if (state.lanes.length > 0) out.set('q', state.lanes.join('_'));
  if (state.colourBy !== 'stage') out.set('h', state.colourBy);
  if (state.divergence !== null) out.set('r', String(state.divergence));
  if (state.outliersBy !== 'total') out.set('o', state.outliersBy);
  if (state.flameWeight !== 'time') out.set('c', state.flameWeight);
  if (state.flameUp || state.flameInverted) {
    out.set('k', `${state.flameUp ? 'u' : ''}${state.flameInverted ? 'i' : ''}`);
  }
  if (state.theme !== 'auto') out.set('t', state.theme);
  if (state.limit !== null) out.set('l', numbers([state.limit]));
  for (const pin of state.pins) out.append('p', `${pin.t} ${pin.name}`);
  return out.toString();
}

/** Reads a hash written by toHash; whatever is not well formed is left at its initial value. */
export function fromHash(hash: string): ViewState {
  const read = new URLSearchParams(hash.replace(/^#/, ''));
  const state: ViewState = { ...INITIAL };
  state.tab = TABS.find((t) => t === read.get('v')) ?? 'spans';
  state.side = read.get('d') === 'b' ? 1 : 0;
  const family = SPAN_FAMILIES.find((f) => f === read.get('f'));
  if (family !== undefined) state.family = family;
  const range = (text: string | null, parts: number): number[] | null => {
    const list = (text ?? '').split('-').map(Number);
    return text !== null && list.length === parts && list.every(Number.isFinite) ? list : null;
  };
  const w = range(read.get('w'), 2);
  if (w !== null && w[1]! > w[0]!) state.window = { lo: w[0]!, hi: w[1]! };
  const x = range(read.get('x'), 2);
  if (x !== null && x[1]! > x[0]!) state.span = { lo: x[0]!, hi: x[1]! };
  const y = range(read.get('y'), 2);
  if (y !== null && y[0]! >= 0 && y[1]! >= y[0]! + 16) state.latency = { lo: y[0]!, hi: y[1]! };
  state.linear = read.get('n') === '1';
  const b = range(read.get('b'), 4);
  if (b !== null && b[1]! > b[0]! && b[3]! > b[2]!) {
    state.brush = { time: { lo: b[0]!, hi: b[1]! }, latency: { lo: b[2]!, hi: b[3]! } };
  }
  const groups = read.get('g') ?? '';
  if (/^\d+(:\d+){0,2}(_\d+(:\d+){0,2})*$/.test(groups)) state.groups = groups.split('_');
  const index = (name: string): number | null => {
    const n = Number(read.get(name) ?? NaN);
    return Number.isInteger(n) && n >= 0 ? n : null;
  };
  state.selected = index('s');
  state.divergence = index('r');
  const lanes = read.get('q') ?? '';
  if (/^[a-z0-9]{1,12}(_[a-z0-9]{1,12}){0,63}$/.test(lanes)) state.lanes = lanes.split('_');
  state.colourBy = COLOUR_BY.find((by) => by === read.get('h')) ?? 'stage';
  state.outliersBy = read.get('o') ?? 'total';
  const weight = read.get('c');
  if (weight === 'count' || weight === 'stalled') state.flameWeight = weight;
  state.flameUp = read.get('k')?.includes('u') ?? false;
  state.flameInverted = read.get('k')?.includes('i') ?? false;
  const theme = read.get('t');
  if (theme === 'light' || theme === 'dark') state.theme = theme;
  const limit = range(read.get('l'), 1);
  if (limit !== null && limit[0]! >= 1) state.limit = limit[0]!;
  state.pins = read
    .getAll('p')
    .slice(0, 20)
    .flatMap((text) => {
      const found = /^(\d{1,15}) (.{1,60})$/.exec(text);
      return found === null ? [] : [{ t: Number(found[1]), name: found[2]! }];
    });
  return state;
}
