import type { PageData } from '../../analyzer/page/page-format.ts';
import { NO_VCPU } from '../../trace/ids.ts';
import { NO_DEVICE, type SpanFamily, type SpanPlan } from '../../trace/spans.ts';
import { DIR_READ, DIR_WRITE } from '../../trace/ioreq.ts';
import { stageColour } from '../colours.ts';
import { tableOf } from '../data.ts';
import type { Depth, Scene, SceneSpans } from '../engine/timeline.ts';
import { deviceName, duration, groupName, safeText } from '../format.ts';
import type { ColourBy } from '../state.ts';

export interface Lane {
  id: string;
  title: string;
  /** It stands where the reader has put it. */
  pinned: boolean;
  /** Rows of bars. */
  rows: number;
  depth?: Depth;
}

export interface Bar {
  lane: number;
  row: number;
  from: number;
  to: number;
  /** null: a neighbour, drawn grey. */
  colour: string | null;
  /** What the vCPU does: bands behind its stages. */
  state?: VcpuState;
  /** `to` is only an upper bound. */
  late: boolean;
  /** A boundary between was not seen. */
  torn: boolean;
  text: string;
  family: SpanFamily;
  span: number;
}

/** A step of the story from one lane to another. */
export interface Arrow {
  at: number;
  from: readonly [lane: number, row: number];
  to: readonly [lane: number, row: number];
}

export interface Lanes {
  lanes: Lane[];
  bars: Bar[];
  arrows: Arrow[];
  /** Lanes that exist but have no place. */
  hidden: string[];
}

export type VcpuState = 'trapped' | 'waiting' | 'runnable';

/** Where the time behind a boundary of an ioreq is spent, and what shows that boundary. */
const MMIO_PLACES: Readonly<Record<string, { lane: 'vcpu' | 'xen' | 'dom0' | 'dm'; hook: string }>> = {
  trap: { lane: 'xen', hook: 'Xen’s trace points' },
  send: { lane: 'dom0', hook: 'Xen’s trace points' },
  offline: { lane: 'dom0', hook: 'Xen’s runstate records' },
  dom0_irq: { lane: 'dm', hook: 'the event-channel interrupt in Dom0' },
  dm_read: { lane: 'dm', hook: 'the device model’s read of its event channel' },
  service: { lane: 'dm', hook: 'the device model’s own trace' },
  answer: { lane: 'xen', hook: 'the device model’s event-channel notify' },
  wake: { lane: 'vcpu', hook: 'Xen’s runstate records' },
  running: { lane: 'vcpu', hook: 'Xen’s runstate records' },
  done: { lane: 'vcpu', hook: 'Xen’s trace points' },
  resume: { lane: 'vcpu', hook: 'Xen’s trace points' },
};

const STATES: readonly [string, readonly string[], VcpuState][] = [
  ['trap', ['send', 'offline', 'wake'], 'trapped'],
  ['send', ['wake'], 'waiting'],
  ['offline', ['wake'], 'waiting'],
  ['wake', ['running'], 'runnable'],
  ['running', ['resume', 'done'], 'trapped'],
];

const MOST = { vcpus: 6, queues: 4, lines: 4 };

/** Names of a request's classes, and which one it is in: colours of stages, in their order. */
export const CLASSES: Readonly<Record<Exclude<ColourBy, 'stage'>, readonly string[]>> = {
  type: ['in', 'out', 'neither'],
  size: ['≤ 4 KiB', '≤ 16 KiB', '≤ 64 KiB', '≤ 256 KiB', 'larger'],
  latency: ['≤ 100 µs', '≤ 1 ms', '≤ 10 ms', '≤ 100 ms', 'longer in flight'],
};
const classOf = (value: number, limits: readonly number[]): number => limits.filter((l) => value > l).length;

/** Instants of an ioreq that this trace's hooks cannot show, by what would show them. */
export function missingHooks(plan: SpanPlan | undefined): string[] {
  const seen = new Set(plan?.boundaries.map((b) => b.name));
  const lacking = new Map<string, string[]>();
  for (const [name, { hook }] of Object.entries(MMIO_PLACES)) {
    // A trap that is seen says more than the descheduling after it.
    if (seen.has(name) || (name === 'offline' && seen.has('trap'))) continue;
    lacking.set(hook, [...(lacking.get(hook) ?? []), name]);
  }
  return [...lacking].map(([hook, names]) => `${names.join(', ')} (${hook})`);
}

