import { latencyTicks, LatencyScale, linearTicks } from '../axis.ts';
import { ramp } from '../colours.ts';
import type { Heat } from '../engine/heat.ts';
import type { Box, Range } from '../engine/query.ts';
import { latencyTick, timeTick } from '../format.ts';
import { ink } from '../theme.ts';

/** Where things are on the heatmap's canvas, CSS px. */
export const MARGIN = { left: 60, right: 92, top: 6, bottom: 24 };
const MARGINAL_GAP = 10;

export interface Frame {
  width: number;
  height: number;
  plotWidth: number;
  plotHeight: number;
  window: Range;
  scale: LatencyScale;
}

export function frameOf(heat: Heat, window: Range, width: number, height: number): Frame {
  const plotHeight = height - MARGIN.top - MARGIN.bottom;
  const lo = heat.linear ? heat.lo : Math.max(1, heat.lo);
  return {
    width,
    height,
    plotWidth: Math.max(1, width - MARGIN.left - MARGIN.right),
    plotHeight,
    window,
    scale: new LatencyScale(lo, Math.max(2, heat.hi), MARGIN.top, plotHeight, heat.linear),
  };
}

export const xOf = (f: Frame, time: number): number =>
  MARGIN.left + ((time - f.window.lo) / (f.window.hi - f.window.lo)) * f.plotWidth;
export const timeAt = (f: Frame, x: number): number =>
  f.window.lo + ((x - MARGIN.left) / f.plotWidth) * (f.window.hi - f.window.lo);

export function paintHeat(
  context: CanvasRenderingContext2D,
  heat: Heat,
  f: Frame,
  theme: 'light' | 'dark',
): void {
  context.fillStyle = ink('plot');
  context.fillRect(MARGIN.left, MARGIN.top, f.plotWidth, f.plotHeight);
  paintAxes(context, heat, f);
  const cells = cellImage(heat, ramp(theme));
  context.imageSmoothingEnabled = false;
  context.drawImage(cells, MARGIN.left, MARGIN.top, f.plotWidth, f.plotHeight);
  paintPeaks(context, heat, f);
  paintMarginal(context, heat, f);
}

