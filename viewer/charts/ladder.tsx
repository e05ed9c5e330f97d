import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type uPlot from 'uplot';
import { latencyTicks } from '../axis.ts';
import type { Curve } from '../engine/query.ts';
import { latencyTick } from '../format.ts';
import { ink, useTheme } from '../theme.ts';
import { useWidth } from './canvas.ts';
import { LOGARITHMIC, lineChart } from './lines.ts';

/** A line of the chart; `colour` is the style sheet's name, or a colour. */
export interface LadderLine {
  name: string;
  curve: Curve;
  colour: string;
  dash?: number[];
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

/** Latency at every percentile, both axes logarithmic; the last line lies above the others. `named`: says which is which. */
export function LadderChart({ lines, named }: { lines: readonly LadderLine[]; named: boolean }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const limits = useRef({ most: 1, lo: 1, hi: 10 });
  const width = useWidth(box);
  const theme = useTheme();
  const inner = Math.max(1, width - PADDING[1] - PADDING[3]);
  const curves = lines.map((l) => l.curve);
  limits.current = limitsOf(curves);
  const data = joined(curves, limits.current, inner);
  const names = lines.map((l) => l.name).join();
  useEffect(() => {
    if (box.current === null || width <= 2 * PADDING[3]) return undefined;
    const now = (): typeof limits.current => limits.current;
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
        series: lines.map(({ colour, dash }) => ({
          scale: 'y',
          width: dash === undefined ? 2 : 1.5,
          stroke: inkOf(colour),
          ...(dash !== undefined && { dash }),
        })),
      },
      data,
    );
    chart.current = made;
    return () => {
      chart.current = null;
      made.destroy();
    };
  }, [width, theme, names]);
  useEffect(() => {
    chart.current?.setData(data);
  }, curves);
  return (
    <>
      <div
        class="plot canvas-box ladder-plot"
        ref={box}
        style={{ height: `${HEIGHT}px` }}
        aria-hidden="true"
      />
      {named && (
        <p class="small" id="ladder-lines">
          {lines.map(({ name, colour, dash }) => (
            <span key={name}>
              <span
                class="line"
                style={{ borderTop: `2px ${dash === undefined ? 'solid' : 'dashed'} ${inkOf(colour)}` }}
              />
              {name}{' '}
            </span>
          ))}
        </p>
      )}
    </>
  );
}

const inkOf = (colour: string): string => (colour.startsWith('#') ? colour : ink(colour));

function limitsOf(curves: readonly Curve[]): { most: number; lo: number; hi: number } {
  const least = Math.min(...curves.map((v) => v.y[0] ?? Infinity));
  const lo = Math.max(1, Number.isFinite(least) ? least : 1) * 0.8;
  const hi = Math.max(lo * 10, ...curves.map((v) => (v.y.at(-1) ?? 1) * 1.25));
  return { most: Math.max(1, ...curves.map((v) => v.x.at(-1) ?? 0)), lo, hi };
}

/** All on one x axis, undefined where only another has a point; of the points that fall on one pixel, one. */
function joined(
  curves: readonly Curve[],
  { most, lo, hi }: { most: number; lo: number; hi: number },
  width: number,
): uPlot.AlignedData {
  const columns = curves.map((curve) => {
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
