import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type uPlot from 'uplot';
import { linearTicks } from '../axis.ts';
import { zoom, type Loaded } from '../data.ts';
import type { Overview as OverviewData } from '../engine/query.ts';
import { timeTick } from '../format.ts';
import { useView, view } from '../state.ts';
import { ink, useTheme } from '../theme.ts';
import { useWidth } from './canvas.ts';
import { MARGIN } from './heat-paint.ts';
import { LOGARITHMIC, lineChart, placeOf } from './lines.ts';

const HEIGHT = 74;
const TOP = 4;
const PADDING = [TOP, MARGIN.right, 22, MARGIN.left] as const;
const BOTTOM = HEIGHT - PADDING[2];

/** The whole trace at a glance: how many spans (area) and the slowest of each slice (line). Drag = show that time. */
export function Overview({ loaded, data }: { loaded: Loaded; data: OverviewData }): JSX.Element {
  const { window } = useView('window');
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const width = useWidth(box);
  const theme = useTheme();
  const drag = useRef<readonly [number, number] | null>(null);
  const { duration } = loaded;
  const timeAt = (event: PointerEvent): number => {
    const x = event.clientX - box.current!.getBoundingClientRect().left;
    return Math.max(0, Math.min(1, (x - MARGIN.left) / (width - MARGIN.left - MARGIN.right) || 0)) * duration;
  };

  useEffect(() => {
    if (box.current === null || width <= MARGIN.left + MARGIN.right) return undefined;
    const ticks = linearTicks(0, duration, (width - MARGIN.left - MARGIN.right) / 130);
    const made = lineChart(
      box.current,
      {
        width,
        height: HEIGHT,
        padding: PADDING,
        scales: {
          x: { time: false, range: () => [0, duration] },
          n: { range: (_chart, _min, max) => [0, Math.max(1, max)] },
          // A span of latency below 1 ns is drawn at 1 ns: the axis is logarithmic.
          ns: {
            distr: LOGARITHMIC,
            log: 10,
            range: (_chart, min, max) => [(min || 1) / 1.4, (max || 10) * 1.4],
          },
        },
        axes: [
          {
            scale: 'x',
            grid: false,
            at: () => ticks.at,
            text: (ns) => (ns === 0 ? '0' : timeTick(ns, ticks.step)),
          },
        ],
        series: [
          { scale: 'n', stroke: ink('bar-pale'), width: 0, fill: ink('bar-pale') },
          { scale: 'ns', stroke: ink('peak'), width: 1 },
        ],
        over: (context, self) => {
          shade(context, self, duration, drag.current);
        },
      },
      slices(data),
    );
    chart.current = made;
    return () => {
      chart.current = null;
      made.destroy();
    };
  }, [width, theme, loaded]);
  useEffect(() => {
    chart.current?.setData(slices(data));
  }, [data]);
  useEffect(() => {
    chart.current?.redraw(false);
  }, [window]);
  return (
    <div
      class="plot overview canvas-box overview-plot"
      ref={box}
      style={{ height: `${HEIGHT}px` }}
      aria-hidden="true"
      onPointerDown={(event) => {
        box.current?.setPointerCapture(event.pointerId);
        drag.current = [timeAt(event), timeAt(event)];
      }}
      onPointerMove={(event) => {
        if (drag.current === null) return;
        drag.current = [drag.current[0], timeAt(event)];
        chart.current?.redraw(false);
      }}
      onPointerUp={() => {
        const [lo, hi] = [...(drag.current ?? [0, 0])].sort((a, b) => a - b);
        drag.current = null;
        // Less than a few pixels is a click.
        if (hi! - lo! > (3 * duration) / width) zoom({ lo: lo!, hi: hi! });
        else chart.current?.redraw(false);
      }}
    />
  );
}

/** Every slice from its left to its right edge: one alone is a dash, not nothing. */
function slices(data: OverviewData): uPlot.AlignedData {
  const half = ((data.x[1] ?? 1) - (data.x[0] ?? 0)) / 2;
  const x = Array.from(data.x).flatMap((t) => [t - half, t + half]);
  const n = Array.from(data.count).flatMap((v) => (v > 0 ? [v, v] : [null, null]));
  return [x, n, data.max.flatMap((v) => [v, v])];
}

/** What is not shown lies in shade; a frame around what is. */
function shade(
  c: CanvasRenderingContext2D,
  chart: uPlot,
  duration: number,
  drag: readonly [number, number] | null,
): void {
  const { window } = view.get();
  const shown = drag === null ? window : { lo: Math.min(...drag), hi: Math.max(...drag) };
  if (shown === null) return;
  const [left, right] = [placeOf(chart, 0, 'x'), placeOf(chart, duration, 'x')];
  const x0 = placeOf(chart, Math.max(0, shown.lo), 'x');
  const x1 = placeOf(chart, Math.min(duration, shown.hi), 'x');
  c.fillStyle = ink('shade');
  c.fillRect(left, TOP, x0 - left, BOTTOM - TOP);
  c.fillRect(x1, TOP, right - x1, BOTTOM - TOP);
  c.strokeStyle = ink('accent');
  c.lineWidth = 1.5;
  c.strokeRect(x0, TOP, Math.max(2, x1 - x0), BOTTOM - TOP);
}
