import { REG_INTERRUPT_ACK, REG_INTERRUPT_STATUS, REG_QUEUE_NOTIFY } from '../../trace/virtio-mmio.ts';
import type { SpanFamily } from '../../trace/spans.ts';
import type { Range } from './query.ts';
import { emptyTable, type Group, type SpanTable } from './table.ts';

export interface SpanRef {
  family: SpanFamily;
  row: number;
}

/** Spans of one family that the timeline draws, as columns. */
export interface SceneSpans {
  family: SpanFamily;
  rows: Uint32Array;
  device: Uint16Array;
  key: Uint32Array;
  vcpu: Uint16Array;
  dir: Uint8Array;
  flags: Uint16Array;
  amount: Uint32Array;
  value: Uint32Array;
  /** Boundary times, ns; NaN = not seen. */
  at: Float64Array[];
  /** 1 for the chosen span and those that belong to it. */
  story: Uint8Array;
  /** Spans that lie in the window too, shorter than those here. */
  more: number;
}

/** Requests in flight in one queue: `n[i]` from `t[i]` on. */
export interface Depth {
  device: number;
  queue: number;
  t: number[];
  n: number[];
}

/** A span of the story in full. */
export interface Told extends SpanRef {
  group: Group;
  vcpu: number;
  flags: number;
  start: number;
  total: number;
  at: number[];
  /** Lengths of the plan's stages, ns; NaN = not known. */
  stages: number[];
}

export interface Scene {
  chosen: SpanRef;
  /** What belongs to the chosen span: its notify, requests, interrupts, the guest's accesses of its handler. */
  story: Told[];
  /** From the first to the last instant of the chosen span, and of the story, ns. */
  own: Range;
  whole: Range;
  window: Range;
  families: SceneSpans[];
  depths: Depth[];
}

export type Tables = ReadonlyMap<SpanFamily, SpanTable>;

/** A window with more spans than this shows the longest of them. */
const MOST = 1500;
/** Spans of a story: an interrupt that completes hundreds of requests shows the first. */
const STORY = 64;
const MOST_STEPS = 20_000;
const NEIGHBOURHOOD = 0.25;

/** The chosen span, what it is joined to, and its neighbours in `window` (null: as suits the span). */
export function sceneOf(tables: Tables, chosen: SpanRef, window: Range | null): Scene {
  const story = storyOf(tables, chosen);
  const own = extent(tables, [chosen]);
  const whole = extent(tables, story);
  const shown = window ?? around(whole.hi - whole.lo < 8 * (own.hi - own.lo) ? whole : own);
  const families = [...tables.values()].map((table) => inWindow(table, shown, story));
  const request = tables.get('request');
  return {
    chosen,
    story: story.map((ref) => tell(tables.get(ref.family)!, ref)).sort((a, b) => a.start - b.start),
    own,
    whole,
    window: shown,
    families,
    depths: request === undefined ? [] : depthsOf(request, shown),
  };
}

const around = ({ lo, hi }: Range): Range => {
  const margin = Math.max(500, (hi - lo) * NEIGHBOURHOOD);
  return { lo: lo - margin, hi: hi + margin };
};

const tell = (t: SpanTable, { family, row }: SpanRef): Told => ({
  family,
  row,
  group: t.groups[t.groupOf[row]!]!,
  vcpu: t.vcpu[row]!,
  flags: t.flags[row]!,
  start: t.start[row]!,
  total: t.total[row]!,
  at: t.at.map((column) => column[row]!),
  stages: t.plan.stages.map((_, s) => t.lengths.ns(t, s, row)),
});

function extent(tables: Tables, spans: readonly SpanRef[]): Range {
  let lo = Infinity;
  let hi = -Infinity;
  for (const { family, row } of spans) {
    for (const column of tables.get(family)!.at) {
      const t = column[row]!;
      if (t < lo) lo = t;
      if (t > hi) hi = t;
    }
  }
  return lo <= hi ? { lo, hi } : { lo: 0, hi: 1 };
}

