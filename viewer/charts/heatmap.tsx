import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { LatencyScale } from '../axis.ts';
import { answer, detail, heatColumns, zoom, type Loaded } from '../data.ts';
import { rowLow, type Heat } from '../engine/heat.ts';
import type { Box } from '../engine/query.ts';
import { count, deviceName, duration, FAMILY_UNIT, instant, percent } from '../format.ts';
import { update, useAtom, view } from '../state.ts';
import { useTheme } from '../theme.ts';
import { draw, useWidth } from './canvas.ts';
import {
  frameOf,
  MARGIN,
  paintBrush,
  paintHeat,
  paintMarks,
  paintRing,
  timeAt,
  type Frame,
} from './heat-paint.ts';

const HEIGHT = 264;
/** More than any latency, ns. */
const MOST = 1e15;
/** A drag shorter than this is a click, px. */
const CLICK = 4;

interface Cell {
  column: number;
  row: number;
}

interface Drag {
  x: number;
  y: number;
  pointer: number;
}

export function Heatmap({ loaded, children }: { loaded: Loaded; children?: ComponentChildren }): JSX.Element {
  const state = useAtom(view);
  const latest = useAtom(answer);
  const chosen = useAtom(detail);
  const theme = useTheme();
  const box = useRef<HTMLDivElement>(null);
  const base = useRef<HTMLCanvasElement>(null);
  const over = useRef<HTMLCanvasElement>(null);
  const drag = useRef<Drag | null>(null);
  const [cursor, setCursor] = useState<Cell | null>(null);
  /** Where a box begun with the keyboard has its first corner. */
  const anchor = useRef<Cell | null>(null);
  const width = useWidth(box);
  const heat = latest?.family === state.family ? latest.answer.heat : null;
  const window = state.window ?? { lo: 0, hi: loaded.duration };
  const frame = heat === null || width === 0 ? null : frameOf(heat, window, width, HEIGHT);

  const all = loaded.tables[state.family]?.all ?? { min: 1, max: 1 };

  useEffect(() => {
    if (width > 0) heatColumns.set(Math.max(50, width - MARGIN.left - MARGIN.right));
  }, [width]);

  useEffect(() => {
    if (heat === null || frame === null || base.current === null) return;
    draw(base.current, width, HEIGHT, (context) => {
      paintHeat(context, heat, frame, theme);
    });
  }, [heat, width, theme, window.lo, window.hi]);

  useEffect(() => {
    if (frame === null || over.current === null) return;
    draw(over.current, width, HEIGHT, (context) => {
      if (state.brush !== null) paintBrush(context, frame, state.brush);
      paintMarks(context, frame, state.limit, state.pins);
      if (chosen !== null && state.selected !== null) paintRing(context, frame, chosen.start, chosen.total);
    });
  });

  const place = (event: PointerEvent | WheelEvent): { x: number; y: number } => {
    const rect = over.current!.getBoundingClientRect();
    return { x: event.clientX - rect.left, y: event.clientY - rect.top };
  };

  const down = (event: PointerEvent): void => {
    if (event.button !== 0 || frame === null) return;
    const at = place(event);
    if (at.x > MARGIN.left + frame.plotWidth) return;
    drag.current = { ...at, pointer: event.pointerId };
    over.current?.setPointerCapture(event.pointerId);
  };

  const move = (event: PointerEvent): void => {
    if (frame === null || heat === null) return;
    const at = place(event);
    setCursor(cellAt(frame, heat, at.x, at.y));
    const from = drag.current;
    if (from === null) return;
    if (Math.abs(at.x - from.x) < CLICK && Math.abs(at.y - from.y) < CLICK) return;
    update({ brush: boxOf(frame, from, at, event.shiftKey, state.latency !== null) });
  };

  const up = (event: PointerEvent): void => {
    const from = drag.current;
    drag.current = null;
    if (from === null) return;
    const at = place(event);
    if (Math.abs(at.x - from.x) < CLICK && Math.abs(at.y - from.y) < CLICK) update({ brush: null });
  };

  useEffect(() => {
    const canvas = over.current;
    if (canvas === null || frame === null) return undefined;
    const wheel = (event: WheelEvent): void => {
      const at = place(event);
      const factor = 1.0025 ** event.deltaY;
      const { window: time, latency } = view.get();
      // Out of what is whole already: the page scrolls, as everywhere.
      if (event.deltaY === 0 || (factor > 1 && (event.altKey ? latency : time) === null)) return;
      event.preventDefault();
      if (event.altKey) zoomLatency(frame, all, frame.scale.ns(at.y), factor);
      else zoomAt(frame, timeAt(frame, at.x), factor);
    };
    canvas.addEventListener('wheel', wheel, { passive: false });
    return () => {
      canvas.removeEventListener('wheel', wheel);
    };
  });

  const key = (event: KeyboardEvent): void => {
    if (heat === null || frame === null) return;
    const at = cursor ?? { column: heat.columns >> 1, row: heat.rows >> 1 };
    const step = event.shiftKey ? 10 : 1;
    const go = (columns: number, rows: number): void => {
      const next = {
        column: Math.max(0, Math.min(heat.columns - 1, at.column + columns * step)),
        row: Math.max(0, Math.min(heat.rows - 1, at.row + rows * step)),
      };
      setCursor(next);
      if (anchor.current !== null) update({ brush: boxOfCells(frame, heat, anchor.current, next) });
    };
    const moves: Record<string, () => void> = {
      ArrowLeft: () => {
        go(-1, 0);
      },
      ArrowRight: () => {
        go(1, 0);
      },
      ArrowUp: () => {
        go(0, 1);
      },
      ArrowDown: () => {
        go(0, -1);
      },
      Space: () => {
        anchor.current = anchor.current === null ? at : null;
        go(0, 0);
      },
      Equal: () => {
        zoomAt(frame, cellTime(frame, heat, at.column), 0.5);
      },
      Minus: () => {
        zoomAt(frame, cellTime(frame, heat, at.column), 2);
      },
      PageUp: () => {
        zoomLatency(frame, all, rowLow(heat, at.row), 0.5);
      },
      PageDown: () => {
        zoomLatency(frame, all, rowLow(heat, at.row), 2);
      },
      Escape: () => {
        anchor.current = null;
        update({ brush: null });
      },
    };
    const act = moves[event.code];
    if (act === undefined) return;
    event.preventDefault();
    act();
  };

  return (
    <div>
      <div class="canvas-box" ref={box} style={{ height: `${HEIGHT}px` }}>
        <canvas ref={base} class="layer" aria-hidden="true" />
        <canvas
          ref={over}
          class="layer interactive"
          tabIndex={0}
          role="application"
          aria-label="Heatmap of latency over time. Arrow keys move the cursor, Space begins and ends a box, plus and minus zoom time, Page up and down latency, Escape clears the box. Question mark: all keys."
          aria-describedby="heat-readout"
          aria-details="heat-table"
          onPointerDown={down}
          onPointerMove={move}
          onPointerUp={up}
          onPointerLeave={() => {
            if (drag.current === null) setCursor(null);
          }}
          onDblClick={() => {
            update({ latency: null });
            zoom(null);
          }}
          onKeyDown={key}
        />
      </div>
      <div class="under">
        <p class="readout" id="heat-readout" aria-live="polite">
          {cursor === null || heat === null || frame === null ? (
            <span class="hint">
              Drag: a box · Shift-drag: time only · wheel: zoom (Alt: latency) · double click: all
            </span>
          ) : (
            readout(loaded, heat, frame, cursor, FAMILY_UNIT[state.family])
          )}
        </p>
        {children}
      </div>
    </div>
  );
}