/** Everything that the timeline draws, by lane; times stay ns on the trace's axis. */
export function lanesOf(
  data: PageData,
  scene: Scene,
  first: readonly string[] = [],
  colourBy: ColourBy = 'stage',
): Lanes {
  return new Builder(data, scene, first, colourBy).build();
}

/** The lanes that stand first once one of them is put elsewhere; null: back to where it belongs. */
export function placeLane(
  lanes: readonly Lane[],
  first: readonly string[],
  id: string,
  to: number | null,
): string[] {
  const others = lanes.map((lane) => lane.id).filter((other) => other !== id);
  if (to === null) return first.filter((other) => other !== id);
  const pinned = others.filter((other) => first.includes(other)).length;
  // What stands before it now stays there.
  return [...others.slice(0, to), id, ...others.slice(to, Math.max(to, pinned))];
}

class Builder {
  private readonly data: PageData;
  private readonly scene: Scene;
  private readonly out: Lanes = { lanes: [], bars: [], arrows: [], hidden: [] };
  private readonly index = new Map<string, number>();

  private readonly first: readonly string[];
  private readonly colourBy: ColourBy;

  constructor(data: PageData, scene: Scene, first: readonly string[], colourBy: ColourBy) {
    this.data = data;
    this.scene = scene;
    this.first = first;
    this.colourBy = colourBy;
  }

  build(): Lanes {
    this.makeLanes();
    const { first } = this;
    const rank = ({ id, pinned }: Lane): number => (pinned ? first.indexOf(id) : first.length);
    this.out.lanes.sort((a, b) => rank(a) - rank(b));
    this.out.lanes.forEach((lane, n) => this.index.set(lane.id, n));
    for (const spans of this.scene.families) {
      const plan = tableOf(this.data, spans.family)?.plan;
      if (plan === undefined) continue;
      for (let i = 0; i < spans.rows.length; i++) {
        if (spans.family === 'mmio') this.access(spans, plan, i);
        else if (spans.family === 'request') this.request(spans, plan, i);
        else this.line(spans, plan, i);
      }
    }
    return this.out;
  }

  private makeLanes(): void {
    const of = (family: SpanFamily): SceneSpans | undefined =>
      this.scene.families.find((f) => f.family === family);
    const mmio = of('mmio');
    const places = new Set<string>();
    for (const { from } of tableOf(this.data, 'mmio')?.plan.stages ?? []) {
      const place = MMIO_PLACES[from]?.lane;
      if (place !== undefined) places.add(place);
      if (from === 'trap' || from === 'offline') places.add('vcpu');
    }
    if (places.has('vcpu')) {
      const ids = distinct(mmio, (s, i) => s.vcpu[i]!).filter((v) => v !== NO_VCPU);
      this.lanesFor(ids, MOST.vcpus, (v) => [`v${v}`, `vCPU v${v}`, 1]);
    }
    if (places.has('xen')) this.lane('xen', 'Xen', 1);
    if (places.has('dom0')) this.lane('dom0', 'Dom0 interrupt', 1);
    if (places.has('dm')) this.lane('dm', 'Device model', 2);
    const depths = new Map(this.scene.depths.map((d) => [d.device * 65_536 + d.queue, d]));
    const queues = distinct(of('request'), (s, i) => s.device[i]! * 65_536 + s.key[i]!);
    this.lanesFor(queues, MOST.queues, (q) => {
      const device = Math.floor(q / 65_536);
      const name = deviceName(this.data, device);
      return [`q${q}`, `${name} queue ${q % 65_536}`, 3, depths.get(q)];
    });
    const lines = new Set([
      ...distinct(of('interrupt'), (s, i) => s.device[i]!),
      ...distinct(of('injection'), (s, i) => s.device[i]!),
    ]);
    lines.delete(NO_DEVICE);
    this.lanesFor([...lines], MOST.lines, (d) => {
      const spi = this.data.report.devices?.[d]?.spi;
      return [
        `l${d}`,
        `${deviceName(this.data, d)} line${spi === undefined ? '' : `, SPI ${safeText(spi)}`}`,
        2,
      ];
    });
  }