/**
 * What came before the chosen span and what came of it: notify → requests → interrupts → the vGIC's injection and
 * the handler's accesses. Joins are by the very instants that the analysis gave both sides, with the device.
 */
export function storyOf(tables: Tables, chosen: SpanRef): SpanRef[] {
  const story: SpanRef[] = [chosen];
  const known = new Set([`${chosen.family} ${chosen.row}`]);
  const add = (found: readonly SpanRef[]): SpanRef[] =>
    found.filter((ref) => {
      const id = `${ref.family} ${ref.row}`;
      if (known.has(id) || story.length >= STORY) return false;
      known.add(id);
      story.push(ref);
      return true;
    });
  for (const next of [before, after]) {
    for (let edge = [chosen]; edge.length > 0;) edge = edge.flatMap((ref) => add(next(tables, ref)));
  }
  return story;
}

function before(tables: Tables, { family, row }: SpanRef): SpanRef[] {
  const t = tables.get(family)!;
  const device = t.device[row]!;
  if (family === 'request') {
    const notify = instantOf(t, 'notify', row);
    return find(tables, 'mmio', (m, i) => m.start[i] === notify && isNotify(m, i, device));
  }
  if (family === 'interrupt') {
    const raise = instantOf(t, 'raise', row);
    const read = instantOf(t, 'status_read', row);
    const column = boundaryOf(tables.get('request'), 'interrupt');
    return find(tables, 'request', (r, i) => {
      const at = column?.[i] ?? NaN;
      return at >= raise && at <= read && r.device[i] === device;
    });
  }
  if (family === 'injection') {
    const inject = instantOf(t, 'inject', row);
    const column = boundaryOf(tables.get('interrupt'), 'inject');
    return find(tables, 'interrupt', (r, i) => column?.[i] === inject && r.device[i] === device);
  }
  const name = accessOf(t, row);
  if (name === undefined) return [];
  const column = boundaryOf(tables.get('interrupt'), name);
  const start = t.start[row];
  return find(tables, 'interrupt', (r, i) => column?.[i] === start && r.device[i] === device);
}

function after(tables: Tables, { family, row }: SpanRef): SpanRef[] {
  const t = tables.get(family)!;
  const device = t.device[row]!;
  if (family === 'mmio') {
    if (!isNotify(t, row, device)) return [];
    const column = boundaryOf(tables.get('request'), 'notify');
    const start = t.start[row];
    return find(tables, 'request', (r, i) => column?.[i] === start && r.device[i] === device);
  }
  if (family === 'request') {
    const at = instantOf(t, 'interrupt', row);
    const raise = boundaryOf(tables.get('interrupt'), 'raise');
    const read = boundaryOf(tables.get('interrupt'), 'status_read');
    return find(tables, 'interrupt', (r, i) => {
      return at >= (raise?.[i] ?? NaN) && at <= (read?.[i] ?? NaN) && r.device[i] === device;
    }).slice(0, 1);
  }
  if (family === 'injection') return [];
  const inject = instantOf(t, 'inject', row);
  const column = boundaryOf(tables.get('injection'), 'inject');
  const reads = [instantOf(t, 'status_read', row), instantOf(t, 'ack', row)];
  return [
    ...find(tables, 'injection', (r, i) => column?.[i] === inject && r.device[i] === device),
    ...find(tables, 'mmio', (m, i) => {
      const name = reads.includes(m.start[i]!) ? accessOf(m, i) : undefined;
      return name !== undefined && m.device[i] === device;
    }),
  ];
}

const isNotify = (t: SpanTable, i: number, device: number): boolean =>
  t.key[i] === REG_QUEUE_NOTIFY && t.device[i] === device;

/** Which boundary of an interrupt an access of its handler is. */
function accessOf(t: SpanTable, i: number): string | undefined {
  if (t.key[i] === REG_INTERRUPT_STATUS) return 'status_read';
  return t.key[i] === REG_INTERRUPT_ACK ? 'ack' : undefined;
}

