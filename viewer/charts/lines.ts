import uPlot from 'uplot';
import { FONT, ink } from '../theme.ts';
import { pictures } from './canvas.ts';

// uPlot declares it as a const enum of its types, which has no values when modules are compiled one by one.
// eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment
export const LOGARITHMIC: uPlot.Scale.Distr = 3;

/** What a line chart of this page is: uPlot's options without what all of them share. */
export interface LineOptions {
  width: number;
  height: number;
  /** CSS px left free above, right, below and left of the plot, axes in them. */
  padding: readonly [number, number, number, number];
  scales: uPlot.Scales;
  /** Below; then, if there is one, to the left. */
  axes: {
    scale: string;
    at: () => readonly number[];
    text: (value: number) => string;
    grid: boolean;
  }[];
  series: { scale: string; stroke: string; width: number; fill?: string; dash?: number[] }[];
  /** Painted over the lines, CSS px. */
  over?: (context: CanvasRenderingContext2D, chart: uPlot) => void;
}

/** Colours of the style sheet change with the theme: whoever makes a chart makes it anew then. */
export function lineChart(parent: HTMLElement, o: LineOptions, data: uPlot.AlignedData): uPlot {
  const [top, right, bottom, left] = o.padding;
  const axes = o.axes.map((axis, k): uPlot.Axis => {
    const line = { stroke: ink('grid'), width: 1 };
    return {
      scale: axis.scale,
      size: k === 0 ? bottom : left,
      gap: 3,
      font: FONT,
      stroke: ink('text-2'),
      grid: { ...line, show: axis.grid },
      ticks: { ...line, size: 4 },
      splits: () => [...axis.at()],
      values: (_chart, splits) => splits.map(axis.text),
      filter: (_chart, splits) => splits,
    };
  });
  const chart: uPlot = new uPlot(
    {
      width: o.width,
      height: o.height,
      padding: [top, right, 0, o.axes.length > 1 ? 0 : left],
      legend: { show: false },
      cursor: { show: false },
      scales: o.scales,
      // Of the two that uPlot makes by itself, the one that was not asked for is hidden.
      axes: axes.length > 1 ? axes : [...axes, { show: false }],
      series: [{}, ...o.series.map((s) => ({ ...s, points: { show: false } }))],
      hooks: {
        draw: [
          (self) => {
            const { ctx } = self;
            ctx.save();
            ctx.setTransform(uPlot.pxRatio, 0, 0, uPlot.pxRatio, 0, 0);
            o.over?.(ctx, self);
            ctx.restore();
          },
        ],
      },
    },
    data,
    parent,
  );
  const paint = (context: CanvasRenderingContext2D): void => {
    repaint(context, chart, o);
  };
  pictures.set(chart.ctx.canvas, { width: o.width, height: o.height, paint });
  return chart;
}

/** A value's place on the whole canvas, CSS px. */
export const placeOf = (chart: uPlot, value: number, scale: string): number =>
  chart.valToPos(value, scale) + (scale === 'x' ? chart.over.offsetLeft : chart.over.offsetTop);

/** The same picture once more, into a file: uPlot paints its own canvas only, and by paths that no SVG can take. */
function repaint(c: CanvasRenderingContext2D, chart: uPlot, o: LineOptions): void {
  const [left, top] = [chart.over.offsetLeft, chart.over.offsetTop];
  const [right, bottom] = [left + chart.over.clientWidth, top + chart.over.clientHeight];
  c.lineWidth = 1;
  c.strokeStyle = ink('grid');
  c.fillStyle = ink('text-2');
  for (const [k, axis] of o.axes.entries()) {
    const below = k === 0;
    c.textAlign = below ? 'center' : 'right';
    c.textBaseline = below ? 'top' : 'middle';
    for (const value of axis.at()) {
      const at = Math.round(placeOf(chart, value, axis.scale)) + 0.5;
      c.beginPath();
      c.moveTo(below ? at : left - 4, below ? bottom + 4 : at);
      c.lineTo(below ? at : axis.grid ? right : left, below ? (axis.grid ? top : bottom) : at);
      c.stroke();
      c.fillText(axis.text(value), below ? at : left - 8, below ? bottom + 7 : at);
    }
  }
  const xs = chart.data[0];
  o.series.forEach((s, k) => {
    const ys = chart.data[k + 1]!;
    // A value that is undefined stands at another series' x only; null is a gap.
    const points = [...xs].map((x, i) => [x, ys[i]] as const).filter(([, y]) => y !== undefined);
    const line = (closed: boolean): void => {
      c.beginPath();
      let open = false;
      for (const [i, [x, y]] of points.entries()) {
        if (y === null || y === undefined) {
          open = false;
          continue;
        }
        const [px, py] = [placeOf(chart, x, 'x'), placeOf(chart, y, s.scale)];
        if (!open) c.moveTo(px, closed ? bottom : py);
        if (!open && !closed) c.lineTo(px, py);
        if (closed || open) c.lineTo(px, py);
        open = true;
        if (closed && (points[i + 1]?.[1] ?? null) === null) c.lineTo(px, bottom);
      }
    };
    if (s.fill !== undefined) {
      c.fillStyle = s.fill;
      line(true);
      c.fill();
    }
    c.strokeStyle = s.stroke;
    c.lineWidth = s.width;
    c.setLineDash(s.dash ?? []);
    line(false);
    if (s.width > 0) c.stroke();
    c.setLineDash([]);
  });
  o.over?.(c, chart);
}
