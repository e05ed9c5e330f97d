import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { latencyTicks } from '../axis.ts';
import { latencyTick } from '../format.ts';
import { ink, useTheme } from '../theme.ts';
import { draw, useWidth } from './canvas.ts';

interface Curve {
  x: number[];
  y: number[];
}

const HEIGHT = 168;
const LEFT = 58;
const BOTTOM = HEIGHT - 22;
const TOP = 8;
/** Axis of nines: 0 = fastest, 1 = 90 %, 2 = 99 % ... */
const NINES: readonly [number, string][] = [
  [Math.log10(2), '50\u202f%'],
  [1, '90\u202f%'],
  [2, '99'],
  [3, '99.9'],
  [4, '99.99'],
  [5, '99.999'],
  [6, '99.9999'],
];

/** Latency at every percentile, both axes logarithmic: the selection, and dashed behind it everything. */
export function LadderChart({ all, chosen }: { all: Curve | null; chosen: Curve }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(box);
  const theme = useTheme();
  useEffect(() => {
    if (canvas.current === null || width <= LEFT) return;
    draw(canvas.current, width, HEIGHT, (c) => {
      paint(c, width, all, chosen);
    });
  }, [all, chosen, width, theme]);
  return (
    <div class="plot canvas-box" ref={box} style={{ height: `${HEIGHT}px` }} aria-hidden="true">
      <canvas ref={canvas} class="ladder-plot" />
    </div>
  );
}

function paint(c: CanvasRenderingContext2D, width: number, all: Curve | null, chosen: Curve): void {
  const curves = all === null ? [chosen] : [all, chosen];
  const right = width - 12;
  const most = Math.max(1, ...curves.map((v) => v.x.at(-1) ?? 0));
  const least = Math.min(...curves.map((v) => v.y[0] ?? Infinity));
  const lo = Math.log10(Math.max(1, Number.isFinite(least) ? least : 1) * 0.8);
  const hi = Math.max(lo + 1, Math.log10(Math.max(10, ...curves.map((v) => (v.y.at(-1) ?? 1) * 1.25))));
  const x = (nines: number): number => LEFT + (nines / most) * (right - LEFT);
  const y = (ns: number): number => BOTTOM - ((Math.log10(ns) - lo) / (hi - lo)) * (BOTTOM - TOP);
  c.strokeStyle = ink('grid');
  c.fillStyle = ink('text-2');
  c.lineWidth = 1;
  const line = (points: readonly (readonly [number, number])[]): void => {
    c.beginPath();
    for (const [px, py] of points) c.lineTo(px, py);
    c.stroke();
  };
  c.textAlign = 'center';
  c.textBaseline = 'top';
  for (const [nines, name] of NINES) {
    if (nines > most) break;
    const px = Math.round(x(nines)) + 0.5;
    line([
      [px, TOP],
      [px, BOTTOM + 4],
    ]);
    c.fillText(name, px, BOTTOM + 7);
  }
  c.textAlign = 'right';
  c.textBaseline = 'middle';
  for (const ns of latencyTicks(10 ** lo, 10 ** hi, BOTTOM - TOP)) {
    const py = Math.round(y(ns)) + 0.5;
    line([
      [LEFT - 4, py],
      [right, py],
    ]);
    c.fillText(latencyTick(ns), LEFT - 8, py);
  }
  for (const curve of curves) {
    const own = curve === chosen;
    c.strokeStyle = ink(own ? 'accent' : 'muted-line');
    c.lineWidth = own ? 2 : 1.5;
    c.setLineDash(own ? [] : [4, 3]);
    line(curve.x.map((nines, k) => [x(nines), y(curve.y[k]!)] as const));
  }
  c.setLineDash([]);
}