  private lanesFor(
    ids: readonly number[],
    most: number,
    make: (id: number) => readonly [string, string, number, (Depth | undefined)?],
  ): void {
    // Those that the reader has put first have a place.
    const rank = (id: number): number => (this.first.includes(make(id)[0]) ? 0 : 1);
    const all = [...ids].sort((a, b) => rank(a) - rank(b));
    for (const id of all.slice(0, most)) this.lane(...make(id));
    for (const id of all.slice(most)) this.out.hidden.push(make(id)[1]);
  }

  private lane(id: string, title: string, rows: number, depth?: Depth): void {
    const pinned = this.first.includes(id);
    this.out.lanes.push({ id, title, pinned, rows, ...(depth === undefined ? {} : { depth }) });
  }

  private bar(spans: SceneSpans, i: number, lane: string, row: number, bar: Partial<Bar>): void {
    const at = this.index.get(lane);
    const { from = NaN, to = NaN } = bar;
    if (at === undefined || !(to >= from) || to < this.scene.window.lo || from > this.scene.window.hi) return;
    const base = { colour: null, late: false, torn: false, text: '', family: spans.family };
    this.out.bars.push({ ...base, ...bar, lane: at, row, from, to, span: spans.rows[i]! });
  }

  private arrow(at: number, from: readonly [string, number], to: readonly [string, number]): void {
    const a = this.index.get(from[0]);
    const b = this.index.get(to[0]);
    if (a === undefined || b === undefined || Number.isNaN(at)) return;
    this.out.arrows.push({ at, from: [a, from[1]], to: [b, to[1]] });
  }

  private access(spans: SceneSpans, plan: SpanPlan, i: number): void {
    const story = spans.story[i] === 1;
    const vcpu = `v${spans.vcpu[i]!}`;
    const time = (name: string): number =>
      spans.at[plan.boundaries.findIndex((b) => b.name === name)]?.[i] ?? NaN;
    const name = nameOf(this.data, spans, i);
    for (const [from, ends, state] of STATES) {
      const end = ends.map(time).find((t) => !Number.isNaN(t)) ?? NaN;
      this.bar(spans, i, vcpu, 0, { from: time(from), to: end, state, text: `${name}: ${state}` });
    }
    let last: [string, number] = [vcpu, 0];
    this.chain(spans, plan, i, (stage, from, to, torn, k) => {
      const place = MMIO_PLACES[stage.from]?.lane ?? 'dm';
      const lane: [string, number] = [place === 'vcpu' ? vcpu : place, 0];
      const text = story ? stage.title + this.preempted(spans, i, k, to - from) : `${name}: ${stage.title}`;
      const colour = story ? stageColour(k) : null;
      if (story || lane[0] !== vcpu) this.bar(spans, i, lane[0], 0, { from, to, colour, torn, text });
      if (story && lane[0] !== last[0]) this.arrow(from, last, lane);
      last = lane;
    });
  }

  /** A stage's figure leaves out what its vCPU was preempted for; the bar has it in it, and says so. */
  private preempted(spans: SceneSpans, i: number, stage: number, length: number): string {
    const told = this.scene.story.find((s) => s.family === spans.family && s.row === spans.rows[i]);
    const lost = length - (told?.stages[stage] ?? NaN);
    return lost > 0.5 ? ` (preempted for ${duration(lost)} of it)` : '';
  }

  private request(spans: SceneSpans, plan: SpanPlan, i: number): void {
    const queue = `q${spans.device[i]! * 65_536 + spans.key[i]!}`;
    const story = spans.story[i] === 1;
    const name = nameOf(this.data, spans, i);
    const row = this.place(queue, spans, i, plan);
    this.chain(spans, plan, i, (stage, from, to, torn, k) => {
      const own = stage.from === 'popped';
      if (!own && !story) return;
      const text = story ? stage.title : `${name}: ${stage.title}`;
      const colour =
        own && this.colourBy !== 'stage' ? this.classed(spans, i, to - from) : story ? stageColour(k) : null;
      this.bar(spans, i, own ? queue : 'dm', own ? row : 1, { from, to, colour, torn, text });
      if (!story) return;
      if (own) {
        this.arrow(from, ['dm', 1], [queue, row]);
        this.arrow(to, [queue, row], ['dm', 1]);
      } else if (stage.from === 'used') this.arrow(to, ['dm', 1], [`l${spans.device[i]!}`, 0]);
    });
  }

