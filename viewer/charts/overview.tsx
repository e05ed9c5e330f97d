import type { JSX } from 'preact';
import { useMemo, useRef } from 'preact/hooks';
import type uPlot from 'uplot';
import { zoom, type Loaded } from '../data.ts';
import type { Overview as OverviewData } from '../engine/query.ts';
import { timeTick } from '../format.ts';
import { useAtom, view } from '../state.ts';
import { ink, useTheme } from '../theme.ts';
import { useWidth } from './canvas.ts';
import { MARGIN } from './heat-paint.ts';
import { axisLook, LOG_SCALE, usePlot } from './plot.ts';

const HEIGHT = 74;

/** The whole trace at a glance: how many spans (area) and the slowest of each slice (line). Drag = show that time. */
export function Overview({ loaded, data }: { loaded: Loaded; data: OverviewData }): JSX.Element {
  const { window } = useAtom(view);
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const theme = useTheme();
  const columns = useMemo<uPlot.AlignedData>(() => [data.x, data.count, data.max], [data]);
  const options = (): Omit<uPlot.Options, 'width'> => ({
    height: HEIGHT,
    padding: [4, MARGIN.right, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
    scales: {
      x: { time: false, range: [0, loaded.duration] },
      n: { range: (_u, _lo, hi) => [0, Math.max(1, hi)] },
      ns: { distr: LOG_SCALE, range: (_u, lo, hi) => [Math.max(1, lo * 0.7), Math.max(10, hi * 1.4)] },
    },
    axes: [
      { ...axisLook(), size: 22, gap: 2, space: 110, splits: ticks, values: (_u, at) => labels(at) },
      {
        scale: 'ns',
        ...axisLook(),
        size: MARGIN.left,
        show: true,
        grid: { show: false },
        ticks: { show: false },
        values: () => [],
      },
    ],
    series: [
      {},
      { scale: 'n', fill: ink('bar-pale'), width: 0, points: { show: false } },
      { scale: 'ns', stroke: ink('peak'), width: 1, points: { show: false }, spanGaps: false },
    ],
    hooks: {
      draw: [shadeOutside],
      setSelect: [
        (u) => {
          const { left, width: w } = u.select;
          if (w > 3) zoom({ lo: u.posToVal(left, 'x'), hi: u.posToVal(left + w, 'x') });
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  });
  // The window is drawn by a hook: a new one needs a new picture, though the data are the same.
  const shape = window === null ? 'all' : `${window.lo} ${window.hi}`;
  usePlot(box, width, theme, shape, options, columns);
  return <div class="plot overview" ref={box} style={{ height: `${HEIGHT}px` }} aria-hidden="true" />;
}

function ticks(u: uPlot): number[] {
  const hi = u.scales['x']?.max ?? 1;
  const wanted = Math.max(2, u.bbox.width / devicePixelRatio / 130);
  const rough = hi / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((s) => s * power >= rough) ?? 10);
  return Array.from({ length: Math.floor(hi / step + 1e-9) + 1 }, (_, k) => k * step);
}

const labels = (at: readonly number[]): string[] => {
  const step = (at[1] ?? 1) - (at[0] ?? 0);
  return at.map((ns) => timeTick(ns, step));
};

function shadeOutside(u: uPlot): void {
  const { window } = view.get();
  if (window === null) return;
  const { left, top, width, height } = u.bbox;
  const x0 = Math.max(left, u.valToPos(window.lo, 'x', true));
  const x1 = Math.min(left + width, u.valToPos(window.hi, 'x', true));
  u.ctx.save();
  u.ctx.fillStyle = ink('shade');
  u.ctx.fillRect(left, top, x0 - left, height);
  u.ctx.fillRect(x1, top, left + width - x1, height);
  u.ctx.strokeStyle = ink('accent');
  u.ctx.lineWidth = 1.5 * devicePixelRatio;
  u.ctx.strokeRect(x0, top, Math.max(2, x1 - x0), height);
  u.ctx.restore();
}
