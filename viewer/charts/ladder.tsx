import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type uPlot from 'uplot';
import { latencyTicks } from '../axis.ts';
import { latencyTick } from '../format.ts';
import { ink, useTheme } from '../theme.ts';
import { useWidth } from './canvas.ts';
import { LOGARITHMIC, lineChart } from './lines.ts';

interface Curve {
  x: number[];
  y: number[];
}

const HEIGHT = 168;
const PADDING = [8, 12, 22, 58] as const;
/** Axis of nines: 0 = fastest, 1 = 90 %, 2 = 99 % ... */
const NINES = new Map([
  [Math.log10(2), '50\u202f%'],
  [1, '90\u202f%'],
  [2, '99'],
  [3, '99.9'],
  [4, '99.99'],
  [5, '99.999'],
  [6, '99.9999'],
]);

/** Latency at every percentile, both axes logarithmic: the selection, and dashed behind it everything. */
export function LadderChart({ all, chosen }: { all: Curve | null; chosen: Curve }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const limits = useRef({ most: 1, lo: 1, hi: 10 });
  const width = useWidth(box);
  const theme = useTheme();
  const inner = Math.max(1, width - PADDING[1] - PADDING[3]);
  limits.current = limitsOf(all === null ? [chosen] : [all, chosen]);
  const data = joined(all ?? { x: [], y: [] }, chosen, limits.current, inner);
  useEffect(() => {
    if (box.current === null || width <= 2 * PADDING[3]) return undefined;
    const now = (): typeof limits.current => limits.current;
    const line = { scale: 'y', width: 2 };
    const made = lineChart(
      box.current,
      {
        width,
        height: HEIGHT,
        padding: PADDING,
        scales: {
          x: { time: false, range: () => [0, now().most] },
          y: { distr: LOGARITHMIC, log: 10, range: () => [now().lo, now().hi] },
        },
        axes: [
          {
            scale: 'x',
            grid: true,
            at: () => [...NINES.keys()].filter((n) => n <= now().most),
            text: (n) => NINES.get(n) ?? '',
          },
          {
            scale: 'y',
            grid: true,
            at: () => latencyTicks(now().lo, now().hi, HEIGHT - PADDING[0] - PADDING[2]),
            text: latencyTick,
          },
        ],
        series: [
          { ...line, stroke: ink('muted-line'), width: 1.5, dash: [4, 3] },
          { ...line, stroke: ink('accent') },
        ],
      },
      data,
    );
    chart.current = made;
    return () => {
      chart.current = null;
      made.destroy();
    };
  }, [width, theme]);
  useEffect(() => {
    chart.current?.setData(data);
  }, [all, chosen]);
  return (
    <div class="plot canvas-box ladder-plot" ref={box} style={{ height: `${HEIGHT}px` }} aria-hidden="true" />
  );
}

function limitsOf(curves: readonly Curve[]): { most: number; lo: number; hi: number } {
  const least = Math.min(...curves.map((v) => v.y[0] ?? Infinity));
  const lo = Math.max(1, Number.isFinite(least) ? least : 1) * 0.8;
  const hi = Math.max(lo * 10, ...curves.map((v) => (v.y.at(-1) ?? 1) * 1.25));
  return { most: Math.max(1, ...curves.map((v) => v.x.at(-1) ?? 0)), lo, hi };
}

/** Both on one x axis, undefined where only the other has a point; of the points that fall on one pixel, one. */
function joined(
  all: Curve,
  chosen: Curve,
  { most, lo, hi }: { most: number; lo: number; hi: number },
  width: number,
): uPlot.AlignedData {
  const columns = [all, chosen].map((curve) => {
    const kept = new Map<number, number>();
    let last = NaN;
    curve.x.forEach((x, k) => {
      const y = curve.y[k]!;
      const pixel =
        Math.round((x / most) * width) * 4096 + Math.round((Math.log(y / lo) / Math.log(hi / lo)) * HEIGHT);
      if (pixel !== last || k === curve.x.length - 1) kept.set(x, y);
      last = pixel;
    });
    return kept;
  });
  const xs = Float64Array.from(new Set(columns.flatMap((c) => [...c.keys()]))).sort();
  return [xs, ...columns.map((c) => Array.from(xs, (x) => c.get(x)))] as uPlot.AlignedData;
}