  private classed(spans: SceneSpans, i: number, inFlight: number): string {
    const dir = spans.dir[i];
    if (this.colourBy === 'type') return stageColour(dir === DIR_READ ? 0 : dir === DIR_WRITE ? 1 : 2);
    if (this.colourBy === 'size')
      return stageColour(classOf(spans.amount[i]!, [4096, 16_384, 65_536, 262_144]));
    return stageColour(classOf(inFlight, [1e5, 1e6, 1e7, 1e8]));
  }

  /** Ends of the last bar in each row of a queue's lane. */
  private readonly ends = new Map<string, Float64Array>();

  private place(queue: string, spans: SceneSpans, i: number, plan: SpanPlan): number {
    const ends = this.ends.get(queue) ?? new Float64Array(3).fill(-Infinity);
    this.ends.set(queue, ends);
    const at = (name: string): number =>
      spans.at[plan.boundaries.findIndex((b) => b.name === name)]?.[i] ?? NaN;
    let row = ends.findIndex((end) => end <= at('popped'));
    if (row < 0) row = ends.indexOf(Math.min(...ends));
    const used = at('used');
    ends[row] = Number.isNaN(used) ? Infinity : used;
    return row;
  }

  /** An interrupt on the first row of its line: as the device and the guest see it; the vGIC's record below. */
  private line(spans: SceneSpans, plan: SpanPlan, i: number): void {
    const lane = `l${spans.device[i]!}`;
    const row = spans.family === 'interrupt' ? 0 : 1;
    const story = spans.story[i] === 1;
    const name = nameOf(this.data, spans, i);
    this.chain(spans, plan, i, (stage, from, to, torn, k) => {
      const late = stage.bound === 'no-later-than';
      // The vGIC's upper bounds are drawn once, where the vGIC's record is.
      if (
        late &&
        row === 0 &&
        this.index.has(lane) &&
        this.scene.families.some((f) => f.family === 'injection')
      )
        return;
      const text = story ? stage.title : `${name}: ${stage.title}`;
      const net = story ? this.preempted(spans, i, k, to - from) : '';
      const colour = story ? stageColour(k) : null;
      this.bar(spans, i, lane, row, { from, to, colour, late, torn, text: text + net });
    });
    if (row > 0 || !story) return;
    const read = spans.at[plan.boundaries.findIndex((b) => b.name === 'status_read')]?.[i] ?? NaN;
    if (spans.vcpu[i] !== NO_VCPU) this.arrow(read, [lane, 0], [`v${spans.vcpu[i]!}`, 0]);
  }

  /** Every stage of the chain whose ends were seen; what lies over a boundary that was not seen is one torn bar. */
  private chain(
    spans: SceneSpans,
    plan: SpanPlan,
    i: number,
    visit: (stage: SpanPlan['stages'][number], from: number, to: number, torn: boolean, k: number) => void,
  ): void {
    const chain = plan.stages.filter(
      (s, k) => s.from === plan.boundaries[k]?.name && s.to === plan.boundaries[k + 1]?.name,
    );
    let from = -1;
    for (let k = 0; k <= chain.length; k++) {
      const t = spans.at[k]?.[i] ?? NaN;
      if (Number.isNaN(t)) continue;
      if (from >= 0) visit(chain[from]!, spans.at[from]![i]!, t, k - from > 1, from);
      from = k;
    }
  }
}

const nameOf = (data: PageData, spans: SceneSpans, i: number): string =>
  groupName(data, spans.family, { device: spans.device[i]!, key: spans.key[i]!, dir: spans.dir[i]! });

/** Distinct values, those of the story first, then as they come. */
function distinct(spans: SceneSpans | undefined, of: (s: SceneSpans, i: number) => number): number[] {
  if (spans === undefined) return [];
  const found = new Set<number>();
  for (const story of [1, 0]) {
    spans.story.forEach((s, i) => {
      if (s === story) found.add(of(spans, i));
    });
  }
  return [...found];
}