function cellAt(frame: Frame, heat: Heat, x: number, y: number): { column: number; row: number } | null {
  const column = Math.floor(((x - MARGIN.left) / frame.plotWidth) * heat.columns);
  const row = Math.floor((1 - (y - MARGIN.top) / frame.plotHeight) * heat.rows);
  return column < 0 || column >= heat.columns || row < 0 || row >= heat.rows ? null : { column, row };
}

const cellTime = (frame: Frame, heat: Heat, column: number): number =>
  frame.window.lo + ((column + 0.5) / heat.columns) * (frame.window.hi - frame.window.lo);

function readout(
  loaded: Loaded,
  heat: Heat,
  frame: Frame,
  { column, row }: { column: number; row: number },
  unit: string,
): string {
  const cell = row * heat.columns + column;
  const n = heat.counts[cell] ?? 0;
  const peak = heat.peak[column] ?? NaN;
  const share =
    n === 0 ? '' : ` (${percent(n / heat.shown)}), slowest: ${deviceName(loaded.data, heat.worst[cell]!)}`;
  const slowest = Number.isNaN(peak) ? '' : ` · slowest at this time ${duration(peak)}`;
  return `${instant(cellTime(frame, heat, column))} · ${duration(rowLow(heat, row))} to ${duration(rowLow(heat, row + 1))} · ${count(n)} ${unit}${share}${slowest}`;
}

