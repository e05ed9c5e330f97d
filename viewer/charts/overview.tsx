import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { linearTicks } from '../axis.ts';
import { zoom, type Loaded } from '../data.ts';
import type { Overview as OverviewData } from '../engine/query.ts';
import { timeTick } from '../format.ts';
import { useView } from '../state.ts';
import { ink, useTheme } from '../theme.ts';
import { draw, useWidth } from './canvas.ts';
import { MARGIN } from './heat-paint.ts';

const HEIGHT = 74;
const BOTTOM = HEIGHT - 22;
const TOP = 4;

/** The whole trace at a glance: how many spans (area) and the slowest of each slice (line). Drag = show that time. */
export function Overview({ loaded, data }: { loaded: Loaded; data: OverviewData }): JSX.Element {
  const { window } = useView('window');
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(box);
  const theme = useTheme();
  const [drag, setDrag] = useState<readonly [number, number] | null>(null);
  const right = width - MARGIN.right;
  const timeAt = (x: number): number =>
    (Math.max(0, Math.min(1, (x - MARGIN.left) / (right - MARGIN.left))) || 0) * loaded.duration;

  useEffect(() => {
    if (canvas.current === null || right <= MARGIN.left) return;
    const x = (ns: number): number => MARGIN.left + (ns / loaded.duration) * (right - MARGIN.left);
    const shown = drag === null ? window : { lo: timeAt(Math.min(...drag)), hi: timeAt(Math.max(...drag)) };
    draw(canvas.current, width, HEIGHT, (c) => {
      paint(c, data, x, right, loaded.duration);
      if (shown === null) return;
      const [x0, x1] = [x(Math.max(0, shown.lo)), x(Math.min(loaded.duration, shown.hi))];
      c.fillStyle = ink('shade');
      c.fillRect(MARGIN.left, TOP, x0 - MARGIN.left, BOTTOM - TOP);
      c.fillRect(x1, TOP, right - x1, BOTTOM - TOP);
      c.strokeStyle = ink('accent');
      c.lineWidth = 1.5;
      c.strokeRect(x0, TOP, Math.max(2, x1 - x0), BOTTOM - TOP);
    });
  }, [data, width, theme, window, drag, loaded]);

  const place = (event: PointerEvent): number => event.clientX - canvas.current!.getBoundingClientRect().left;
  return (
    <div class="plot overview canvas-box" ref={box} style={{ height: `${HEIGHT}px` }} aria-hidden="true">
      <canvas
        ref={canvas}
        class="overview-plot"
        onPointerDown={(event) => {
          canvas.current?.setPointerCapture(event.pointerId);
          setDrag([place(event), place(event)]);
        }}
        onPointerMove={(event) => {
          if (drag !== null) setDrag([drag[0], place(event)]);
        }}
        onPointerUp={() => {
          if (drag !== null && Math.abs(drag[1] - drag[0]) > 3) {
            zoom({ lo: timeAt(Math.min(...drag)), hi: timeAt(Math.max(...drag)) });
          }
          setDrag(null);
        }}
      />
    </div>
  );
}

function paint(
  c: CanvasRenderingContext2D,
  data: OverviewData,
  x: (ns: number) => number,
  right: number,
  duration: number,
): void {
  const slice = x(data.x[1] ?? 1) - x(data.x[0] ?? 0);
  let most = 1;
  for (const n of data.count) if (n > most) most = n;
  const peaks = data.max.filter((v) => v !== null).map(Math.log10);
  const lo = Math.min(...peaks) - 0.15;
  const hi = Math.max(...peaks) + 0.15;
  c.fillStyle = ink('bar-pale');
  data.x.forEach((t, k) => {
    const h = (data.count[k]! / most) * (BOTTOM - TOP);
    if (h > 0) c.fillRect(x(t) - slice / 2, BOTTOM - Math.max(1, h), Math.max(1, slice), Math.max(1, h));
  });
  c.strokeStyle = ink('peak');
  c.lineWidth = 1;
  c.beginPath();
  let open = false;
  data.x.forEach((t, k) => {
    const ns = data.max[k] ?? null;
    const y = ns === null ? NaN : BOTTOM - ((Math.log10(ns) - lo) / (hi - lo)) * (BOTTOM - TOP);
    if (Number.isNaN(y)) open = false;
    else {
      // A slice alone is a dash, not nothing.
      if (!open) c.moveTo(x(t) - slice / 2, y);
      c.lineTo(x(t) + slice / 2, y);
      open = true;
    }
  });
  c.stroke();
  c.strokeStyle = ink('grid');
  c.fillStyle = ink('text-2');
  c.textAlign = 'center';
  c.textBaseline = 'top';
  const { step, at } = linearTicks(0, duration, (right - MARGIN.left) / 130);
  for (const ns of at) {
    const px = Math.round(x(ns)) + 0.5;
    c.beginPath();
    c.moveTo(px, BOTTOM);
    c.lineTo(px, BOTTOM + 4);
    c.stroke();
    if (px < right - 20) c.fillText(ns === 0 ? '0' : timeTick(ns, step), px, BOTTOM + 7);
  }
}
