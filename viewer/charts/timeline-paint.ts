import { linearTicks } from '../axis.ts';
import { textOn } from '../colours.ts';
import type { Range } from '../engine/query.ts';
import { duration, timeTick } from '../format.ts';
import { ink } from '../theme.ts';
import { fitText } from './canvas.ts';
import type { Bar, Lane, Lanes, VcpuState } from './timeline-lanes.ts';

export const LEFT = 168;
const TOP = 24;
const ROW = 19;
const GAP = 9;
const STATE_INK: Record<VcpuState, string> = { trapped: 'flame-1', waiting: 'bar-pale', runnable: 'warn-bg' };

export interface View {
  window: Range;
  width: number;
  /** y of every lane's top, px. */
  tops: number[];
  height: number;
}

export function viewOf(lanes: readonly Lane[], window: Range, width: number): View {
  const tops: number[] = [];
  let y = TOP + GAP;
  for (const lane of lanes) {
    tops.push(y);
    y += lane.rows * ROW + GAP;
  }
  return { window, width, tops, height: y };
}

export const xAt = (v: View, t: number): number =>
  LEFT + ((t - v.window.lo) / (v.window.hi - v.window.lo)) * (v.width - LEFT);
export const timeOf = (v: View, x: number): number =>
  v.window.lo + ((x - LEFT) / (v.width - LEFT)) * (v.window.hi - v.window.lo);

const clamp = (v: View, x: number): number => Math.max(LEFT, Math.min(v.width, x));
const middle = (v: View, [lane, row]: readonly [number, number]): number =>
  v.tops[lane]! + row * ROW + ROW / 2;

/** The bar under a point; those of the story lie above. */
export function barAt(lanes: Lanes, v: View, x: number, y: number): Bar | null {
  let found: Bar | null = null;
  for (const bar of lanes.bars) {
    const top = v.tops[bar.lane]! + bar.row * ROW;
    if (y < top || y >= top + ROW || x < xAt(v, bar.from) - 2 || x > xAt(v, bar.to) + 2) continue;
    if (found === null || bar.colour !== null || found.colour === null) found = bar;
  }
  return found;
}

/** The lane at a height; below the last one, the last. */
export function laneAt(v: View, y: number): number {
  let lane = 0;
  v.tops.forEach((top, n) => {
    if (y >= top - GAP / 2) lane = n;
  });
  return lane;
}

/** A named instant: a note of the reader's, or a difference of the replay. */
export interface Mark {
  t: number;
  name: string;
  bad?: true;
}

/** Which of the marks is at a point of the axis; -1: none. */
export const markAt = (marks: readonly Mark[], v: View, x: number, y: number): number =>
  y > TOP + GAP ? -1 : marks.findIndex((m) => Math.abs(xAt(v, m.t) - x) <= 4);

/** `zero`: the instant that the axis counts from; `cursor`: the lane that keys move. */
export function paintTimeline(
  c: CanvasRenderingContext2D,
  lanes: Lanes,
  v: View,
  zero: number,
  over: Bar | null,
  marks: readonly Mark[],
  cursor: number,
): void {
  paintAxis(c, v, zero);
  c.textBaseline = 'middle';
  lanes.lanes.forEach((lane, n) => {
    paintLane(c, v, lane, n, n === cursor);
  });
  const draw = (fits: (b: Bar) => boolean): void => {
    for (const bar of lanes.bars) if (fits(bar)) paintBar(c, v, bar, bar === over);
  };
  draw((b) => b.state !== undefined);
  draw((b) => b.state === undefined && b.colour === null);
  draw((b) => b.colour !== null);
  paintMarks(c, v, marks);
  c.strokeStyle = c.fillStyle = ink('text');
  c.lineWidth = 1.5;
  for (const { at, from, to } of lanes.arrows) {
    const x = xAt(v, at);
    if (x < LEFT || x > v.width) continue;
    const down = middle(v, to) > middle(v, from) ? 1 : -1;
    const y = middle(v, to) - (down * ROW) / 2;
    c.beginPath();
    c.moveTo(x, middle(v, from));
    c.lineTo(x, y);
    c.stroke();
    c.beginPath();
    c.moveTo(x, y);
    c.lineTo(x - 3.5, y - down * 6);
    c.lineTo(x + 3.5, y - down * 6);
    c.fill();
  }
}

/** The marks that lie in the time shown. */
function paintMarks(c: CanvasRenderingContext2D, v: View, marks: readonly Mark[]): void {
  for (const { t, name, bad } of marks) {
    const x = xAt(v, t);
    if (x < LEFT || x > v.width) continue;
    c.fillStyle = ink(bad ? 'bad' : 'accent');
    c.fillRect(x, TOP, 1.5, v.height);
    if (bad) c.fillRect(x - 4, TOP, 9, GAP);
    c.fillText(`${bad ? '≠' : '⚑'} ${name}`, x + 4, v.height - (bad ? 22 : 8));
  }
}