function boxOf(
  frame: Frame,
  from: { x: number; y: number },
  to: { x: number; y: number },
  timeOnly: boolean,
  part: boolean,
): Box {
  const { lo, hi } = frame.window;
  const t0 = timeAt(frame, Math.min(from.x, to.x));
  const t1 = timeAt(frame, Math.max(from.x, to.x));
  const top = MARGIN.top;
  const bottom = MARGIN.top + frame.plotHeight;
  const y0 = timeOnly ? top : Math.max(top, Math.min(from.y, to.y));
  const y1 = timeOnly ? bottom : Math.min(bottom, Math.max(from.y, to.y));
  const time = { lo: Math.max(lo, t0), hi: Math.min(hi, t1) };
  // Of the whole axis the lowest row also holds what is below it; a box that reaches it takes that too. Over time only, all.
  const all = timeOnly && part;
  const latency = {
    lo: all || (y1 >= bottom && !part) ? 0 : frame.scale.ns(y1),
    hi: all ? MOST : frame.scale.ns(y0),
  };
  return {
    time: { lo: Math.round(time.lo), hi: Math.round(time.hi) + 1 },
    latency: { lo: Math.round(latency.lo), hi: Math.round(latency.hi) + 1 },
  };
}

/** The box over two cells and all between. */
function boxOfCells(frame: Frame, heat: Heat, a: Cell, b: Cell): Box {
  const time = (column: number): number =>
    Math.round(frame.window.lo + (column / heat.columns) * (frame.window.hi - frame.window.lo));
  const bin = (row: number): number => Math.round(rowLow(heat, row));
  const low = Math.min(a.row, b.row);
  return {
    time: { lo: time(Math.min(a.column, b.column)), hi: time(Math.max(a.column, b.column) + 1) + 1 },
    latency: {
      lo: low === 0 && view.get().latency === null ? 0 : bin(low),
      hi: bin(Math.max(a.row, b.row) + 1),
    },
  };
}

function zoomAt(frame: Frame, time: number, factor: number): void {
  const { lo, hi } = frame.window;
  zoom({ lo: time - (time - lo) * factor, hi: time + (hi - time) * factor });
}

/** Zooms the latency axis around a latency, on the scale that is shown; all of it again when nothing more is outside. */
function zoomLatency(
  { scale }: Frame,
  { min, max }: { min: number; max: number },
  around: number,
  factor: number,
): void {
  const { latency } = view.get();
  const { top, height, linear } = scale;
  const at = (top + height - scale.y(around)) / height;
  // Of several steps in one frame each goes on from the one before, not from the picture.
  const now = latency === null ? scale : new LatencyScale(latency.lo, latency.hi, top, height, linear);
  const edge = (part: number): number => now.ns(top + height * (1 - (at + (part - at) * factor)));
  const [lo, hi] = [Math.max(linear ? 0 : 1, edge(0)), edge(1)];
  if (factor > 1 && lo <= Math.max(1, min) && hi >= max) update({ latency: null });
  else if (hi - lo >= 16) update({ latency: { lo: Math.floor(lo), hi: Math.ceil(hi) } });
}