function cellImage(heat: Heat, colours: Uint32Array): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.width = heat.columns;
  canvas.height = heat.rows;
  const context = canvas.getContext('2d');
  if (context === null) return canvas;
  const image = context.createImageData(heat.columns, heat.rows);
  const words = new Uint32Array(image.data.buffer);
  // The square root keeps single spans visible beside thousands; 64 = a clear step off the background.
  const scale = heat.max > 1 ? 191 / (Math.sqrt(heat.max) - 1) : 0;
  for (let row = 0; row < heat.rows; row++) {
    const target = (heat.rows - 1 - row) * heat.columns;
    for (let column = 0; column < heat.columns; column++) {
      const n = heat.counts[row * heat.columns + column]!;
      if (n > 0) words[target + column] = colours[Math.min(255, 64 + (Math.sqrt(n) - 1) * scale) | 0]!;
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

function paintAxes(context: CanvasRenderingContext2D, heat: Heat, f: Frame): void {
  const bottom = MARGIN.top + f.plotHeight;
  context.fillStyle = ink('text-2');
  context.strokeStyle = ink('grid');
  context.lineWidth = 1;
  context.textBaseline = 'middle';
  context.textAlign = 'right';
  const ticks = heat.linear
    ? linearTicks(heat.lo, heat.hi, f.plotHeight / 40).at
    : latencyTicks(Math.max(1, heat.lo), heat.hi, f.plotHeight);
  for (const ns of ticks) {
    const y = Math.round(f.scale.y(ns)) + 0.5;
    context.beginPath();
    context.moveTo(MARGIN.left - 4, y);
    context.lineTo(MARGIN.left + f.plotWidth, y);
    context.stroke();
    if (y > MARGIN.top + 4 && y < bottom - 2) context.fillText(latencyTick(ns), MARGIN.left - 8, y);
  }
  context.textBaseline = 'top';
  context.textAlign = 'center';
  const { step, at } = linearTicks(f.window.lo, f.window.hi, f.plotWidth / 110);
  for (const ns of at) {
    const x = Math.round(xOf(f, ns)) + 0.5;
    context.beginPath();
    context.moveTo(x, MARGIN.top);
    context.lineTo(x, bottom + 4);
    context.stroke();
    if (x < MARGIN.left + f.plotWidth - 12) context.fillText(timeTick(ns, step), x, bottom + 8);
  }
}

/** Fewer spans in a column are seen one by one, and a mark on each would say nothing. */
const MANY = 8;

/** The slowest span of every column, so that one outlier among thousands is never lost in a pale cell. */
function paintPeaks(context: CanvasRenderingContext2D, heat: Heat, f: Frame): void {
  const width = f.plotWidth / heat.columns;
  context.fillStyle = ink('peak');
  for (let column = 0; column < heat.columns; column++) {
    const peak = heat.peak[column]!;
    if (heat.filled[column]! < MANY || peak < heat.lo || peak > heat.hi) continue;
    context.fillRect(MARGIN.left + column * width, f.scale.y(peak) - 1, Math.max(1, width), 2);
  }
}

/** How many spans at each latency, in the same rows, to the right. */
function paintMarginal(context: CanvasRenderingContext2D, heat: Heat, f: Frame): void {
  const left = MARGIN.left + f.plotWidth + MARGINAL_GAP;
  const width = MARGIN.right - MARGINAL_GAP - 4;
  let most = 0;
  for (const n of heat.marginal) most = Math.max(most, n);
  context.fillStyle = ink('bar');
  const height = f.plotHeight / heat.rows;
  for (let row = 0; row < heat.rows; row++) {
    const n = heat.marginal[row]!;
    if (n === 0) continue;
    const w = Math.max(1.5, (n / most) * width);
    context.fillRect(left, MARGIN.top + (heat.rows - 1 - row) * height, w, Math.max(1, height - 0.5));
  }
  context.fillStyle = ink('text-2');
  context.textAlign = 'left';
  context.textBaseline = 'top';
  context.fillText('how many', left, MARGIN.top + f.plotHeight + 8);
}

/** The limit, and the notes that lie in the time shown. */
export function paintMarks(
  context: CanvasRenderingContext2D,
  f: Frame,
  limit: number | null,
  pins: readonly { t: number; name: string }[],
): void {
  const right = MARGIN.left + f.plotWidth;
  context.strokeStyle = context.fillStyle = ink('accent');
  context.lineWidth = 1.5;
  context.textBaseline = 'bottom';
  context.textAlign = 'left';
  context.setLineDash([6, 3]);
  const line = (x0: number, y0: number, x1: number, y1: number): void => {
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    context.stroke();
  };
  if (limit !== null) {
    const y = f.scale.y(limit);
    if (y >= MARGIN.top && y <= MARGIN.top + f.plotHeight) {
      line(MARGIN.left, y, right + MARGIN.right, y);
      context.fillText(latencyTick(limit), right + 14, y - 2);
    }
  }
  for (const pin of pins) {
    const x = xOf(f, pin.t);
    if (x < MARGIN.left || x > right) continue;
    line(x, MARGIN.top, x, MARGIN.top + f.plotHeight);
    context.fillText(`⚑ ${pin.name}`, x + 3, MARGIN.top + 14);
  }
  context.setLineDash([]);
}

export function paintBrush(context: CanvasRenderingContext2D, f: Frame, brush: Box): void {
  const clamp = (v: number, lo: number, hi: number): number => Math.max(lo, Math.min(hi, v));
  const right = MARGIN.left + f.plotWidth;
  const bottom = MARGIN.top + f.plotHeight;
  const x0 = clamp(xOf(f, brush.time.lo), MARGIN.left, right);
  const x1 = clamp(xOf(f, brush.time.hi), MARGIN.left, right);
  const y0 = clamp(f.scale.y(brush.latency.hi), MARGIN.top, bottom);
  const y1 = clamp(f.scale.y(brush.latency.lo), MARGIN.top, bottom);
  context.fillStyle = ink('shade');
  context.fillRect(MARGIN.left, MARGIN.top, f.plotWidth, y0 - MARGIN.top);
  context.fillRect(MARGIN.left, y1, f.plotWidth, bottom - y1);
  context.fillRect(MARGIN.left, y0, x0 - MARGIN.left, y1 - y0);
  context.fillRect(x1, y0, right - x1, y1 - y0);
  context.strokeStyle = ink('accent');
  context.lineWidth = 1.5;
  context.strokeRect(x0, y0, Math.max(1, x1 - x0), Math.max(1, y1 - y0));
}

/** A ring around the span that is shown in full, or around the keyboard's cursor. */
export function paintRing(context: CanvasRenderingContext2D, f: Frame, time: number, ns: number): void {
  const x = xOf(f, time);
  if (!(x >= MARGIN.left && x <= MARGIN.left + f.plotWidth)) return;
  for (const [colour, width] of [
    [ink('surface'), 4],
    [ink('text'), 2],
  ] as const) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    context.arc(x, f.scale.y(ns), 6, 0, 2 * Math.PI);
    context.stroke();
  }
}