function paintAxis(c: CanvasRenderingContext2D, v: View, zero: number): void {
  c.fillStyle = ink('plot');
  c.fillRect(LEFT, TOP, v.width - LEFT, v.height - TOP);
  c.fillStyle = ink('text-2');
  c.strokeStyle = ink('grid');
  c.textBaseline = 'top';
  c.textAlign = 'center';
  const { step, at } = linearTicks(v.window.lo - zero, v.window.hi - zero, (v.width - LEFT) / 120);
  for (const ns of at) {
    const x = Math.round(xAt(v, ns + zero)) + 0.5;
    c.beginPath();
    c.moveTo(x, TOP - 4);
    c.lineTo(x, v.height);
    c.stroke();
    if (x < v.width - 24 && x > LEFT + 10) c.fillText(ns === 0 ? '0' : timeTick(ns, step), x, 4);
  }
  c.textAlign = 'left';
}

function paintLane(c: CanvasRenderingContext2D, v: View, lane: Lane, n: number, chosen: boolean): void {
  const top = v.tops[n]!;
  const height = lane.rows * ROW;
  c.fillStyle = ink('text');
  if (chosen) {
    c.fillStyle = ink('accent-soft');
    c.fillRect(0, top - GAP / 2, LEFT - 6, height + GAP);
    c.fillStyle = ink('text');
  }
  c.fillText(fitText(c, `${lane.pinned ? '▲ ' : ''}${lane.title}`, LEFT - 14), 0, top + height / 2);
  c.strokeStyle = ink('line');
  c.lineWidth = 1;
  c.beginPath();
  c.moveTo(0, top + height + GAP / 2);
  c.lineTo(v.width, top + height + GAP / 2);
  c.stroke();
  const { depth } = lane;
  if (depth === undefined) return;
  const most = Math.max(1, ...depth.n);
  const line: [number, number][] = [];
  c.fillStyle = ink('bar-pale');
  depth.t.forEach((t, k) => {
    const x = clamp(v, xAt(v, t));
    const end = clamp(v, xAt(v, depth.t[k + 1] ?? v.window.hi));
    const h = (depth.n[k]! / most) * height;
    c.fillRect(x, top + height - h, end - x, h);
    line.push([x, top + height - h], [end, top + height - h]);
  });
  c.strokeStyle = ink('bar');
  c.beginPath();
  for (const [x, y] of line) c.lineTo(x, y);
  c.stroke();
  c.fillStyle = ink('text-2');
  c.fillText(`in flight, up to ${most}`, 0, top + height / 2 + 14);
}

function paintBar(c: CanvasRenderingContext2D, v: View, bar: Bar, over: boolean): void {
  const x = clamp(v, xAt(v, bar.from));
  const width = Math.max(1.5, clamp(v, xAt(v, bar.to)) - x);
  const top = v.tops[bar.lane]! + bar.row * ROW;
  const band = bar.state !== undefined;
  const y = band ? top : top + 2;
  const height = band ? ROW : ROW - 4;
  const fill = band ? ink(STATE_INK[bar.state!]) : (bar.colour ?? ink('muted-line'));
  c.globalAlpha = bar.colour === null && !band ? 0.45 : 1;
  if (bar.late) {
    // Only an upper bound: it fades into a whisker, and says so.
    const fade = c.createLinearGradient(x, 0, x + width, 0);
    fade.addColorStop(0, fill);
    fade.addColorStop(1, 'transparent');
    c.fillStyle = fade;
    c.fillRect(x, y, width, height);
    c.fillStyle = ink('text');
    c.fillRect(x, y + height - 1, width, 1);
    c.fillRect(x + width - 1, y, 1, height);
  } else {
    c.fillStyle = fill;
    c.fillRect(x, y, width, height);
  }
  if (bar.torn) {
    c.strokeStyle = ink('text');
    c.setLineDash([3, 3]);
    c.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
    c.setLineDash([]);
  }
  c.globalAlpha = 1;
  if (over) {
    c.strokeStyle = ink('text');
    c.lineWidth = 2;
    c.strokeRect(x, y, width, height);
  }
  if (width < 30 || (bar.colour === null && !band)) return;
  c.fillStyle = bar.colour === null || bar.late ? ink('text') : textOn(bar.colour);
  c.fillText(
    fitText(c, band ? `${bar.state!} ${duration(bar.to - bar.from)}` : labelOf(bar), width - 8),
    x + 4,
    top + ROW / 2 + 0.5,
  );
}

export const labelOf = ({ text, from, to, late }: Bar): string =>
  `${late ? '≤ ' : ''}${duration(to - from)} ${text}`;