function find(tables: Tables, family: SpanFamily, fits: (t: SpanTable, i: number) => boolean): SpanRef[] {
  const table = tables.get(family) ?? emptyTable(family);
  const found: SpanRef[] = [];
  for (let row = 0; row < table.rows && found.length < STORY; row++) {
    if (fits(table, row)) found.push({ family, row });
  }
  return found;
}

function boundaryOf(table: SpanTable | undefined, name: string): Float64Array | undefined {
  return table?.at[table.plan.boundaries.findIndex((b) => b.name === name)];
}

const instantOf = (table: SpanTable, name: string, row: number): number =>
  boundaryOf(table, name)?.[row] ?? NaN;

function inWindow(table: SpanTable, { lo, hi }: Range, story: readonly SpanRef[]): SceneSpans {
  const { family } = table.plan;
  const told = new Set(story.filter((s) => s.family === family).map((s) => s.row));
  const rows: number[] = [];
  const length: number[] = [];
  for (let i = 0; i < table.rows; i++) {
    // Ordered by start, and those without one last.
    if (!(table.start[i]! <= hi)) break;
    const end = endOf(table, i);
    if (end < lo) continue;
    rows.push(i);
    length.push(told.has(i) ? Infinity : end - table.start[i]!);
  }
  let kept = rows;
  if (rows.length > MOST) {
    const least = Float64Array.from(length).sort()[rows.length - MOST]!;
    kept = rows.filter((_, k) => length[k]! >= least).slice(0, MOST + told.size);
  }
  const pick = <T extends { [i: number]: number }>(to: T, from: T): T => {
    kept.forEach((row, k) => ((to as Record<number, number>)[k] = from[row]!));
    return to;
  };
  const n = kept.length;
  return {
    family,
    rows: Uint32Array.from(kept),
    device: pick(new Uint16Array(n), table.device),
    key: pick(new Uint32Array(n), table.key),
    vcpu: pick(new Uint16Array(n), table.vcpu),
    dir: pick(new Uint8Array(n), table.dir),
    flags: pick(new Uint16Array(n), table.flags),
    amount: pick(new Uint32Array(n), table.amount),
    value: pick(new Uint32Array(n), table.value),
    at: table.at.map((column) => pick(new Float64Array(n), column)),
    story: Uint8Array.from(kept, (row) => (told.has(row) ? 1 : 0)),
    more: rows.length - n,
  };
}

function endOf(table: SpanTable, i: number): number {
  let end = table.start[i]!;
  for (const column of table.at) if (column[i]! > end) end = column[i]!;
  return end;
}

/** Requests in flight by queue through the window, from every request that reaches into it; none if it has too many. */
function depthsOf(table: SpanTable, { lo, hi }: Range): Depth[] {
  const popped = boundaryOf(table, 'popped');
  const used = boundaryOf(table, 'used');
  if (popped === undefined || used === undefined) return [];
  let many = 0;
  for (let i = 0; i < table.rows; i++) if (popped[i]! <= hi && used[i]! >= lo) many++;
  if (many > MOST_STEPS) return [];
  const steps = new Map<string, { depth: Depth; before: number; at: [number, number][] }>();
  for (let i = 0; i < table.rows; i++) {
    const from = popped[i]!;
    const to = used[i]!;
    if (!(from <= hi) || to < lo) continue;
    const id = `${table.device[i]!} ${table.key[i]!}`;
    let queue = steps.get(id);
    if (queue === undefined) {
      queue = { depth: { device: table.device[i]!, queue: table.key[i]!, t: [], n: [] }, before: 0, at: [] };
      steps.set(id, queue);
    }
    if (from < lo) queue.before++;
    else queue.at.push([from, 1]);
    if (to <= hi) queue.at.push([to, -1]);
  }
  return [...steps.values()].slice(0, 64).map(({ depth, before: n, at }) => {
    depth.t.push(lo);
    depth.n.push(n);
    at.sort((a, b) => a[0] - b[0]);
    for (const [t, change] of at) {
      n += change;
      depth.t.push(t);
      depth.n.push(n);
    }
    return depth;
  });
}
